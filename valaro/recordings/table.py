"""One table over all recordings of a folder of results: `traces.csv`, `traces.parquet`.

The rows of a recording come with its folder, in a hidden file. At its end a run moves all such rows into the
tables, also those that a killed run left; recordings that were computed again are replaced. One recording is
in memory at a time.
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
from stages.exports.whose import summary_in
from valaro.trace import DECIMALS, FIRST_COLUMN, Trace, table_of

STEM = "traces"
SUFFIXES = (".csv", ".parquet")
LAST_COLUMN = "person"
Replaces = Callable[[str, str], bool]
"""Whether rows of an earlier run, by recording and person, are of a recording that was computed again."""
ROWS = ".valaro-rows"
"""Without its ending, the file in a recording's folder that has its rows until they are in the table."""


def keep_rows(folder: Path, trace: Trace, suffixes: Collection[str]) -> None:
    """Write the rows of one recording, or of one person in it, beside its results.

    Args:
        folder: of the results, unfinished.
        trace: the rows.
        suffixes: of the tables that get them.
    """
    for suffix in suffixes:
        _KEEPERS[suffix](folder / f"{ROWS}{suffix}", trace)


class TracesTable:
    """The tables of a folder of results: those of the run's formats, and others that are there already.

    Args:
        out: the folder of results.
        scratch: a private folder on the same disk.
        formats: of the run; those of `csv` and `parquet` that it has get a table.

    Raises:
        ValaroError: a file that isn't such a table has its place.
    """

    def __init__(self, out: Path, scratch: Path, formats: Collection[str]) -> None:
        self._out, self._scratch = out, scratch
        self._order, self._finishing = dict[Path, list[Path]](), False
        self._names = dict[Path, set[str]]()
        files = [out / f"{STEM}{suffix}" for suffix in SUFFIXES]
        wanted = [file for file in files if file.suffix[1:] in formats]
        for file in wanted:
            if file.exists() and not _is_ours(file):
                problem = "is no table of this version of `valaro predict`"
                raise ValaroError(f"{file} {problem}. Move it away, or use another --out.")
        self.files = [file for file in files if file in wanted or self._has_rows(file)]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the tables."""
        return tuple(file.suffix for file in self.files)

    def add(self, recording: Path, folder: Path) -> None:
        """Tell that a folder with a recording's results, or those of one person in it, is in its place."""
        self._order.setdefault(recording, []).append(folder)

    def keep(self, recording: Path, folder: Path, trace: Trace) -> None:
        """Like `add`, of a recording that an earlier run finished: it gets rows for a table that has none."""
        for file in self.files:
            part = folder / f"{ROWS}{file.suffix}"
            if not part.exists() and plain_cell(one_line(trace.name)) not in self._names_in(file):
                new = self._scratch / part.name
                _KEEPERS[file.suffix](new, trace)
                new.replace(part)
        self.add(recording, folder)

    def _names_in(self, file: Path) -> set[str]:
        """The recordings that a table has rows of."""
        if file not in self._names:
            self._names[file] = _ALL_NAMES[file.suffix](file) if file.is_file() else set()
        return self._names[file]

    def finish(self, order: Sequence[Path]) -> None:
        """Write the tables; the recordings of this run come last, in the order given.

        Once: a signal may ask for it again while it is at work.

        Raises:
            ValaroError: a table couldn't be written, for want of room say; the other one is nevertheless.
        """
        if self._finishing:
            return
        self._finishing = True
        last = [folder for recording in order for folder in self._order.get(recording, ())]
        place = {folder: k for k, folder in enumerate(last)}
        failed = dict[Path, OSError]()
        with _alone(self._out) as directory:
            for file in self.files:
                parts = sorted(self._parts(file), key=lambda part: (place.get(part.parent, -1), part))
                new = self._scratch / file.name
                try:
                    if parts:
                        with whole(new) as partial:
                            _WRITERS[file.suffix](file, partial, parts, _replaces(parts))
                        new.replace(file)
                        os.fsync(directory)  # before the rows go
                except OSError as error:
                    failed[file] = error
                    continue
                for part in parts:
                    remove(part)
        for file, cause in failed.items():
            raise ValaroError(
                f"{file}: {cause.strerror or cause}. The recordings of this run aren't in it yet: make room; "
                "the next run adds them."
            ) from cause

    def _parts(self, file: Path) -> Iterator[Path]:
        """The rows that wait for a table."""
        for part in self._out.glob(f"*/{ROWS}{file.suffix}"):
            if summary_in(part.parent) is not None:
                yield part

    def _has_rows(self, file: Path) -> bool:
        """Whether a table that this run needn't write has rows, or is to get some of a killed run."""
        return _is_ours(file) if file.exists() else any(self._parts(file))


def _replaces(parts: Sequence[Path]) -> Replaces:
    """Those that the rows of a part replace; or of a person whom a run for everyone doesn't find any more."""
    known = [_NAMES[part.suffix](part) for part in parts]
    again = {name for name, _person in known}
    people = {name.removesuffix(person) for name, person in known if person}

    def replaces(name: str, person: str) -> bool:
        return name in again or (bool(person) and name.removesuffix(person) in people)

    return replaces


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """One process at a time writes the tables of a folder; yields its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_ours(file: Path) -> bool:
    """Whether it is such a table: nothing else is replaced."""
    try:
        return _header(file) == [FIRST_COLUMN, *Trace.column_names()]
    except Exception:  # of a folder, of bytes that are no text, of pyarrow's own kinds
        return False


def _header(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        return list(_schema(file).names)
    with file.open(newline="", encoding="utf-8") as opened:
        return next(csv.reader(opened))


def _write_csv(earlier: Path, path: Path, parts: Sequence[Path], replaces: Replaces) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FIRST_COLUMN, *Trace.column_names()])
        if earlier.is_file():
            with earlier.open(newline="", encoding="utf-8") as opened:
                rows = csv.reader(opened)
                next(rows)
                writer.writerows(row for row in rows if row and not replaces(row[0], row[-1]))
        for part in parts:
            with part.open(newline="", encoding="utf-8") as rows_of_one:
                shutil.copyfileobj(rows_of_one, file)


def _write_parquet(earlier: Path, path: Path, parts: Sequence[Path], replaces: Replaces) -> None:
    """A row group per recording; the metadata of the schema hold the notices."""
    import pyarrow.parquet as pq

    kept = _row_groups(earlier, replaces) if earlier.is_file() else iter(())
    before = _notice_in(earlier) if earlier.is_file() else ""
    said = {before, *(notice for part in parts if (notice := _notice_in(part)) not in before)} - {""}
    schema = _schema(parts[0]).with_metadata({"notice": "; ".join(sorted(said))})
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in kept:
            writer.write_table(table.cast(schema))
        for part in parts:
            with part.open("rb") as rows:
                writer.write_table(pq.read_table(rows).cast(schema))


def _schema(file: Path) -> Any:
    """Of an open file, as a path would have to be UTF-8."""
    import pyarrow.parquet as pq

    with file.open("rb") as opened:
        return pq.read_schema(opened)


def _notice_in(file: Path) -> str:
    metadata: dict[bytes, bytes] = _schema(file).metadata or {}
    return metadata.get(b"notice", b"").decode("utf-8", "replace")


def _row_groups(file: Path, without: Replaces) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with file.open("rb") as raw, pq.ParquetFile(raw) as opened:
        for number in range(opened.num_row_groups):
            table = opened.read_row_group(number)
            if not without(table[FIRST_COLUMN][0].as_py(), table[LAST_COLUMN][0].as_py()):
                yield table


def _names_in_csv(part: Path) -> tuple[str, str]:
    """The recording's name and the person; empty where it has no frame."""
    with part.open(newline="", encoding="utf-8") as opened:
        return next(((row[0], row[-1]) for row in csv.reader(opened)), ("", ""))


def _keep_csv(part: Path, trace: Trace) -> None:
    """The rows as `valaro.trace.rounded` gives them, without pandas, whose import takes as long as a clip."""
    columns = [_cells(column) for column in trace.columns().values()]
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        name = plain_cell(one_line(trace.name))
        writer.writerows((name, *cells) for cells in zip(*columns, strict=True))


def _cells(column: NDArray[Any]) -> list[Any]:
    """Six decimals, flags as 0 and 1, nothing for NaN."""
    if column.dtype == bool:
        return list(column.astype(int).tolist())
    if not np.issubdtype(column.dtype, np.floating):
        return list(column.tolist())
    figures = column.astype(np.float64).round(DECIMALS).tolist()
    return ["" if isnan(figure) else figure for figure in figures]


def _keep_parquet(part: Path, trace: Trace) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(table_of([trace]), preserve_index=False)
    with part.open("wb") as file:
        pq.write_table(table.replace_schema_metadata({"notice": one_line(trace.notice)}), file)


_KEEPERS: dict[str, Callable[[Path, Trace], None]] = {".csv": _keep_csv, ".parquet": _keep_parquet}


def _names_in_parquet(part: Path) -> tuple[str, str]:
    import pyarrow.parquet as pq

    with part.open("rb") as opened:
        columns = pq.read_table(opened, columns=[FIRST_COLUMN, LAST_COLUMN])
    return columns[FIRST_COLUMN][0].as_py(), columns[LAST_COLUMN][0].as_py()


def _all_names_in_csv(file: Path) -> set[str]:
    """The first cell of every row; most rows begin like the one before, which is quickly seen."""
    names, begin = set[str](), b"\n"
    with file.open("rb") as opened:
        next(opened)
        for line in opened:
            if not line.startswith(begin):
                name = next(csv.reader([line.decode("utf-8", "replace")]), [""])[0]
                names.add(name)
                begin = f"{name},".encode()
    return names


def _all_names_in_parquet(file: Path) -> set[str]:
    import pyarrow.parquet as pq

    with file.open("rb") as raw, pq.ParquetFile(raw) as opened:
        groups = range(opened.num_row_groups)
        columns = [opened.read_row_group(k, columns=[FIRST_COLUMN])[FIRST_COLUMN] for k in groups]
    return {name.as_py() for column in columns for name in column.unique()}


_ALL_NAMES: dict[str, Callable[[Path], set[str]]] = {
    ".csv": _all_names_in_csv,
    ".parquet": _all_names_in_parquet,
}
_NAMES: dict[str, Callable[[Path], tuple[str, str]]] = {
    ".csv": _names_in_csv,
    ".parquet": _names_in_parquet,
}
_WRITERS: dict[str, Callable[[Path, Path, Sequence[Path], Replaces], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
