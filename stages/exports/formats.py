"""The formats by name, and what the user asked for."""

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import ValaroError
from stages.exports.elan import write_eaf
from stages.exports.subtitles import write_vtt
from stages.exports.tables import write_csv, write_frames_json, write_parquet
from stages.exports.trace import Trace


class Format(NamedTuple):
    """A way to write one trace to one file."""

    suffix: str
    write: Callable[[Path, Trace], None]


FORMATS: dict[str, Format] = {
    "csv": Format(".csv", write_csv),
    "parquet": Format(".parquet", write_parquet),
    "json": Format(".json", write_frames_json),
    "vtt": Format(".vtt", write_vtt),
    "eaf": Format(".eaf", write_eaf),
}


def names_in(words: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """The formats in words such as `csv,vtt`, each once, in the order asked.

    Raises:
        ValueError: one of them is unknown, or there is none.
    """
    names = tuple(
        dict.fromkeys(name.strip() for word in words for name in word.lower().split(",") if name.strip())
    )
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(known)}")
    return names


def require_writers(names: Iterable[str]) -> None:
    """Find out before the work rather than after it that a format can't be written.

    Raises:
        ValaroError: the library that writes it is missing.
    """
    if "parquet" in names and not find_spec("pyarrow"):
        raise ValaroError("Parquet needs pyarrow: `pip install pyarrow`, or choose another format.")
