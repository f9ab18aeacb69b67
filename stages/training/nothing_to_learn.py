"""The results of a training that has nothing to train on."""

from collections.abc import Sequence

from stages.core.artefacts import write_json
from stages.core.notes import Note
from stages.core.untrained import Untrained, write_untrained
from stages.engine.units import Unit
from stages.training.curves import write_no_epochs


def leave_untrained(
    unit: Unit, lack: Untrained, scores: Sequence[str], files: Sequence[str] = ()
) -> list[Note]:
    """Write every result of the unit, in the form that says that there is no model; return the note on it.

    Args:
        unit: of the training. It writes `model`, `plots`, `metrics` and `out_of_fold`.
        lack: why there is no model.
        scores: of validation, whose curves have no epochs.
        files: of a model that is a folder, the names of its files.
    """
    model = unit.writes["model"]
    for path in [model / name for name in files] or [model]:
        write_untrained(path, lack)
    write_json(unit.writes["metrics"], {"reason": lack.reason})
    write_no_epochs(unit.writes["plots"], scores)
    unit.writes["out_of_fold"].mkdir(parents=True)
    return [lack.note(unit.name, f"models/{unit.name}")]
