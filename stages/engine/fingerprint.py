"""The key of a result: a hash of the bytes read, the parameters, and the code that computes it.

Files are identified by MD5, as in DVC's cache, so that cached results can be found there. Code is identified
by the syntax trees of a module and of everything it imports from this package: comments and docstrings don't
change the key, any other edit does. The versions of the libraries that the code imports enter too.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from stages.core.artefacts import write_json

PACKAGE = "stages"
ROOT = Path(__file__).resolve().parents[2]
NOT_PART_OF_A_RESULT = (f"{PACKAGE}.engine", f"{PACKAGE}.core.params", f"{PACKAGE}.inference.after_training")
"""The engine affects when and where results are computed, not their content. `core.params` checks the
parameters, whose values enter the key directly. `inference.after_training` runs when a result is finished."""

LIBRARIES = {  # module -> distribution
    "PIL": "pillow",
    "accelerate": "accelerate",
    "av": "av",
    "cv2": "opencv-contrib-python-headless",
    "google_crc32c": "google-crc32c",
    "h5py": "h5py",
    "mediapipe": "mediapipe",
    "numpy": "numpy",
    "openvino": "openvino",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "soundfile": "soundfile",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
}


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes: the name of the content in DVC's cache, not a security measure."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class Parsed(NamedTuple):
    """What a file of code contributes: the hash of its syntax tree, and the names that it imports."""

    syntax: str
    imported: list[str]


CODES = TypeAdapter(dict[str, tuple[str, Parsed]])
"""File -> its state, and what it contributed in that state."""


class FileHashes:
    """MD5 of files, cached by (path, inode, size, modification time), so that a large corpus is read once.

    Args:
        database: SQLite file of the cache, created if missing.
    """

    def __init__(self, database: Path) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _open(database)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked or not writable, but not damaged
                raise
            database.unlink()  # only a cache; the files are read again
            self._connection = _open(database)

    def __call__(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Path -> MD5; threads read the files that changed."""
        marks = {path: _mark(path) for path in dict.fromkeys(paths)}
        known = {path: self._known(path, mark) for path, mark in marks.items()}
        unknown = [path for path, md5 in known.items() if md5 is None]
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
            fresh = dict(zip(unknown, threads.map(md5_of, unknown), strict=True))
        rows = [(str(path.absolute()), marks[path], md5) for path, md5 in fresh.items()]
        self._connection.execute("BEGIN")  # one transaction: with one per row, each would wait for the disk
        self._connection.executemany("INSERT OR REPLACE INTO md5 VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        return {path: fresh.get(path) or known[path] or "" for path in marks}

    def _known(self, path: Path, mark: str) -> str | None:
        query = "SELECT md5 FROM md5 WHERE path = ? AND mark = ?"
        row = self._connection.execute(query, (str(path.absolute()), mark)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _open(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS md5 (path TEXT PRIMARY KEY, mark TEXT, md5 TEXT)")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def key_of(**parts: Any) -> str:
    """SHA-256 of values of JSON types, in hexadecimal."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_of(module: str) -> str:
    """Hash of the syntax trees of `module` and of its direct and indirect imports from this package."""
    return _code_of(module, _parsed)


def remembered_code_of(module: str, memory: Path) -> str:
    """`code_of`, with what it takes from each file cached until the file changes.

    Args:
        module: name of the module.
        memory: JSON file of the cache, created if missing.
    """
    known = _read_codes(memory)
    before = dict(known)

    def recall(path: Path) -> Parsed:
        name, mark = path.relative_to(ROOT).as_posix(), _mark(path)
        if known.get(name, ("",))[0] != mark:
            known[name] = (mark, _parsed(path))
        return known[name][1]

    code = _code_of(module, recall)
    if known != before:
        with suppress(OSError):  # only a cache
            write_json(memory, known, durable=False)
    return code


def _read_codes(memory: Path) -> dict[str, tuple[str, Parsed]]:
    try:
        return CODES.validate_json(memory.read_bytes())
    except (OSError, ValueError):
        return {}


def _code_of(module: str, parse: Callable[[Path], Parsed]) -> str:
    files = _closure(module, parse)
    libraries = sorted(
        {name.split(".")[0] for file in files.values() for name in file.imported} & set(LIBRARIES)
    )
    versions = {library: importlib.metadata.version(LIBRARIES[library]) for library in libraries}
    return key_of(code={name: file.syntax for name, file in files.items()}, versions=versions)


def files_of(module: str) -> list[Path]:
    """The files whose syntax enters `code_of(module)`."""
    return [_located(name) for name in _closure(module, _parsed)]


def _mark(path: Path) -> str:
    status = path.stat()
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _closure(module: str, parse: Callable[[Path], Parsed]) -> dict[str, Parsed]:
    """Module -> its file, sorted: the module, and what it imports from this package."""
    found: dict[str, Parsed] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and not _outside(name):
            found[name] = parse(_located(name))
            waiting += [other for other in found[name].imported if _file(other)]
    return dict(sorted(found.items()))


def _outside(module: str) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in NOT_PART_OF_A_RESULT)


def _located(module: str) -> Path:
    path = _file(module)
    if path is None:
        raise ModuleNotFoundError(f"{module}: not a module of this package")
    return path


def _file(module: str) -> Path | None:
    if module.split(".")[0] != PACKAGE:
        return None
    stem = ROOT.joinpath(*module.split("."))
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _parsed(path: Path) -> Parsed:
    return _parsed_source(path.read_text(encoding="utf-8"))


@cache
def _parsed_source(source: str) -> Parsed:
    tree = _bare(source)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return Parsed(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), names)


def _bare(source: str) -> ast.Module:
    """The syntax tree without docstrings, including those below constants and attributes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string and nothing else, which has no effect."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
