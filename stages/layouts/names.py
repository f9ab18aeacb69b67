"""Names from a corpus: normalised, and refused if they can't be file names."""

import unicodedata


def normal_name(name: str) -> str:
    """Normalise the encoding of accents (Unicode NFC), which differs in archives from macOS."""
    return unicodedata.normalize("NFC", name)


def unfit_name(name: str) -> str | None:
    """Why a name can't be a file name or a cell of a table; None if it can.

    A spreadsheet takes a cell that begins with =, + or @, or with - and an operator, for a formula.

    >>> unfit_name("../secret")
    "can't be a file name"
    """
    if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
        return "can't be a file name"
    if not name.isprintable():
        return "has characters that can't be printed"
    if name[0] in "=+@" or (name[0] == "-" and any(character in name for character in "(|!=+*")):
        return "would be a formula in a spreadsheet"
    return None
