"""Draw the embedded sample corpus: a small Aff-Wild2 in which valence and arousal drive face and voice.

    python -m data.sample.generate [--out FOLDER] [--clips-per-split TRAIN,VALIDATION,TEST] [--clip-s MIN,MAX]
    (dvc repro data/sample/dvc.yaml)

Reads   data/sample/params.yaml
Writes  OUT/corpus/videos/batch*/<video>.mp4|avi                          25, 29.97, 30 frames/s or variable
        OUT/corpus/annotations/VA_Estimation_Challenge/*_Set/<subject>.txt  valence,arousal per native frame
        OUT/corpus/annotations/VA_test_set_{release,sample}.txt           test names, and the form to fill in
        OUT/truth/                                                        what the pipeline must not see
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from data.sample.annotations import write_test_lists
from data.sample.cast import Clip, plan
from data.sample.settings import SPLITS, Settings, load_settings
from stages.engine.garbage import collect_rarely, keep_freed_memory
from stages.engine.lifetime import exit_with_parents

HERE = Path(__file__).parent


def generate(settings: Settings, out: Path) -> None:
    """Write `out/corpus` and `out/truth`; what was there before goes."""
    for part in ("corpus", "truth"):
        shutil.rmtree(out / part, ignore_errors=True)
    # Fresh processes: forked ones can hang where this one has used OpenCV's threads.
    fresh = get_context("spawn")
    with ProcessPoolExecutor(settings.workers, fresh, _get_ready, (os.getpid(),)) as workers:
        for _ in range(settings.workers):
            workers.submit(bool)  # so that they start, and import while the clips are planned
        clips = plan(settings)
        longest_first = sorted(clips, key=lambda clip: -clip.duration_s * len(clip.roles))
        counts = workers.map(_shoot, longest_first, [out] * len(clips))
        frames = {clip.name: count for clip, count in zip(longest_first, counts, strict=True)}
    tests = {role.subject: frames[clip.name] for clip in clips if clip.split == "test" for role in clip.roles}
    write_test_lists(out / "corpus" / "annotations", tests)


def _get_ready(parent: int) -> None:
    """Begin a worker, which ends with its parent."""
    exit_with_parents([parent])
    collect_rarely()
    keep_freed_memory()
    import data.sample.shoot  # noqa: F401  # takes half a second, and only the workers need it


def _shoot(clip: Clip, out: Path) -> int:
    from data.sample.shoot import shoot

    return shoot(clip, out)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; every option overrides one key of params.yaml."""
    parser = argparse.ArgumentParser(
        prog="python -m data.sample.generate", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder for corpus/ and truth/ (default: %(default)s)"
    )
    parser.add_argument(
        "--clips-per-split", metavar="TRAIN,VALIDATION,TEST", help="number of videos, e.g. 2,2,1"
    )
    parser.add_argument("--clip-s", metavar="MIN,MAX", help="length of the clips in seconds, e.g. 4,5")
    options = parser.parse_args(arguments)
    chosen = load_settings(HERE / "params.yaml").model_dump()
    if options.clips_per_split:
        chosen["clips_per_split"] = dict(zip(SPLITS, options.clips_per_split.split(","), strict=True))
    if options.clip_s:
        chosen["clip_s"] = options.clip_s.split(",")
    generate(Settings.model_validate(chosen), options.out)


if __name__ == "__main__":
    main()
