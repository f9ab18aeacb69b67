"""One table over all recordings of a folder of results: `traces.csv`, `traces.parquet`.

A run adds its recordings to what earlier runs left; those that it computed again are replaced. One recording
is in memory at a time.
"""

import csv
import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.artefacts import remove, whole
from stages.core.errors import ValaroError
from stages.exports.trace import one_line, plain_cell
from valaro.recordings.presence import PERSON
from valaro.trace import DECIMALS, FIRST_COLUMN, Trace, table_of

STEM = "traces"
SUFFIXES = (".csv", ".parquet")
LAST_COLUMN = "person"
Replaces = Callable[[str, str], bool]


class TracesTable:
    """The rows of a run, until they go to the tables of its folder.

    Args:
        out: the folder of results.
        scratch: a private folder.
        formats: of the run; those of `csv` and `parquet` that it has get a table.

    Raises:
        ValaroError: a file that isn't such a table has its place.
    """

    def __init__(self, out: Path, scratch: Path, formats: Collection[str]) -> None:
        self._scratch, self._recordings = scratch, list[Path]()
        self.files = [out / f"{STEM}{suffix}" for suffix in SUFFIXES if suffix[1:] in formats]
        self._notices, self._finishing = set[str](), False
        self._everyone = set[str]()
        for file in self.files:
            if file.exists():
                _require_ours(file)

    def add(self, recording: Path, trace: Trace) -> None:
        """Keep the rows of one recording, or of one person in it."""
        for file in self.files:
            _KEEPERS[file.suffix](self._part(len(self._recordings), file), trace)
        self._recordings.append(recording)
        self._notices |= {trace.notice} - {""}
        if trace.person:
            self._everyone.add(_cell(trace.name.removesuffix(f"{PERSON}{trace.person}")))

    def _replaces(self, parts: Sequence[Path]) -> Replaces:
        """Whether rows of an earlier run, by recording and person, are of a recording of this one.

        They may be of a person whom this run, which looked for everyone, doesn't find.
        """
        again = {_NAMES[part.suffix](part) for part in parts}
        people = tuple(f"{name}{PERSON}" for name in self._everyone)

        def replaces(name: str, person: str) -> bool:
            return name in again or any(name == f"{before}{person}" for before in people if person)

        return replaces

    def _part(self, number: int, file: Path) -> Path:
        """Where the rows of one recording wait for a table."""
        return self._scratch / f"part-{number}{file.suffix}"

    def finish(self, order: Sequence[Path]) -> None:
        """Write the tables; the recordings of this run come last, in the order given.

        Once: a signal may ask for it again while it is at work.

        Raises:
            ValaroError: a table couldn't be written, for want of room say; the other one is nevertheless.
        """
        if self._finishing:
            return
        self._finishing = True
        numbers = [k for wanted in order for k, name in enumerate(self._recordings) if name == wanted]
        failed = dict[Path, OSError]()
        for file in self.files if numbers else ():
            parts = [self._part(number, file) for number in numbers]
            try:
                with _alone(file.parent), whole(file) as partial:
                    _WRITERS[file.suffix](file, partial, parts, self._notices, self._replaces(parts))
            except OSError as error:
                failed[file] = error
            for part in parts:
                remove(part)
        for file, cause in failed.items():
            raise ValaroError(
                f"{file}: {cause.strerror or cause}. The recordings of this run aren't in it, only in their "
                "own folders: make room, and run them again with --force."
            ) from cause


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time writes the tables of a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _require_ours(file: Path) -> None:
    """Nothing is replaced that isn't such a table.

    Raises:
        ValaroError: it isn't.
    """
    expected = [FIRST_COLUMN, *Trace.column_names()]
    try:
        found = _header(file)
    except Exception:  # of a folder, of bytes that are no text, of pyarrow's own kinds
        found = []
    if found != expected:
        raise ValaroError(
            f"{file} is no table of this version of `valaro predict`. Move it away, or use another --out."
        )


def _header(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    with file.open(newline="", encoding="utf-8") as opened:
        return next(csv.reader(opened))


def _write_csv(
    earlier: Path, path: Path, parts: Sequence[Path], _notices: Collection[str], replaces: Replaces
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FIRST_COLUMN, *Trace.column_names()])
        if earlier.is_file():
            with earlier.open(newline="", encoding="utf-8") as opened:
                rows = csv.reader(opened)
                next(rows)
                writer.writerows(row for row in rows if not replaces(row[0], row[-1]))
        for part in parts:
            with part.open(newline="", encoding="utf-8") as rows_of_one:
                shutil.copyfileobj(rows_of_one, file)


def _write_parquet(
    earlier: Path, path: Path, parts: Sequence[Path], notices: Collection[str], replaces: Replaces
) -> None:
    """A row group per recording; the metadata of the schema hold the notices."""
    import pyarrow.parquet as pq

    kept = _row_groups(earlier, replaces) if earlier.is_file() else iter(())
    before = pq.read_schema(earlier).metadata or {} if earlier.is_file() else {}
    said = {*notices, before.get(b"notice", b"").decode("utf-8", "replace")} - {""}
    schema = pq.read_schema(parts[0]).with_metadata({"notice": one_line("; ".join(sorted(said)))})
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in kept:
            writer.write_table(table.cast(schema))
        for part in parts:
            writer.write_table(pq.read_table(part).cast(schema))


def _row_groups(file: Path, without: Replaces) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        for number in range(opened.num_row_groups):
            table = opened.read_row_group(number)
            if not without(table[FIRST_COLUMN][0].as_py(), table[LAST_COLUMN][0].as_py()):
                yield table


def _name_in_csv(part: Path) -> str | None:
    """The recording's name; None where it has no frame."""
    with part.open(newline="", encoding="utf-8") as opened:
        return next((row[0] for row in csv.reader(opened)), None)


def _keep_csv(part: Path, trace: Trace) -> None:
    """The rows as `valaro.trace.rounded` gives them, without pandas, whose import takes as long as a clip."""
    columns = [_cells(column) for column in trace.columns().values()]
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        name = _cell(trace.name)
        writer.writerows((name, *cells) for cells in zip(*columns, strict=True))


def _cell(name: str) -> str:
    """A recording's name as it stands in a table."""
    return plain_cell(one_line(name))


def _cells(column: NDArray[Any]) -> list[Any]:
    """Six decimals, flags as 0 and 1, nothing for NaN."""
    if column.dtype == bool:
        return list(column.astype(int).tolist())
    if not np.issubdtype(column.dtype, np.floating):
        return list(column.tolist())
    figures = column.astype(np.float64).round(DECIMALS).tolist()
    return ["" if isnan(figure) else figure for figure in figures]


def _keep_parquet(part: Path, trace: Trace) -> None:
    table_of([trace]).to_parquet(part, index=False)


_KEEPERS: dict[str, Callable[[Path, Trace], None]] = {".csv": _keep_csv, ".parquet": _keep_parquet}


def _name_in(part: Path) -> str:
    import pyarrow.parquet as pq

    return str(pq.read_table(part, columns=[FIRST_COLUMN])[FIRST_COLUMN][0].as_py())


_NAMES: dict[str, Callable[[Path], str | None]] = {".csv": _name_in_csv, ".parquet": _name_in}
_WRITERS: dict[str, Callable[[Path, Path, Sequence[Path], Collection[str], Replaces], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
