"""A corpus of Aff-Wild2's size, laid out as the 6th ABAW sent it: 578 videos, 594 subjects, 2,993,081 rows.

Names, counts, the two-person videos, the parts of recordings, and the sums of rows are the real ones; who is
to be seen, and every label, is generated. A few short films of 96 pixels are encoded once; every video is cut
from one of them, packet by packet, begins at another key frame and goes round in it for its length. So all
frames are there, at 30 a second, and no two files are the same: identical copies would count once, and the
store would compute them once.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stages.core.arrays import Image, Integers
from stages.core.corpus import Split
from tests.pipeline.conftest import OPEN_PX, portrait

ANNOTATIONS = "6th ABAW Annotations/VA_Estimation_Challenge"
LIST = "test_set/names_of_videos_in_each_test_set/Valence_Arousal_Estimation_Challenge_test_set_release.txt"
FORM = "test_set/prediction_files_format/CVPR_6th_ABAW_VA_test_set_sample.txt"
FOLDERS: dict[Split, str] = {"train": "Train_Set", "validation": "Validation_Set"}

ROWS: dict[Split, int] = {"train": 1_682_057, "validation": 383_814, "test": 927_210}
ANNOTATED: dict[Split, int] = {"train": 356, "validation": 76, "test": 162}
"""Subjects."""
VIDEOS, AVIS = 578, 128
LONGEST, LEAST = 46_800, 40
"""Frames: 26 minutes; enough to be of use in a corpus that is scaled down."""
SPREAD = 0.9
"""Deviation of the logarithm of the videos' lengths."""

RATE_HZ, SOUND_HZ, SIDE_PX = 30, 16_000, 96
GROUP, GROUPS = 300, 4
"""Frames from key frame to key frame, and such groups in a film."""
MOUTH_HZ = 0.3

BOTH_SIDES: dict[Split, list[str]] = {
    "train": ["46-30-484x360", *(f"{k}-30-1280x720" for k in range(60, 66))],
    "validation": ["135-24-1920x1080", "video92"],
    "test": ["video10_1", "video29", "video49", "6-30-1920x1080"],
}
"""Videos of two people who both have a suffix."""
ONE_SIDE: dict[Split, tuple[str, str]] = {
    "train": ("10-60-1280x720", "_right"),
    "validation": ("video59", "_right"),
    "test": ("video2", "_left"),
}
PARTS: dict[Split, list[str]] = {
    "train": [
        *(f"122-60-1920x1080-{k}" for k in range(1, 6)),
        *(f"5-60-1920x1080-{k}" for k in range(1, 5)),
        *(f"28-30-1280x720-{k}" for k in range(1, 5)),
        *(f"24-30-1920x1080-{k}" for k in range(1, 3)),
    ],
    "validation": [f"video86_{k}" for k in range(1, 4)],
    "test": [f"video45_{k}" for k in range(1, 8)],
}


@dataclass(frozen=True)
class Clip:
    """A video, who is annotated in it, and how long it is.

    Args:
        name: of the file.
        subjects: their names.
        split: the part of the corpus.
        frames: native ones.
        rows: of each subject's labels, or of the sample submission: as many, or one more.
    """

    name: str
    subjects: tuple[str, ...]
    split: Split
    frames: int
    rows: int

    @property
    def suffix(self) -> str:
        """The organisers' numbered videos are AVIs."""
        return ".avi" if self.name.isdecimal() else ".mp4"


def plan_clips(share: float = 1.0) -> list[Clip]:
    """All videos; the rows of every split add up to `share` of the real ones."""
    rng, numbers = np.random.default_rng(6), itertools.count(200)
    avis = iter(range(AVIS))
    clips: list[Clip] = []
    for split, count in ANNOTATED.items():
        people: dict[str, tuple[str, ...]] = {
            name: (f"{name}_left", f"{name}_right") for name in BOTH_SIDES[split]
        }
        name, side = ONE_SIDE[split]
        people |= {name: (name, f"{name}{side}")} | {name: (name,) for name in PARTS[split]}
        while sum(map(len, people.values())) < count:
            number = next(numbers)
            name = str(number) if next(avis, None) is not None else f"{number}-30-640x480"
            people[name] = (name,)
        rows = _lengths(rng, np.array([len(subjects) for subjects in people.values()]), ROWS[split] * share)
        clips += [
            Clip(name, subjects, split, length - k % 2, length)
            for k, ((name, subjects), length) in enumerate(zip(people.items(), rows, strict=True))
        ]
    return clips


def _lengths(rng: np.random.Generator, people: Integers, total: float) -> list[int]:
    """Rows of each video, so that those of all subjects add up. Shape: people (V,) -> V."""
    wanted = round(total)
    lengths = rng.lognormal(sigma=SPREAD, size=len(people))
    for _ in range(50):  # the longest are cut, the others grow
        lengths = np.clip(lengths * wanted / (lengths @ people), LEAST, LONGEST)
    rows = lengths.astype(int)
    short = wanted - int(rows @ people)
    alone = np.flatnonzero((people == 1) & (rows < LONGEST - 1))
    rows[alone[np.arange(short) % len(alone)]] += 1
    return [int(length) for length in rows]


class Film:
    """A short film, encoded: packets that are cut and chained.

    Args:
        path: where it is written.
        hue: of the wall, and the pitch of the voice.
        people: side by side, mouths opening in turn.
    """

    def __init__(self, path: Path, hue: int, people: int = 1) -> None:
        self._path = path
        _encode(path, [_scene(k / RATE_HZ, hue, people) for k in range(GROUP * GROUPS)], 110.0 + hue)
        with av.open(str(path)) as film:
            self._pictures = [bytes(packet) for packet in film.demux(video=0) if packet.size]
        with av.open(str(path)) as film:
            self._sounds = [bytes(packet) for packet in film.demux(audio=0) if packet.size]
            self._block = film.streams.audio[0].frame_size
        assert len(self._pictures) == GROUP * GROUPS

    def cut(self, target: Path, frames: int, begin: int) -> None:
        """Write a video of so many frames that begins with a group's key frame."""
        with av.open(str(self._path)) as film, av.open(str(target), "w") as out:
            out.metadata["title"] = target.stem  # no two are the same video
            picture, sound = (
                out.add_stream_from_template(s) for s in (film.streams.video[0], film.streams.audio[0])
            )
            number = 0
            for k in range(frames):
                data = self._pictures[(begin * GROUP + k) % len(self._pictures)]
                out.mux(_packet(data, picture, k, 1, RATE_HZ, key=k % GROUP == 0))
                while number * self._block * RATE_HZ < (k + 1) * SOUND_HZ:
                    data = self._sounds[(begin + number) % len(self._sounds)]
                    out.mux(_packet(data, sound, number * self._block, self._block, SOUND_HZ, key=True))
                    number += 1


def _packet(data: bytes, stream: Any, tick: int, length: int, rate_hz: int, *, key: bool) -> Any:
    packet = av.Packet(data)
    packet.stream, packet.time_base = stream, Fraction(1, rate_hz)
    packet.pts = packet.dts = tick
    packet.duration, packet.is_keyframe = length, key
    return packet


def _scene(time_s: float, hue: int, people: int) -> Image:
    """(SIDE_PX, people * SIDE_PX, 3)."""
    phase = 2 * np.pi * MOUTH_HZ * time_s
    openings = [max(0.0, float(np.sin(phase + 3 * k))) for k in range(people)]
    return np.hstack([_face(round(OPEN_PX * opening), hue, bool(k)) for k, opening in enumerate(openings)])


@cache
def _face(open_px: int, hue: int, mirrored: bool) -> Image:
    """(SIDE_PX, SIDE_PX, 3)."""
    face = portrait(open_px / OPEN_PX, hue, mirrored)
    smaller: Image = cv2.resize(face, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return smaller


def _encode(path: Path, scenes: list[Image], pitch_hz: float) -> None:
    """Groups of GROUP frames that need no other; a hum in one channel."""
    codecs = ("mpeg4", "libmp3lame") if path.suffix == ".avi" else ("libx264", "aac")
    plain = {
        "preset": "veryfast",
        "g": str(GROUP),
        "bf": "0",
        "sc_threshold": "1000000000" if path.suffix == ".avi" else "0",
    }
    with av.open(str(path), "w") as out:
        picture = out.add_stream(codecs[0], rate=RATE_HZ, options=plain)
        picture.height, picture.width, picture.pix_fmt = *scenes[0].shape[:2], "yuv420p"
        sound = out.add_stream(codecs[1], rate=SOUND_HZ, layout="mono", options={"reservoir": "0"})
        sound.bit_rate = 32_000
        for scene in scenes:
            out.mux(picture.encode(av.VideoFrame.from_ndarray(scene, format="rgb24")))
        out.mux(picture.encode(None))
        time_s = np.arange(len(scenes) * SOUND_HZ // RATE_HZ) / SOUND_HZ
        hum = sum(np.sin(2 * np.pi * pitch_hz * n * time_s) / n for n in range(1, 6)) * 0.2
        wave = (hum * (np.sin(2 * time_s) > -0.3)).astype(np.float32)[None]
        for start in range(0, wave.shape[1], block := sound.frame_size or 1152):
            frame = av.AudioFrame.from_ndarray(
                wave[:, start : start + block].copy(), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.time_base, frame.pts = SOUND_HZ, Fraction(1, SOUND_HZ), start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def lay(corpus: Path, share: float = 1.0) -> list[Clip]:
    """Write the corpus: videos, labels, the list of test subjects, the sample submission."""
    films = corpus.parent / "films"
    films.mkdir(parents=True)
    alone = {
        ".mp4": [Film(films / f"{hue}.mp4", hue) for hue in (10, 70)],
        ".avi": [Film(films / "40.avi", 40)],
    }
    pair = Film(films / "pair.mp4", 100, people=2)
    clips = plan_clips(share)
    for number, clip in enumerate(clips):
        folder = corpus / f"batch{1 + number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        shown = pair if len(clip.subjects) > 1 else alone[clip.suffix][number % len(alone[clip.suffix])]
        shown.cut(folder / f"{clip.name}{clip.suffix}", clip.frames, number % GROUPS)
        for subject in clip.subjects if clip.split in FOLDERS else ():
            _write(corpus / ANNOTATIONS / FOLDERS[clip.split] / f"{subject}.txt", _labels(subject, clip.rows))
    rows = {subject: clip.rows for clip in clips if clip.split == "test" for subject in clip.subjects}
    _write(corpus / LIST, rows)
    form = (f"{name}/{k:05d}.jpg,0.5,-0.5" for name, count in rows.items() for k in range(1, count + 1))
    _write(corpus / FORM, itertools.chain(["image_location,valence,arousal"], form))
    return clips


def _labels(subject: str, rows: int) -> Iterator[str]:
    """Slow waves of the subject's own."""
    rng = np.random.default_rng([*subject.encode()])
    time_s = np.arange(rows)[:, None] / RATE_HZ
    waves = 0.8 * np.sin(2 * np.pi * (rng.uniform(0.02, 0.2, 2) * time_s + rng.uniform(0, 1, 2)))
    yield "valence,arousal"
    yield from (f"{valence:.3f},{arousal:.3f}" for valence, arousal in waves)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
