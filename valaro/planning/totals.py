"""How much there is to work on: by the index, by the videos' headers, or by what is known of Aff-Wild2."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stages.core.artefacts import read_json
from stages.core.corpus import SPLITS, Split, Workspace
from stages.core.errors import ValaroError
from stages.core.params import Params

ROWS: dict[Split, int] = {"train": 1_682_057, "validation": 383_814, "test": 927_210}
"""Annotated frames of Aff-Wild2 (6th ABAW), by the lists that its users published."""
VIDEOS = 578
ASPECT = 16 / 9
FILE_BYTES_PER_S = 250_000.0


@dataclass(frozen=True)
class Totals:
    """A corpus in numbers.

    Args:
        source: where the numbers come from, in words.
        videos: how many files.
        video_s: their seconds.
        megapixel_s: seconds times millions of pixels, over all videos.
        subject_s: seconds by split, a video once for each person in it.
        labelled_s: those of them that bear labels.
        guessed: what of this is assumed, in words.
    """

    source: str
    videos: int
    video_s: float
    megapixel_s: float
    subject_s: dict[Split, float]
    labelled_s: dict[Split, float]
    guessed: list[str] = field(default_factory=list)

    @property
    def megapixels(self) -> float:
        """Of a picture, on average over time."""
        return self.megapixel_s / self.video_s if self.video_s else 0.0

    @property
    def all_subjects_s(self) -> float:
        """Seconds over all splits."""
        return sum(self.subject_s.values())


@dataclass(frozen=True)
class Clip:
    """A subject's video, and what of it bears labels."""

    video: str
    split: Split
    duration_s: float
    pixels: float
    labelled_s: float


def totals_of(clips: Iterable[Clip], source: str, guessed: list[str]) -> Totals:
    """Sum up; a video that shows two people counts once as a video, twice as a subject.

    Raises:
        ValaroError: there is nothing.
    """
    found = list(clips)
    if not found:
        raise ValaroError(f"{source}: no video whose length can be read")
    videos = {clip.video: clip for clip in found}
    subject_s: dict[Split, float] = dict.fromkeys(SPLITS, 0.0)
    labelled_s: dict[Split, float] = dict.fromkeys(SPLITS, 0.0)
    for clip in found:
        subject_s[clip.split] += clip.duration_s
        labelled_s[clip.split] += clip.labelled_s
    return Totals(
        source,
        len(videos),
        sum(clip.duration_s for clip in videos.values()),
        sum(clip.duration_s * clip.pixels for clip in videos.values()) / 1e6,
        subject_s,
        labelled_s,
        guessed,
    )


def known_totals(hours: float, height: int) -> Totals:
    """Aff-Wild2 as its users describe it, of another length if wanted, all in one size.

    Args:
        hours: of video; the real one has 28.6.
        height: of the pictures, 16:9.
    """
    seconds, rows = hours * 3600, sum(ROWS.values())
    subject_s: dict[Split, float] = {split: seconds * count / rows for split, count in ROWS.items()}
    labelled_s: dict[Split, float] = {split: 0.0 if split == "test" else s for split, s in subject_s.items()}
    return Totals(
        f"known totals of Aff-Wild2, {hours:g} h at {height} lines",
        VIDEOS,
        seconds,
        seconds * height * round(height * ASPECT) / 1e6,
        subject_s,
        labelled_s,
        ["every video in one size"],
    )


def find_totals(params: Params, workspace: Workspace) -> Totals:
    """From a fresh index, else from the headers of the videos.

    Raises:
        ValaroError: there is no corpus, or nothing in it can be read.
    """
    return from_index(workspace, params.index.corpus) or from_headers(params)


def from_index(workspace: Workspace, corpus: str) -> Totals | None:
    """What the index knows; None where it is missing, of another corpus, or older than a video."""
    file = workspace.corpus_file
    if not file.is_file():
        return None
    content, written = read_json(file), file.stat().st_mtime
    if content.get("source") != corpus or not _is_fresh(map(Path, content["videos"].values()), written):
        return None
    clips = []
    for subject in content["subjects"]:
        facts = content["facts"][subject["name"]]
        duration_s, frames = float(facts["duration_s"]), max(1, facts["frames"])
        labelled_s = duration_s * facts["labelled_frames"] / frames
        pixels = float(facts["width"] * facts["height"])
        clips.append(Clip(subject["video"], subject["split"], duration_s, pixels, labelled_s))
    return totals_of(clips, f"{workspace.folder('index')}", [])


def _is_fresh(videos: Iterable[Path], written: float) -> bool:
    return all(video.is_file() and video.stat().st_mtime <= written for video in videos)


def from_headers(params: Params) -> Totals:
    """A quick look: the corpus is listed as the first stage does it, and every header is read, no packet.

    Raises:
        ValaroError: there is no corpus, or nothing in it can be read.
    """
    from stages.layouts.readers import list_corpus

    listing = list_corpus(params.index, params.submission.sample_file)
    headers: dict[Path, tuple[float, float] | None] = {}
    clips = []
    for found in listing.found:
        if found.video_file not in headers:
            headers[found.video_file] = read_header(found.video_file)
        if header := headers[found.video_file]:
            duration_s, pixels = header
            labelled_s = duration_s if found.label_file else 0.0
            clips.append(Clip(found.subject.video, found.subject.split, duration_s, pixels, labelled_s))
    unread = sum(header is None for header in headers.values())
    guessed = ["every annotated frame bears labels"] + ([f"{unread} videos left out"] if unread else [])
    return totals_of(clips, f"headers of the videos in {params.index.corpus}", guessed)


def read_header(path: Path) -> tuple[float, float] | None:
    """Length in seconds and pixels of a picture as the header states them; None where it can't be read.

    A header without a length (a recording that was cut off) is taken at 2 Mbit a second.
    """
    from stages.media.source import choose_video, open_media

    try:
        with open_media(path) as container:
            stream = choose_video(path, container)
            pixels = float(stream.codec_context.width * stream.codec_context.height)
            if stream.duration and stream.time_base:
                return float(stream.duration * stream.time_base), pixels
            if container.duration:
                return container.duration / 1e6, pixels
            return path.stat().st_size / FILE_BYTES_PER_S, pixels
    except ValaroError:
        return None
