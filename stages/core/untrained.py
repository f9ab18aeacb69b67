"""Models that a corpus has nothing to train on, such as the audio model where nobody speaks.

The run goes on without them. In place of the weights lies a file that holds none, and says why: all that
follows asks it (`read_untrained`), and treats every recording as one for which the system makes no
prediction. To load such a file as a model is an error: it has no configuration to build one from.
"""

from pathlib import Path

from stages.core.artefacts import read_header, whole
from stages.core.errors import ValaroError
from stages.core.notes import Note

_REASON, _REMEDY = "untrained", "remedy"


class Untrained(ValaroError):
    """There is nothing to train a model on.

    Args:
        reason: what is missing.
        remedy: what the user can do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{reason}. {remedy}.")

    def __reduce__(self) -> tuple[type["Untrained"], tuple[str, str]]:
        """Pickle both arguments, for other processes."""
        return Untrained, (self.reason, self.remedy)

    def note(self, system: str, file: Path | str) -> Note:
        """A note on the system that isn't there.

        Args:
            system: its name.
            file: that of its weights.
        """
        return Note(system, str(file), f"no model: {self.reason}", self.remedy)


def write_untrained(path: Path, lack: Untrained) -> None:
    """Write what lies in place of a model's weights.

    Args:
        path: the file, ending in .safetensors, written atomically.
        lack: why there are none.
    """
    from safetensors.numpy import save_file

    with whole(path) as partial:
        save_file({}, partial, {_REASON: lack.reason, _REMEDY: lack.remedy})


def read_untrained(path: Path) -> Untrained | None:
    """Why a file of weights holds none; None for weights, and where there is no file.

    Raises:
        BadInput: the file is damaged.
    """
    if not path.is_file():
        return None
    said = read_header(path).metadata
    return Untrained(said[_REASON], said[_REMEDY]) if _REASON in said else None
