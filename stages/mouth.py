"""Measure how far the target's mouth is open, frame by frame, with FaceMesh.

    python -m stages.mouth          (dvc repro mouth)

Reads   data/faces/<subject>.h5     crops
Writes  data/mouth/<subject>.h5     area (T,) float32 between the lips, part of the crop's area; opening (T,)
                                    float32, the same as part of the face's area; detected (T,) bool: the lips
                                    were measured; time_s (T,); fps_hz. Both are NaN without a face, without a
                                    mesh, and where the lips don't lie wholly in the crop
Params  mouth

Memory: one crop at a time.
"""

import numpy as np

from stages.audio.mouth import MouthMeter
from stages.core.artefacts import open_arrays, read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import MouthParams, load_params
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.media.jpeg import Jpegs


def measure_mouth(unit: Unit, settings: MouthParams) -> list[Note]:
    """Measure one subject's mouth; only frames whose face was really seen count."""
    track = read_arrays(unit.reads["faces"], "jpeg_offset", "detected", "time_s")
    with open_arrays(unit.reads["faces"]) as file:
        crops = Jpegs(file["jpeg"], track["jpeg_offset"])
        measured = MouthMeter(settings.min_confidence).measure(crops)
    areas = np.full((len(track["time_s"]), 2), np.nan, np.float32)
    areas[track["detected"]] = measured
    write_arrays(
        unit.writes["mouth"],
        {
            "area": areas[:, 0],
            "opening": areas[:, 0] / areas[:, 1],
            "detected": np.isfinite(areas[:, 0]),
            "time_s": track["time_s"],
        },
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
