"""Names from outside: one spelling for each, and none that can't be a file name."""

import unicodedata


def normal_name(name: str) -> str:
    """One spelling for names that differ only in how accents are encoded (archives from macOS)."""
    return unicodedata.normalize("NFC", name)


def unfit_name(name: str) -> str | None:
    """Why a name can't become a file name and a cell of a table; None if it can.

    A spreadsheet takes a cell for a formula if it begins with =, + or @, or with - followed by a formula.

    >>> unfit_name("../secret")
    "can't be a file name"
    """
    if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
        return "can't be a file name"
    if not name.isprintable():
        return "holds characters that can't be printed"
    if name[0] in "=+@" or (name[0] == "-" and any(character in name for character in "(|!=+*")):
        return "would be a formula in a spreadsheet"
    return None
