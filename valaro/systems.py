"""The systems that a user can ask for, by name."""

from stages.core.errors import ValaroError
from stages.core.former_names import present_name
from stages.core.systems import FUSIONS, SYSTEMS
from valaro.suggestions import unknown

BEST = "best"
"""The system with the best out-of-fold figure of the evaluation."""


def system_names() -> list[str]:
    """Everything that can be asked for."""
    return [BEST, *SYSTEMS, *FUSIONS]


def require_system(name: str) -> None:
    """Find out before the work whether there is such a system.

    Raises:
        ValaroError: there isn't; the message says which there are.
    """
    if present_name(name) not in (names := system_names()):
        raise ValaroError(unknown("system", name, names))
