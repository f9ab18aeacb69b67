"""The widths of one system's interval on validation, for the fusions by width: the stage fuse's first.

Each recording's are by fits on others; `part_intervals` has the method.
"""

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, write_tensors
from stages.core.notes import Note
from stages.core.params import IntervalParams
from stages.core.times import nearest
from stages.engine.units import Unit
from stages.fusion.part_intervals import Evidence, PartFits, SystemWidths
from stages.fusion.stacks import (
    of_subject,
    read_times,
    read_trace,
    read_trace_by_fold,
    read_view,
    require_recordings,
)


def fit_widths(unit: Unit, settings: IntervalParams) -> list[Note]:
    """Widths of the interval of one system at every step of validation, by fits on other recordings.

    Args:
        unit: reads index, faces, speech, embeddings and the system's traces of all subjects; facts: the
            system, subjects, and their folds. Writes `widths`, the arrays of `SystemWidths`.
        settings: of the regressions.
    """
    require_recordings(unit)
    (system,), fold_of = unit.facts["systems"], unit.facts["folds"]
    folds = sorted(set(fold_of.values()))
    shown = {name: of_subject(unit, name) for name in unit.facts["subjects"]}
    evidence = {name: _evidence(each, fold_of[name]) for name, each in shown.items()}
    grids = {name: evidence[name].view.time_s for name, each in shown.items() if system in each.reads}
    every: dict[str, Floats] = {}
    by_fold: list[dict[str, Floats]] = [{} for _ in folds]
    for name, grid_s in grids.items():
        time_s = read_times(shown[name], system)
        every[name] = _at_steps(read_trace(shown[name], system), time_s, grid_s)
        held_out = read_trace_by_fold(shown[name], system, len(folds))
        for traces, trace in zip(by_fold, held_out, strict=True):
            traces[name] = _at_steps(trace, time_s, grid_s)
    fits = PartFits(evidence, settings)
    without = [fits.widths(traces, fold) for traces, fold in zip(by_fold, folds, strict=True)]
    widths = SystemWidths(
        fits.part(every),
        fits.widths(every, None),
        {name: np.stack([found[name] for found in without]) for name in every},
        grids,
    )
    write_tensors(unit.writes["widths"], widths.to_arrays())
    return []


def _evidence(subject: Unit, fold: int) -> Evidence:
    view, index = read_view(subject), read_arrays(subject.reads["index"], "valence_arousal", "time_s")
    truth = index["valence_arousal"][nearest(index["time_s"], view.time_s)].astype(np.float64)
    return Evidence(view, truth, fold)


def _at_steps(trace: Floats, time_s: Floats, grid_s: Floats) -> Floats:
    """A native trace at the steps of the grid. Shape: (N, 2), (N,), (T,) -> (T, 2)."""
    return np.column_stack([np.interp(grid_s, time_s, column) for column in trace.T.astype(float)])
