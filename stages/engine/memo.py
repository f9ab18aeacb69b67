"""The memo: a cache of finished results, whose keys are hashes of everything that determines a result.

DVC caches whole stages; the memo caches single results within a stage. One new video among 600 then costs one
video, and a killed run loses only the units in progress. Records are outside DVC's outputs, in `.valaro/memo`
of the main repository (also for experiments that run in a copy). The bytes are stored once:

1. A finished file is linked (reflink, hardlink, else copied) into `.valaro/blobs` under its MD5.
2. Once DVC has committed the stage, its own cache has the same bytes under the same MD5, and the link here is
   removed (`release`).
3. `recall` links the bytes from either place, but only if their MD5 still matches: with a damaged or missing
   blob or record the result is computed again. So nothing here waits for the disk.
"""

import configparser
import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stages.core.artefacts import PARTIAL, files_of, read_json, remove, whole, write_json
from stages.core.notes import Note
from stages.engine.fingerprint import md5_of

HOUR_S = 3600  # concurrent runs write here too, but no file takes so long
FICLONE = 0x40049409  # Linux ioctl: share the extents of another file


@dataclass(frozen=True)
class Record:
    """The result of one unit: role -> relative name -> MD5 of its files; and its notes."""

    files: dict[str, dict[str, str]]
    notes: list[Note]


RECORD = TypeAdapter(Record)


class Memo:
    """The cached results of one stage.

    Args:
        home: `.valaro` of the main repository.
        cache: DVC's cache of file contents (`files/md5`), which may not exist yet.
        stage: name of the stage.
    """

    def __init__(self, home: Path, cache: Path, stage: str) -> None:
        self._records = home / "memo" / stage
        self._blobs = home / "blobs"
        self._cache = cache

    def recall(self, key: str, writes: dict[str, Path]) -> Record | None:
        """Restore the files of a cached result at `writes`; None if it must be computed.

        Args:
            key: key of the result.
            writes: role -> path of the output.
        """
        record = self._read(key)
        if record is None or record.files.keys() != writes.keys():
            return None
        sources = {
            role: {name: self._find(md5) for name, md5 in files.items()}
            for role, files in record.files.items()
        }
        if any(source is None for files in sources.values() for source in files.values()):
            return None
        try:
            for role, files in sources.items():
                with whole(writes[role]) as partial:
                    if not files:  # an empty folder
                        partial.mkdir()
                    for name, source in files.items():
                        target = partial / name if name else partial
                        target.parent.mkdir(parents=True, exist_ok=True)
                        link(source, target)  # type: ignore[arg-type]
        except FileNotFoundError:  # another run released the blob, or `dvc gc` removed it
            return None
        return record

    def knows(self, key: str) -> bool:
        """Whether there is a record of this result. Its files may be damaged: only `recall` looks at them."""
        return self._read(key) is not None

    def remember(self, key: str, writes: dict[str, Path], notes: list[Note]) -> Record:
        """Cache the files at `writes` as the result with this key."""
        files: dict[str, dict[str, str]] = {}
        for role, path in writes.items():
            files[role] = {}
            for file in files_of(path):
                md5 = md5_of(file)
                files[role]["" if file == path else file.relative_to(path).as_posix()] = md5
                self._keep(file, md5)
        record = Record(files, notes)
        write_json(self._records / key[:2] / f"{key}.json", asdict(record), durable=False)
        return record

    def release(self) -> None:
        """Remove every blob that DVC's cache has too, and unfinished files of killed runs."""
        for folder in (*self._blobs.glob("??"), *self._records.glob("??")):
            _sweep_old(folder)
        for blob in self._blobs.glob("??/*") if self._blobs.is_dir() else ():
            if _holds(self._cache / blob.parent.name / blob.name, blob.parent.name + blob.name):
                remove(blob)

    def _read(self, key: str) -> Record | None:
        try:
            return RECORD.validate_python(read_json(self._records / key[:2] / f"{key}.json"))
        except (OSError, ValueError):  # including pydantic's ValidationError
            return None

    def _find(self, md5: str) -> Path | None:
        for folder in (self._cache, self._blobs):
            path = folder / md5[:2] / md5[2:]
            if _holds(path, md5):
                return path
        return None

    def _keep(self, file: Path, md5: str) -> None:
        if self._find(md5) is None:
            with whole(self._blobs / md5[:2] / md5[2:], durable=False) as partial:
                link(file, partial)


def _holds(path: Path, md5: str) -> bool:
    return path.is_file() and md5_of(path) == md5


def _sweep_old(folder: Path) -> None:
    for leftover in list(folder.glob(f"{PARTIAL}*")):
        with suppress(FileNotFoundError):  # another run removed it
            if time.time() - leftover.lstat().st_ctime >= HOUR_S:
                remove(leftover)


def link(source: Path, target: Path) -> None:
    """Link `source` to `target`: reflink, else hardlink, else copy."""
    try:
        with source.open("rb") as old, target.open("xb") as new:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        return
    except OSError:
        target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)


def dvc_cache(repository: Path) -> Path:
    """DVC's cache of file contents: in `cache.dir` of its configuration, else in `.dvc/cache`."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([repository / ".dvc" / "config", repository / ".dvc" / "config.local"], encoding="utf-8")
    folder = settings.get("cache", "dir", fallback="cache").strip("\"'")
    return repository / ".dvc" / folder / "files" / "md5"
