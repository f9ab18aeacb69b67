"""Notes: what was odd about an input, or why it was set aside, in one line that a terminal can show."""

from dataclasses import dataclass


def printable(text: str) -> str:
    """The text with line breaks, terminal codes and bytes that aren't text written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Note:
    """A warning, or the reason why one input was set aside (`quarantined`)."""

    subject: str
    file: str
    problem: str
    remedy: str
    quarantined: bool = False

    def __post_init__(self) -> None:
        """One line of text, whatever a file name holds: what can't be printed or encoded is escaped."""
        for name in ("subject", "file", "problem", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}. {self.remedy}."
