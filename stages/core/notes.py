"""Notes: warnings on an input, or the reason why it was set aside, in one printable line."""

from dataclasses import dataclass


def printable(text: str) -> str:
    """The text with escapes for line breaks, terminal codes and bytes that aren't UTF-8."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


QUOTED_CHARACTERS = 60


def quoted(text: str) -> str:
    """A piece of a file for a message: in quotes, truncated to QUOTED_CHARACTERS."""
    return repr(text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 4]} ...")


@dataclass(frozen=True)
class Note:
    """A warning, or the reason why one input was set aside (`quarantined`).

    Args:
        subject: subject, video or other name of the input.
        file: path of the file.
        problem: what is wrong.
        remedy: what the user can do.
        quarantined: whether the input was set aside.
    """

    subject: str
    file: str
    problem: str
    remedy: str
    quarantined: bool = False

    def __post_init__(self) -> None:
        """Escape characters that can't be printed or encoded, e.g. in file names."""
        for name in ("subject", "file", "problem", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}. {self.remedy}."
