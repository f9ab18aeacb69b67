"""What a corpus has in two splits, or twice: scores on it would be of people that a model was trained on."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.core.corpus import SPLITS
from stages.core.notes import Note
from stages.layouts.copies import same_content
from stages.layouts.listing import Found


def leaks(found: Iterable[Found]) -> Iterator[Note]:
    """A note on every recording in several splits, and on every video that several recordings have a copy of.

    Args:
        found: all subjects of a corpus. Only videos of equal size are opened, and read in part.
    """
    found = list(found)
    yield from _split(found)
    yield from _copied(found)


def _split(found: Iterable[Found]) -> Iterator[Note]:
    members: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        members[one.subject.recording].append(one)
    for recording, ones in members.items():
        if len({one.subject.split for one in ones}) > 1:
            of_split = {split: [o.subject.name for o in ones if o.subject.split == split] for split in SPLITS}
            where = ", ".join(f"{split} ({', '.join(names)})" for split, names in of_split.items() if names)
            yield Note(
                recording,
                str(ones[0].video_file),
                f"one recording is in several splits: {where}",
                "Keep it in one; if these are different recordings, set index.group_parts to false",
            )


def _copied(found: Iterable[Found]) -> Iterator[Note]:
    recording_of = {one.video_file: one.subject.recording for one in found}
    alike: dict[int, list[Path]] = defaultdict(list)
    for path in recording_of:
        alike[path.stat().st_size].append(path)
    for size, paths in alike.items():
        while size and len(paths) > 1:
            first, *rest = paths
            copies = [path for path in rest if same_content((first, path))]
            others = [path for path in copies if recording_of[path] != recording_of[first]]
            if others:
                problem = f"the same video as {', '.join(map(str, others))}"
                yield Note(recording_of[first], str(first), problem, "Keep one of them")
            paths = [path for path in rest if path not in copies]
