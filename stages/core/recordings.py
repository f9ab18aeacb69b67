"""The meaning of names: which person of a video, and which subjects and videos belong to one recording.

1. `X_left` and `X_right` are the two people in the recording X. If only one of them and `X` exist, `X` is the
   other person.
2. `X-1`, `X-2` or `X_1`, `X_2`, ... are parts of one recording in separate files, if X has a number but isn't
   only a number (`122-60-1920x1080-1`, `video86_2`). `clip_1` isn't a part, since `clip` has no number;
   `21-24` isn't one, since 21 is only a number; and a name without a sibling isn't one.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")

_PART = re.compile(r"(?P<whole>.+)[-_]\d{1,2}")


def split_side(name: str) -> tuple[str, Side | None]:
    """A subject's name without its side, and the side: ("video2", "left") for `video2_left`."""
    for side in SIDES:
        if name.endswith(f"_{side}") and name != f"_{side}":
            return name.removesuffix(f"_{side}"), side
    return name, None


def siblings_left_out(name: str, subjects: Collection[str]) -> tuple[str, ...]:
    """The siblings with a side, whose faces a subject without a side must not get; () without any."""
    if split_side(name)[1] is not None:
        return ()
    return tuple(f"{name}_{side}" for side in SIDES if f"{name}_{side}" in subjects)


def recordings_of(names: Iterable[str], parts: bool = True) -> dict[str, str]:
    """Name -> its recording, for names of videos or subjects.

    Args:
        names: all names of the corpus, since parts are recognised by their siblings.
        parts: whether `X-1`, `X-2` are one recording X; False: only the sides are removed.
    """
    bare = {name: split_side(name)[0] for name in names}
    members: dict[str, set[str]] = defaultdict(set)
    for name in bare.values():
        members[_whole(name)].add(name)
    return {
        name: whole if parts and len(members[whole := _whole(video)]) > 1 else video
        for name, video in bare.items()
    }


def join_groups(recordings: Mapping[str, str], groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join the recordings of videos that share a group (a participant, say), directly or by others.

    Args:
        recordings: video -> its recording.
        groups: pairs of a video and a group; a video may be in several.

    Returns:
        Video -> the first name, in alphabetical order, of the recordings that are joined to its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [((recordings[video], ""), ("", group)) for video, group in groups]
    nodes = [*dict.fromkeys([*((name, "") for name in recordings.values()), *(pair[1] for pair in pairs)])]
    place = {node: k for k, node in enumerate(nodes)}
    edges = ([place[a] for a, _ in pairs], [place[b] for _, b in pairs])
    graph = coo_array(([1] * len(pairs), edges), shape=(len(nodes), len(nodes)))
    component = connected_components(graph, directed=False)[1].tolist()
    first: dict[int, str] = {}
    for name in sorted(set(recordings.values())):
        first.setdefault(component[place[name, ""]], name)
    return {video: first[component[place[name, ""]]] for video, name in recordings.items()}


def _whole(name: str) -> str:
    """The recording of which this could be a part; its own name if it can't be a part."""
    match = _PART.fullmatch(name)
    whole = match["whole"] if match else name
    return whole if match and re.search(r"\d", whole) and not whole.isdecimal() else name
