"""Smooth the predictions: 5 Hz predictions -> native-rate, Hamming-smoothed traces.

    python -m stages.smooth          (dvc repro smooth)

Reads   data/predictions/<system>/<subject>.h5   valence_arousal (T, 2) float32, time_s (T,)
        data/index/<subject>.h5                  time_s (N,), the native frames
Writes  data/traces/<system>/<subject>.h5        valence_arousal (N, 2) float32, time_s (N,)
Params  smooth
"""

from stages.core.artefacts import read_arrays, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import SmoothParams, load_params
from stages.core.systems import SYSTEMS
from stages.engine.stage import Stage, Unit, main
from stages.fusion.postprocessing import smooth_to_native


def smooth_subject(unit: Unit, settings: SmoothParams) -> list[Note]:
    """Bring one system's predictions for one subject to every native frame (paper, section 4.3)."""
    predicted = read_arrays(unit.reads["predictions"], "valence_arousal", "time_s")
    native_time_s = read_arrays(unit.reads["index"], "time_s")["time_s"]
    trace = smooth_to_native(
        predicted["valence_arousal"], predicted["time_s"], native_time_s, settings.window_s
    )
    write_arrays(unit.writes["trace"], {"valence_arousal": trace, "time_s": native_time_s})
    return []


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per system and subject that the system has predictions for."""
    return [
        Unit(
            f"{system}/{subject.name}",
            {
                "predictions": workspace.artefact(f"predictions/{system}", subject.name),
                "index": workspace.artefact("index", subject.name),
            },
            {"trace": workspace.artefact(f"traces/{system}", subject.name)},
        )
        for system in SYSTEMS
        for subject in workspace.having(corpus.subjects, f"predictions/{system}")
    ]


def smooth() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().smooth, Workspace()
    with Stage("smooth", workspace.folder("traces")) as stage:
        stage.run(smooth_subject, units(workspace, workspace.corpus()), settings, jobs=1)


if __name__ == "__main__":
    main("smooth")
