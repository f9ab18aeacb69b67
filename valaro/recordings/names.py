"""Names of recordings, of which no two are equal, and which stay the same from run to run.

1. A recording has the name of its file. Several of equal name get as many of the folders above in front as
   tell them apart (`P01_cam`, `P02_cam`); those of one folder get their endings (`talk_mp4`, `talk_wav`).
2. A recording that has results in the output folder keeps the name of these.
3. Further folders are put in front of a name whose results are another recording's, and of one that another
   recording of equal name has behind folders (`cam` beside `P01_cam`).
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stages.core.errors import ValaroError
from stages.exports.trace import one_line, plain_cell
from stages.exports.whose import Whose, recording_of, summary_in, whose
from valaro.recordings.formats import SUBMISSION
from valaro.recordings.presence import PERSON
from valaro.recordings.table import STEM, SUFFIXES

SHOWN = 5
"""Names shown of many."""
_PERSON_S = re.compile(rf"{PERSON}\d+$")
_RESERVED = (*(f"{STEM}{suffix}" for suffix in SUFFIXES), SUBMISSION)
Ways = list[str]
"""Names that a recording may get: with none, one, two ... of the folders above it."""


def name_of(recording: Path) -> str:
    """The file's name, without its ending where that leaves a name."""
    return recording.stem if recording.stem.strip(".") else recording.name


def without_person(name: str) -> str:
    """The name of the recording, from that of a folder of one of its people."""
    return _PERSON_S.sub("", name)


def names_for(recordings: Sequence[Path], out: Path | None = None) -> dict[Path, str]:
    """The name of each recording, in their order; it is that of its folder of results.

    Args:
        recordings: each once.
        out: the folder of all results, where earlier runs left some; None: nothing is written.

    Raises:
        ValaroError: two names can't be told apart: they differ in capitals only, say.
    """
    group = {one: _key(name_of(one)) for one in recordings}
    twins = Counter((one.absolute().parent, group[one]) for one in recordings)
    with_ending = {name for (_folder, name), count in twins.items() if count > 1}
    ways = {one: _ways(one, with_ending=group[one] in with_ending) for one in recordings}
    depth = _tell_apart(ways, group)
    if out is None:
        return {one: found[depth[one]] for one, found in ways.items()}
    return _beside_earlier(ways, depth, out)


def _key(name: str) -> str:
    """Equal for names that a file system, or a cell of a table, takes for the same."""
    cell = plain_cell(name)
    if not (cell.isascii() and cell.isprintable()):
        cell = unicodedata.normalize("NFC", plain_cell(one_line(name)))
    return cell.casefold()


def _ways(recording: Path, *, with_ending: bool) -> Ways:
    ending = recording.suffix.replace(".", "_") if with_ending else ""
    folders = Path(os.path.abspath(recording)).parts[1:-1]  # noqa: PTH100, without following links
    name = f"{name_of(recording)}{ending}"
    return ["_".join([*folders[len(folders) - k :], name]) for k in range(len(folders) + 1)]


def _tell_apart(ways: dict[Path, Ways], group: dict[Path, str]) -> dict[Path, int]:
    """How many folders each name needs; the recordings of a group, those of one file name, get equally many.

    Raises:
        ValaroError: all folders are not enough.
    """
    most, depth = dict[str, int](), Counter[str]()
    for one, names in ways.items():
        most[group[one]] = max(most.get(group[one], 0), len(names) - 1)
    while True:
        found = {one: min(depth[group[one]], len(names) - 1) for one, names in ways.items()}
        clashes = _equal({one: ways[one][k] for one, k in found.items()})
        deeper = set[str]()
        for same in clashes:
            groups = sorted({group[one] for one in same}, key=lambda name: (len(name), name))
            # a/b and a_b: the one whose file is a_b stays.
            able = [[name for name in some if depth[name] < most[name]] for some in (groups[:-1], groups)]
            deeper |= {*(able[0] or able[1])}
        if not deeper:
            break
        depth.update(deeper)
    _require_distinct(clashes)
    return found


def _equal(names: dict[Path, str]) -> list[list[Path]]:
    """The recordings that share a name with others."""
    by_key = defaultdict[str, list[Path]](list)
    for one, name in names.items():
        by_key[_key(name)].append(one)
    return [same for same in by_key.values() if len(same) > 1]


def _require_distinct(clashes: Iterable[Sequence[Path]]) -> None:
    shared = [f"{_some(' and ', [str(path) for path in same])} would have the same name" for same in clashes]
    if shared:
        raise ValaroError(f"{_some('; ', shared)}. Rename them, or run them with different --out.")


def _some(between: str, named: list[str]) -> str:
    """A few of them, and how many more there are."""
    more = [f"{len(named) - SHOWN} more"] if len(named) > SHOWN else []
    return between.join([*named[:SHOWN], *more])


def _beside_earlier(ways: dict[Path, Ways], depth: dict[Path, int], out: Path) -> dict[Path, str]:
    """The names, once it is known what earlier runs left."""
    earlier, names = _Earlier(out), dict[Path, str]()
    taken = {_key(name) for name in _RESERVED}
    for one in ways:
        kept = next((name for name in earlier.names_of(one) if _key(name) not in taken), None)
        if kept is not None:
            names[one] = kept
            taken.add(_key(kept))
    others = Counter(_key(ways[one][depth[one]]) for one in ways if one not in names)
    for one, found in ways.items():
        if one in names:
            continue
        natural = found[depth[one]]
        others[_key(natural)] -= 1
        free = (
            name
            for name in found[depth[one] :]
            if _key(name) not in taken
            and not others[_key(name)]
            and not earlier.is_anothers(name, one)
            and not earlier.tells_apart(name, one)
        )
        names[one] = next(free, natural)  # where all are others' it is refused when its turn comes
        taken.add(_key(names[one]))
    _require_distinct(_equal(names))
    return {one: names[one] for one in ways}


class _Earlier:
    """What is in the folder of results: names that are equal to a file system are one."""

    def __init__(self, out: Path) -> None:
        self._folders, self._ends = defaultdict[str, list[Path]](list), defaultdict[str, list[Path]](list)
        for folder in sorted(out.iterdir()) if out.is_dir() else ():
            for name in {folder.name, without_person(folder.name)}:
                self._folders[_key(name)].append(folder)
                parts = name.split("_")
                for k in range(1, len(parts)):
                    self._ends[_key("_".join(parts[k:]))].append(folder)

    def names_of(self, recording: Path) -> Iterator[str]:
        """The names under which it has results, the longest first, as it says most."""
        plain, ended = (_ways(recording, with_ending=with_ending) for with_ending in (False, True))
        for name in (name for both in zip(ended[::-1], plain[::-1], strict=True) for name in both):
            for folder in self._folders.get(_key(name), ()):
                if whose(folder, recording) in (Whose.THIS, Whose.CHANGED):
                    same = _key(folder.name) == _key(name)
                    yield folder.name if same else without_person(folder.name)

    def is_anothers(self, name: str, recording: Path) -> bool:
        """Whether the results of that name are of another recording."""
        return any(whose(folder, recording) is Whose.OTHER for folder in self._folders.get(_key(name), ()))

    def tells_apart(self, name: str, recording: Path) -> bool:
        """Whether a recording of equal file name has results whose name is this one behind some folder."""
        for folder in self._ends.get(_key(name), ()):
            summary = summary_in(folder) or {}
            known = isinstance(summary.get("file"), str)
            if known and name_of(recording_of(folder, summary)) == name_of(recording):
                return True
        return False
