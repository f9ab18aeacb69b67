"""Measure how far the target's mouth is open, frame by frame, with FaceMesh.

    python -m stages.mouth          (dvc repro mouth)

Reads   data/faces/<subject>.h5     crops
Writes  data/mouth/<subject>.h5     area (T,) float32, part of the crop's area, NaN without mesh or face;
                                    detected (T,) bool; time_s (T,); fps_hz
Params  mouth
"""

import numpy as np

from stages.audio.mouth import MouthMeter
from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import MouthParams, load_params
from stages.engine.stage import Stage, Unit, main
from stages.media.jpeg import unpack_jpeg


def measure_mouth(unit: Unit, settings: MouthParams) -> list[Note]:
    """Measure one subject's mouth; only frames whose face was really seen count."""
    faces = read_arrays(unit.reads["faces"], "jpeg", "jpeg_offset", "detected", "time_s")
    crops = [
        unpack_jpeg(faces["jpeg"], faces["jpeg_offset"], i) for i in range(len(faces["jpeg_offset"]) - 1)
    ]
    area = np.full(len(faces["time_s"]), np.nan, np.float32)
    area[faces["detected"]] = MouthMeter(settings.min_confidence).areas(crops)
    write_arrays(
        unit.writes["mouth"],
        {"area": area, "detected": faces["detected"], "time_s": faces["time_s"]},
        fps_hz=read_facts(unit.reads["faces"])["fps_hz"],
    )
    return []


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per subject."""
    return [
        Unit(
            subject.name,
            {"faces": workspace.artefact("faces", subject.name)},
            {"mouth": workspace.artefact("mouth", subject.name)},
        )
        for subject in workspace.having(corpus.subjects, "faces")
    ]


def mouth() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("mouth", workspace.folder("mouth")) as stage:
        stage.run(measure_mouth, units(workspace, workspace.corpus()), params.mouth, compute=params.compute)


if __name__ == "__main__":
    main("mouth")
