"""Smooth the predictions: 5 Hz predictions -> native-rate, Hamming-smoothed traces.

    python -m stages.smooth          (dvc repro smooth)

Reads   data/predictions/<system>/<subject>.h5   valence_arousal (T, 2) float32, time_s (T,)
        data/out_of_fold/<system>[/<entry>]/<subject>.h5   validation: by_fold (folds, T, 2), fold
        data/index/<subject>.h5                  time_s (N,), the native frames
Writes  data/traces/<system>/<subject>.h5        valence_arousal (N, 2) float32, time_s (N,)
        data/traces/<system>.out_of_fold/<subject>.h5      the same by what other recordings picked; by_fold
                                                 (folds, N, 2) float32: by what each fold's others picked
Params  smooth; embed.backbone, kelm.functionals, audio.version: which of those compared go on
"""

from collections.abc import Mapping

import numpy as np

from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import SmoothParams, load_params
from stages.core.systems import OUT_OF_FOLD, SYSTEMS
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
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


def smooth_out_of_fold(unit: Unit, settings: SmoothParams) -> list[Note]:
    """The same of what each fold's others picked; a single entry means that the system picked nothing."""
    predicted, fold = read_arrays(unit.reads["by_fold"]), read_facts(unit.reads["by_fold"])["fold"]
    native_time_s = read_arrays(unit.reads["index"], "time_s")["time_s"]
    by_fold = np.stack(
        [
            smooth_to_native(each, predicted["time_s"], native_time_s, settings.window_s)
            for each in predicted["by_fold"]
        ]
    )
    own = by_fold[fold if len(by_fold) > 1 else 0]
    arrays = {"valence_arousal": own, "by_fold": by_fold, "time_s": native_time_s}
    write_arrays(unit.writes["trace"], arrays, fold=fold)
    return []


def out_of_fold_units(workspace: Workspace, corpus: Corpus, entries: Mapping[str, str]) -> list[Unit]:
    """One unit per system and validation subject with out-of-fold predictions.

    Args:
        workspace: where they lie.
        corpus: whose subjects.
        entries: system -> the entry of its matrix that goes on.
    """
    folders = {system: f"out_of_fold/{system}/{entries.get(system, '')}".rstrip("/") for system in SYSTEMS}
    return [
        Unit(
            f"{system}{OUT_OF_FOLD}/{subject.name}",
            {
                "by_fold": workspace.artefact(folder, subject.name),
                "index": workspace.artefact("index", subject.name),
            },
            {"trace": workspace.artefact(f"traces/{system}{OUT_OF_FOLD}", subject.name)},
        )
        for system, folder in folders.items()
        for subject in workspace.having(corpus.of("validation"), folder)
    ]


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
    params, workspace = load_params(), Workspace()
    corpus = workspace.corpus()
    entries = {
        "static": params.embed.backbone,
        "kelm": params.kelm.functionals,
        "audio": params.audio.version,
    }
    with Stage("smooth", workspace.folder("traces")) as stage:
        stage.run(smooth_subject, units(workspace, corpus), params.smooth, jobs=1)
        by_fold = out_of_fold_units(workspace, corpus, entries)
        stage.run(smooth_out_of_fold, by_fold, params.smooth, jobs=1)


if __name__ == "__main__":
    main("smooth")
