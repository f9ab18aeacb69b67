"""Our Spleeter against the original: one clip, one machine, one run, the same weights.

    python benchmarks/separation.py --original <python of an environment with spleeter> [--seconds 60]
    python benchmarks/separation.py --device cuda [--seconds 600]

The first tells seconds of each call, the ratio of the medians with start-up excluded (calls after the
first) and included (a fresh process: imports, weights, the first call), the largest difference of the two
results, and peak memory. Weights are random but the same: what they are doesn't change the time. Rounds of
the two take turns, so that a busy machine slows both; where it is busy, the fastest calls say more than the
medians. The second compares ours on a GPU with ours on the processor.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
from measure import arguments, machine, report_of, save, synchronise, table, take_turns

HERE = Path(__file__).resolve().parent
RATE_HZ = 44_100
FILTERS = (16, 32, 64, 128, 256, 512)

OURS = """
import json, resource, sys, time
import numpy as np
from pathlib import Path
from stages.separation.spleeter import SpleeterTorch
from stages.separation.spleeter_weights import load_net
weights, source, target, repeats, precision = sys.argv[1:]
separator = SpleeterTorch(load_net(Path(weights)), precision=precision)
mixture, calls = np.load(source), []
for _ in range(int(repeats)):
    began = time.perf_counter()
    voice = separator.separate(mixture, 44_100)
    calls.append(time.perf_counter() - began)
np.savez(target, vocals=voice)
print(json.dumps({"calls_s": calls, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def clip(seconds: float) -> np.ndarray:
    """A voice-like tone over chords and noise, (n, 2) float32."""
    rng, time_s = np.random.default_rng(7), np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(np.pi * time_s)) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * np.clip(np.sin(4 * np.pi * time_s), 0, 1)
    chord = np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 554 * time_s)], axis=1)
    noise = rng.standard_normal(chord.shape)
    return (0.15 * voice[:, None] + 0.1 * chord + 0.02 * noise).astype(np.float32)


def timed(command: list[str]) -> dict:
    """What a process reports in its last line, and how long all of it took; none of the two sees a GPU."""
    return report_of(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})


def compare(original: str, seconds: float, rounds: int, calls: int) -> list[str]:
    """Run both in turns; the report's lines."""
    from stages.separation.spleeter_weights import convert

    script, place = str(HERE / "original_spleeter.py"), Path(tempfile.mkdtemp())
    source, models, weights = place / "clip.npy", place / "models", place / "x.safetensors"
    np.save(source, clip(seconds))
    subprocess.run([original, script, "weights", str(models), "2stems"], check=True, capture_output=True)
    convert(models / "2stems" / "model", "2stems", weights, "")
    theirs = [original, script, "separate", str(models), "2stems", str(source), str(place / "theirs.npz")]
    ours = [sys.executable, "-c", OURS, str(weights), str(source)]
    runs: dict[str, list[dict]] = {"original": [], "ours": [], "ours, bfloat16": []}
    once: dict[str, list[float]] = {"original": [], "ours": []}
    for _ in range(rounds):
        runs["original"].append(timed([*theirs, str(calls)]))
        runs["ours"].append(timed([*ours, str(place / "ours.npz"), str(calls), "float32"]))
        runs["ours, bfloat16"].append(timed([*ours, str(place / "half.npz"), str(calls), "bfloat16"]))
        once["original"].append(timed([*theirs, "1"])["process_s"])
        once["ours"].append(timed([*ours, str(place / "ours.npz"), "1", "float32"])["process_s"])
    return report(runs, once, place, seconds)


def report(runs: dict, once: dict, place: Path, seconds: float) -> list[str]:
    """A table, and what it comes to."""
    warm = {name: [c for run in found for c in run["calls_s"][1:]] for name, found in runs.items()}
    median = {name: statistics.median(times) for name, times in warm.items()}
    voices = {name: np.load(place / f"{name}.npz")["vocals"] for name in ("theirs", "ours", "half")}
    power = np.sum(voices["theirs"].astype(float) ** 2)
    half_db = 10 * np.log10(power / np.sum((voices["half"].astype(float) - voices["theirs"]) ** 2))
    lines = [
        f"{seconds:g} s of stereo at 44.1 kHz, 2stems, float32 unless said. {machine()}",
        "",
        "| | calls after the first, s | median, s | fastest, s | peak, MB |",
        "|---|---|---|---|---|",
    ]
    for name, times in warm.items():
        peak = max(run["peak_mb"] for run in runs[name])
        calls = " ".join(f"{t:.2f}" for t in times)
        lines.append(f"| {name} | {calls} | {median[name]:.2f} | {min(times):.2f} | {peak:.0f} |")
    fastest = min(warm["original"]) / min(warm["ours"])
    cold = {name: statistics.median(times) for name, times in once.items()}
    return [
        *lines,
        "",
        f"- start-up excluded: **{median['original'] / median['ours']:.1f} x** by medians, "
        f"**{fastest:.1f} x** by the fastest calls "
        f"(bfloat16, by medians: {median['original'] / median['ours, bfloat16']:.1f} x)",
        f"- start-up included (a fresh process, one call): {cold['original']:.1f} s against "
        f"{cold['ours']:.1f} s, **{cold['original'] / cold['ours']:.1f} x**",
        f"- largest difference of the voices: {np.abs(voices['ours'] - voices['theirs']).max():.1e} "
        f"of full scale; bfloat16: {half_db:.0f} dB",
    ]


def on_gpu(device: str, seconds: float, rounds: int) -> list[str]:
    """Ours, with random weights, on a device and on the processor; the report's lines."""
    import torch

    from stages.separation.spleeter import SpleeterTorch
    from stages.separation.spleeter_net import MODELS, SpleeterNet

    torch.manual_seed(0)
    net = SpleeterNet(FILTERS, MODELS["2stems"])
    ways = {"ours, processor": SpleeterTorch(deepcopy(net))}
    for precision in ("float32", "bfloat16"):
        ways[f"ours, {device}, {precision}"] = SpleeterTorch(deepcopy(net), device, precision=precision)
    mixture = clip(seconds)
    voices: dict[str, np.ndarray] = {}

    def separate(name: str) -> None:
        voices[name] = ways[name].separate(mixture, RATE_HZ)

    timings = take_turns({name: partial(separate, name) for name in ways}, rounds, synchronise(device))
    first, *others = timings
    return [
        f"{seconds:g} s of stereo at 44.1 kHz, 2stems, random weights. {machine(device)}",
        "",
        *table(timings, round(seconds), "s of sound"),
        "",
        *(
            f"- {name}: **{seconds / timings[name].fastest_s:.0f} x** real time, "
            f"**{timings[first].fastest_s / timings[name].fastest_s:.1f} x** the processor; "
            f"the voices differ by {np.abs(voices[name] - voices[first]).max():.1e} of full scale"
            for name in others
        ),
    ]


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, original=None, seconds=60.0, rounds=3, calls=4)
    if chosen.device != "cpu":
        save(chosen, "separation", "Separation", on_gpu(chosen.device, chosen.seconds, chosen.rounds))
        return
    if not chosen.original:
        raise SystemExit("--original: name the python of an environment with spleeter; or --device cuda")
    found = compare(chosen.original, chosen.seconds, chosen.rounds, chosen.calls)
    save(chosen, "separation", "Separation", found)


if __name__ == "__main__":
    main()
