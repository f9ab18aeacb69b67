"""What a fusion looks at of a subject: the systems' traces side by side; abstentions filled.

A unit names its files by role: a trace by its system, `<system>.out_of_fold`, `speech`, `index`, and so on.
Where all of validation is read at once, a role is `<role>/<subject>`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.corpus import LEAST_RECORDINGS
from stages.core.errors import ValaroError
from stages.core.systems import OUT_OF_FOLD
from stages.engine.units import Unit
from stages.evaluation.difficulty import View, look
from stages.fusion.voice import speaking_share, split_by_speaking

FEWEST_RECORDINGS = LEAST_RECORDINGS["validation"]
"""One to score on, two to fit on: the forest's own choice holds one of these out again."""


def require_recordings(unit: Unit) -> None:
    """Refuse to fit on too few.

    Raises:
        ValaroError: the unit's subjects are of fewer than `FEWEST_RECORDINGS`.
    """
    recordings = len(set(unit.facts["subjects"].values()))
    if recordings < FEWEST_RECORDINGS:
        raise ValaroError(
            f"fusion needs {FEWEST_RECORDINGS} labelled validation recordings, there are {recordings}"
        )


def of_subject(unit: Unit, name: str) -> Unit:
    """What fitting reads of one subject, by role alone."""
    own = (role.split("/", 1) for role in unit.reads)
    return Unit(name, {role: unit.reads[f"{role}/{name}"] for role, whose in own if whose == name}, {})


def read_trace(unit: Unit, system: str) -> Floats:
    """By what all of validation picked. Shape: -> (N, 2)."""
    return np.asarray(read_arrays(unit.reads[system], "valence_arousal")["valence_arousal"])


def read_times(unit: Unit, system: str) -> Floats:
    """Of the native frames. Shape: -> (N,)."""
    return np.asarray(read_arrays(unit.reads[system], "time_s")["time_s"])


def read_trace_by_fold(unit: Unit, system: str, folds: int) -> Floats:
    """By what each fold's others picked; by one for all where a system picks nothing. -> (folds, N, 2)."""
    found: Floats = read_arrays(unit.reads[f"{system}{OUT_OF_FOLD}"], "by_fold")["by_fold"]
    return found if len(found) > 1 else np.repeat(found, folds, axis=0)


def read_stack(
    unit: Unit, systems: Sequence[str], speaking_window_s: float | None = None
) -> tuple[Floats, Floats]:
    """The traces of some systems side by side, and their times.

    Args:
        unit: reads the traces by their systems, and `speech` if the stack is to be split.
        systems: their order in the stack.
        speaking_window_s: split the stack by the share of speaking time in this window; None: don't.

    Returns:
        (N, M, 2), or (N, 2 M, 2) if split; (N,).
    """
    stack = _side_by_side(unit, systems, read_trace)
    time_s = read_times(unit, next(system for system in systems if system in unit.reads))
    return _split(unit, time_s, speaking_window_s)(stack), time_s


def read_stacks_by_fold(
    unit: Unit, systems: Sequence[str], time_s: Floats, folds: int, speaking_window_s: float | None = None
) -> Floats:
    """The same by what each fold's others picked. Shape: -> (folds, N, M, 2), or (folds, N, 2 M, 2).

    Args:
        unit: as for `read_stack`; reads `<system>.out_of_fold`, too.
        systems: their order in the stack.
        time_s: (N,) from `read_stack`.
        folds: their number.
        speaking_window_s: as for `read_stack`.
    """
    stacks = _side_by_side(unit, systems, lambda unit, system: read_trace_by_fold(unit, system, folds))
    return np.stack([*map(_split(unit, time_s, speaking_window_s), stacks)])


def _side_by_side(unit: Unit, systems: Sequence[str], read: Callable[[Unit, str], Floats]) -> Floats:
    """Traces (..., N, 2) as one stack (..., N, M, 2); the mean of the others in place of an abstention."""
    traces = {name: read(unit, name) for name in systems if name in unit.reads}
    if not traces:
        raise ValaroError(f"{unit.name}: none of {', '.join(systems)} has a trace to fuse")
    mean = np.mean(list(traces.values()), axis=0)
    return np.stack([traces.get(system, mean) for system in systems], axis=-2)


def _split(unit: Unit, time_s: Floats, speaking_window_s: float | None) -> Callable[[Floats], Floats]:
    """Split a stack by the share of speaking time, or leave it as it is."""
    if speaking_window_s is None:
        return lambda stack: stack
    speech = read_arrays(unit.reads["speech"], "speaking", "time_s")
    share = speaking_share(speech["speaking"], speech["time_s"], time_s, speaking_window_s)
    return lambda stack: split_by_speaking(stack, share)


def read_view(unit: Unit) -> View:
    """What the systems' intervals look at; embeddings are compared with none of training's."""
    reads = unit.reads
    return look(reads["faces"], reads["speech"], reads.get("embeddings"), np.empty((0, 0)))
