"""Errors that the user can fix; messages name the file, the value and the remedy."""

from pathlib import Path


class ValaroError(Exception):
    """An error that stops the work and that the user can fix; printed without a traceback."""


class BadInput(ValaroError):
    """One input can't be used. It is listed with the reason, and the others are processed.

    Args:
        file: the file at fault.
        problem: what is wrong, with the invalid value.
        remedy: what the user can do.
    """

    def __init__(self, file: Path | str, problem: str, remedy: str) -> None:
        self.file, self.problem, self.remedy = str(file), problem.rstrip("."), remedy.rstrip(".")
        super().__init__(f"{self.file}: {self.problem}. {self.remedy}.")

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str, str]]:
        """Pickle all arguments, for other processes; by default an exception pickles its message only."""
        return BadInput, (self.file, self.problem, self.remedy)


class NotFinite(ValueError):
    """Values that must be finite aren't: a training has diverged, or a program is at fault."""
