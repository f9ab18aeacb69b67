"""Index and decode every file of a folder, in one process of limited memory; one line of JSON per file.

    python tests/fuzz/decode_all.py FOLDER MEMORY_MIB

Prints the name before it opens a file, and what came of it after: a crash or a hang names its file.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput
from stages.core.params import load_params
from stages.decode import decode_video, units
from stages.engine.runlog import peak_mb
from stages.engine.units import do_unit
from stages.index import index_subject, unit_of
from stages.layouts.listing import Found
from stages.separation.streaming import rate_of, read_blocks

PARAMS = load_params(Path(__file__).resolve().parents[2] / "profiles" / "sample.yaml")
KEEPING = PARAMS.decode.model_copy(update={"keep_frames": True})


def outcome(video: Path, root: Path) -> dict[str, Any]:
    """What the first two stages make of a file; asserts that what they wrote fits together."""
    workspace = Workspace(root)
    found = Found(Subject("it", "it", None, "test"), video, None)
    corpus = Corpus([found.subject], {"it": str(video)})
    try:
        do_unit(index_subject, unit_of(found, workspace, PARAMS.decode), PARAMS.index)
        (unit,) = units(workspace, corpus)
        notes = do_unit(decode_video, unit, KEEPING)
    except BadInput as refusal:
        left = list((root / "data").rglob(".partial-*"))
        assert left == [], left
        return {"refused": refusal.problem, "remedy": refusal.remedy}
    native = read_arrays(workspace.artefact("index", "it"))
    facts = read_facts(workspace.artefact("index", "it"))
    kept = read_arrays(workspace.artefact("decode", "it"))
    file = workspace.artefact("decode", "it", ".flac")
    sound, rate_hz = np.concatenate(list(read_blocks(file))), rate_of(file)
    assert native["time_s"][0] == 0
    assert (np.diff(native["time_s"]) > 0).all(), "times increase"
    assert np.isfinite(kept["frame_time_s"]).all(), "every grid point shows a frame"
    assert len(kept["jpeg_offset"]) == len(kept["time_s"]) + 1
    assert len(sound) == max(1, round(facts["duration_s"] * rate_hz)), "the sound is as long as the pictures"
    return {
        "frames": len(native["time_s"]),
        "grid": len(kept["time_s"]),
        "size": [facts["width"], facts["height"]],
        "rotation": facts["rotation_deg"],
        "duration_s": facts["duration_s"],
        "loud": float(np.abs(sound).max(initial=0.0)),
        "notes": [note.problem for note in notes],
    }


def main(folder: Path, memory_mib: int) -> None:
    """Go through the folder."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20,) * 2)
    for video in sorted(folder.iterdir()):
        print(json.dumps({"begins": video.name}), flush=True)
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as root:
            result = outcome(video, Path(root))
        times = {"seconds": round(time.monotonic() - begin, 2), "peak_mib": round(peak_mb())}
        print(json.dumps({"name": video.name} | result | times), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
