"""Check everything that runs on a GPU: the same answers as a processor, the speeds, every training.

    python benchmarks/gpu.py                       (make gpu-check)  needs a CUDA device; within 8 minutes
    python benchmarks/gpu.py --device cpu --tiny   the smallest sizes, so that every line runs without a GPU
    python benchmarks/gpu.py --make                answers of this processor, into benchmarks/data/

It needs Python 3.12, PyTorch 2.11 and NumPy, and the wheels of benchmarks/gpu-requirements.txt (some 42 MB):
no network, no DVC, MediaPipe, OpenVINO, OpenCV or SciPy. It uses the pipeline's own modules, with weights
drawn from a seed; RetinaFace's published weights where `models/pretrained/` or VALARO_WEIGHTS has them.

Exit status 1: no CUDA device, something broke, or a target is missed; the report names each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from gpu_networks import ANSWERS, FULL, TINY, Sizes, answer, cases, expected, make_answers, sampled  # noqa: E402
from gpu_report import Finding, Report  # noqa: E402

FLOAT32 = 1e-3
"""Largest difference from the processor in float32, as a share of the answer's largest value."""


def parity(sizes: Sizes, device: str, answers: Path) -> Iterator[Finding]:
    """Every network against the processor: float32, float32 as it runs (TF32 convolutions), float16."""
    stored = dict(np.load(answers)) if answers.is_file() else {}
    half = torch.bfloat16 if device == "cpu" else torch.float16
    for case in cases(sizes):
        wanted, place = expected(case, stored)
        scale = max(float(np.abs(wanted).max()), 1e-12)

        def off(precision: torch.dtype | None = None, case=case, wanted=wanted, scale=scale) -> float:  # type: ignore[no-untyped-def]
            return float(np.abs(sampled(answer(case, device, precision)) - wanted).max() / scale)

        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        exact = off()
        torch.backends.cudnn.allow_tf32 = before
        yield Finding(
            f"{case.name}, float32 (answers: {place})", f"{exact:.1e}", f"<= {FLOAT32:.0e}", exact <= FLOAT32
        )
        yield Finding(f"{case.name}, TF32 convolutions", f"{off():.1e}")
        rough = off(half)
        words = str(half).removeprefix("torch.")
        yield Finding(f"{case.name}, {words}", f"{rough:.1e}", f"<= {case.half:g}", rough <= case.half)


def overlaps(sizes: Sizes, device: str) -> Iterator[Finding]:
    """The removal of overlaps on the device against the host's, box by box."""
    from stages.vision.retinaface import suppress_overlaps
    from stages.vision.suppression import keep_best

    rng = np.random.default_rng(0)
    frames, count = (4, 50) if sizes.tiny else (64, 300)
    centre, half = rng.uniform(0, 600, (frames, count, 2)), rng.uniform(10, 60, (frames, count, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)
    valid = torch.ones(frames, count, dtype=torch.bool, device=device)
    kept = keep_best(torch.from_numpy(boxes).to(device), valid, 0.4).cpu().numpy()
    wanted = np.zeros_like(kept)
    for i in range(frames):
        wanted[i, suppress_overlaps(boxes[i], 0.4)] = True
    wrong = int((kept != wanted).sum())
    yield Finding(f"{frames} frames of {count} boxes", f"{wrong} boxes decided otherwise", "0", wrong == 0)


def retinaface_weights() -> Path | None:
    """The published weights, where they lie."""
    from stages.core.errors import ValaroError
    from stages.core.weights import PRETRAINED, local_weights

    try:
        return local_weights("retinaface", HERE.parent / PRETRAINED)
    except ValaroError as error:
        print(f"note: {error}")
        return None


def check(sizes: Sizes, device: str, answers: Path) -> Report:
    """Run every section."""
    import gpu_speed
    import gpu_training

    report = Report(device, judged=not sizes.tiny)
    report.run("Answers like the processor's", partial(parity, sizes, device, answers))
    report.run("Removal of overlaps", partial(overlaps, sizes, device))
    report.run("Face detection", partial(gpu_speed.detection, sizes, device, retinaface_weights()))
    report.run("Embeddings", partial(gpu_speed.embeddings, sizes, device))
    report.run("wav2vec 2.0 windows", partial(gpu_speed.windows, sizes, device))
    report.run("Separation", partial(gpu_speed.separation, sizes, device))
    report.run("KELM", partial(gpu_speed.kelm, sizes, device))
    report.run("One epoch of every training", partial(gpu_training.epochs, sizes, device))
    report.run("Determinism", gpu_training.determinism)
    report.run("Kill and resume", partial(gpu_training.kill_and_resume, device))
    return report


def arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu with --tiny only")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; no target is judged")
    parser.add_argument("--make", action="store_true", help="write this processor's answers and stop")
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="the processor's answers")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the report")
    parser.add_argument("--train-child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Check, print, and keep the report."""
    chosen = arguments()
    sizes = TINY if chosen.tiny else FULL
    if chosen.make:
        make_answers(sizes, chosen.answers)
        return 0
    os.environ["VALARO_DEVICE"] = chosen.device
    if chosen.train_child:
        from gpu_training import train_child

        train_child(chosen.train_child, chosen.slow)
        return 0
    if chosen.device == "cpu" and not chosen.tiny:
        print("error: --device cpu is for trying the lines only: add --tiny", file=sys.stderr)
        return 1
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"error: torch {torch.__version__} sees no CUDA device: nothing was checked", file=sys.stderr)
        return 1
    report = check(sizes, chosen.device, chosen.answers)
    today = date.today().isoformat()
    text = "\n".join([f"# GPU check, {today}", "", *report.lines()]) + "\n"
    print(text)
    if report.judged:
        chosen.results.mkdir(parents=True, exist_ok=True)
        (chosen.results / f"gpu-{today}.md").write_text(text, encoding="utf-8")
    return 1 if report.broken or report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
