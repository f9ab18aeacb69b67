"""Errors that a user can act on: the file, the value, the remedy."""

from pathlib import Path


class ValaroError(Exception):
    """Anything that stops the work and that the user can fix; printed without a traceback."""


class BadInput(ValaroError):
    """One input can't be used. The others go on; this one is listed with its reason.

    Args:
        file: the file at fault.
        problem: what is wrong with it, with the offending value.
        remedy: what to do about it.
    """

    def __init__(self, file: Path | str, problem: str, remedy: str) -> None:
        self.file, self.problem, self.remedy = str(file), problem.rstrip("."), remedy.rstrip(".")
        super().__init__(f"{self.file}: {self.problem}. {self.remedy}.")

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str, str]]:
        """Cross a process boundary whole (exceptions pickle their message only)."""
        return BadInput, (self.file, self.problem, self.remedy)
