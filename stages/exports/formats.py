"""The export formats by name, and which of them the user asked for.

Writers are imported on use, so that the command line, whose help names the formats, starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.core.errors import ValaroError

if TYPE_CHECKING:
    from stages.exports.trace import Trace


class Format(NamedTuple):
    """A way to write one trace to one file.

    Args:
        suffix: of the file, with the dot.
        write: (path, trace) writes the file.
        about: one line for the help.
        needs: an optional module that must be installed; "" for none.
    """

    suffix: str
    write: Callable[[Path, Trace], None]
    about: str
    needs: str = ""


def _csv(path: Path, trace: Trace) -> None:
    from stages.exports.tables import write_csv

    write_csv(path, trace)


def _parquet(path: Path, trace: Trace) -> None:
    from stages.exports.tables import write_parquet

    write_parquet(path, trace)


def _json(path: Path, trace: Trace) -> None:
    from stages.exports.tables import write_frames_json

    write_frames_json(path, trace)


def _vtt(path: Path, trace: Trace) -> None:
    from stages.exports.subtitles import write_vtt

    write_vtt(path, trace)


def _eaf(path: Path, trace: Trace) -> None:
    from stages.exports.elan import write_eaf

    write_eaf(path, trace)


FORMATS: dict[str, Format] = {
    "csv": Format(".csv", _csv, "a table, a row per frame"),
    "parquet": Format(".parquet", _parquet, "the same table, typed", needs="pyarrow"),
    "json": Format(".json", _json, "the summary with the frames in it"),
    "vtt": Format(".vtt", _vtt, "subtitles, WebVTT"),
    "eaf": Format(".eaf", _eaf, "annotations for ELAN"),
}


def names_in(words: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """The formats named by words such as `csv,vtt`, without repetitions, in this order.

    Args:
        words: names, each word one or several separated by commas.
        known: the valid names.

    Raises:
        ValueError: one of them is unknown, or there is none.
    """
    names = tuple(
        dict.fromkeys(name.strip() for word in words for name in word.lower().split(",") if name.strip())
    )
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        listed = [f"{name} ({FORMATS[name].about})" if name in FORMATS else name for name in known]
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(listed)}")
    return names


def require_writers(names: Iterable[str]) -> None:
    """Check before the work that every format can be written.

    Raises:
        ValaroError: the library for a format is missing.
    """
    for name in names:
        needs = FORMATS[name].needs if name in FORMATS else ""
        if needs and not find_spec(needs):
            raise ValaroError(f"{name} needs {needs}: `pip install {needs}`, or choose another format.")
