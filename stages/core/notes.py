"""Notes: what was odd about an input, or why it was set aside, in one line that a terminal can show."""

from dataclasses import dataclass


def printable(text: str) -> str:
    """The text with line breaks, terminal codes and bytes that aren't text written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


QUOTED_CHARACTERS = 60


def quoted(text: str) -> str:
    """A piece of a file as a message may quote it: in quotes, cut after some 60 characters."""
    return repr(text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 4]} ...")


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
