"""The pictures of a file, read in order: frames of a video's grid, or crops of faces.

Frames come from the video itself, decoded as `media.frames` does; or from the JPEGs that the stage decode
kept (`decode.keep_frames`). Either way each is read once, in ascending order, a batch at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from stages.core.arrays import Floats, Image, Integers
from stages.core.artefacts import Arrays, open_arrays, read_arrays, read_facts
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.engine.prefetch import prefetch_batches, prefetch_stream
from stages.media.jpeg import Blob, unpack_jpeg

if TYPE_CHECKING:
    from stages.media.container import PictureFacts
    from stages.media.frames import GridDecoding

Prepared = TypeVar("Prepared")
Prepare = Callable[[int, Image | None], Prepared]
FACTS = ("rotation_deg", "origin_pts", "stamped", "coded_width", "coded_height")
"""Of a video, as `PictureFacts` and decode's artefact name them both."""
_UNLIMITED = 2**62  # of length: decode has accepted it


class Pictures(Protocol):
    """What can be gone through once."""

    def batches(
        self, wanted: Integers, prepare: "Prepare[Prepared]", size: int, threads: int = 1
    ) -> Iterator[list[Prepared]]:
        """Prepared pictures in lists of `size`, prepared in threads, one list ahead.

        Args:
            wanted: numbers of the pictures, ascending; a negative one stands for none.
            prepare: takes the place in `wanted` and the picture, or None.
            size: of a list.
            threads: that prepare, where the pictures allow more than one.
        """
        ...


class KeptPictures:
    """JPEGs, see `media.jpeg`; of an open HDF5 file each is read when its batch comes.

    Args:
        jpeg: their bytes.
        offset: where each begins.
    """

    def __init__(self, jpeg: Blob, offset: Integers) -> None:
        self._jpeg, self._offset = jpeg, offset

    def batches(
        self, wanted: Integers, prepare: Prepare[Prepared], size: int, threads: int = 1
    ) -> Iterator[list[Prepared]]:
        """See `Pictures`."""

        def prepared(place: int) -> Prepared:
            number = int(wanted[place])
            image = None if number < 0 else unpack_jpeg(self._jpeg, self._offset, number)
            return prepare(place, image)

        yield from prefetch_batches(prepared, len(wanted), size, threads)


class FilmedPictures:
    """The frames of a video's grid, from the video.

    Args:
        decoded: what the stage decode wrote of it.
        video: the video.

    Raises:
        BadInput: the video isn't the one that decode read.
    """

    def __init__(self, decoded: Path, video: Path) -> None:
        self._facts = read_facts(decoded)
        if not video.is_file() or video.stat().st_size != self._facts["video_bytes"]:
            problem = "is not the file that decode read"
            raise BadInput(video, problem, "Run `dvc repro` for the whole pipeline, from index on")
        self._decoded, self._video = decoded, video
        self.shown_s: Floats = read_arrays(decoded, "frame_time_s")["frame_time_s"]
        """(T,) times of the native frames shown; where some can't be decoded, known once they are read."""
        self.grid: GridDecoding | None = None
        """Of the pictures read; its counts are complete once all were."""

    def batches(
        self, wanted: Integers, prepare: Prepare[Prepared], size: int, threads: int = 1
    ) -> Iterator[list[Prepared]]:
        """See `Pictures`. One thread decodes and prepares, whatever is asked for."""
        del threads
        yield from prefetch_stream(self._prepared(wanted, prepare), len(wanted), size)

    def _prepared(self, wanted: Integers, prepare: Prepare[Prepared]) -> Iterator[Prepared]:
        from stages.media.frames import GridDecoding
        from stages.media.limits import Limits

        arrays, facts = read_arrays(self._decoded), self._facts
        flags = np.zeros(len(arrays["time_s"]), bool)
        flags[wanted[wanted >= 0]] = True
        limits = Limits(int(facts["max_pixels"]), np.inf, _UNLIMITED, max_gap_s=np.inf)
        side = max(int(facts["width"]), int(facts["height"]))
        chosen = None if flags.all() else flags
        self.grid = GridDecoding(
            self._video, picture_facts(arrays, facts), arrays["time_s"], side, 1, limits, chosen
        )
        without = int(np.sum(wanted < 0))
        for place in range(without):
            yield prepare(place, None)
        for place, frame in enumerate(self.grid, without):
            self.shown_s[frame.k] = frame.frame_time_s
            yield prepare(place, frame.image)


@contextmanager
def open_pictures(file: Path, video: Path | None = None) -> Iterator[Pictures]:
    """The pictures of an artefact: those kept in it, or, where the video is given, the frames of its grid."""
    if video is not None:
        yield FilmedPictures(file, video)
        return
    with open_arrays(file) as arrays:
        yield KeptPictures(arrays["jpeg"], arrays["jpeg_offset"][()])


def frame_files(workspace: Workspace, corpus: Corpus, video: str) -> dict[str, Path]:
    """What a unit must read to see a video's frames: `frames`, and `video` where decode kept no pictures.

    Raises:
        ValaroError: the video is needed and isn't there.
    """
    decoded = workspace.artefact("decode", video)
    with open_arrays(decoded) as file:
        if "jpeg" in file:
            return {"frames": decoded}
    path = Path(corpus.videos[video])
    if not path.is_file():
        raise ValaroError(
            f"{path} is missing, and {decoded} keeps no pictures of it (decode.keep_frames). "
            "Put the video back, or run `dvc repro` from index on."
        )
    return {"video": path, "frames": decoded}


def reading_arrays(facts: "PictureFacts") -> Arrays:
    """What `picture_facts` needs: the native frames' times, and the shifts that join a file's clocks."""
    shifts = [(stream, one) for stream, several in sorted(facts.clock.shifts.items()) for one in several]
    return {
        "native_time_s": facts.time_s,
        "shift_stream": np.array([stream for stream, _ in shifts], np.int64),
        "shift_packet": np.array([one.packet for _, one in shifts], np.int64),
        "shift_s": np.array([one.shift_s for _, one in shifts], np.float64),
    }


def reading_facts(facts: "PictureFacts") -> dict[str, Any]:
    """Likewise, the facts."""
    aspect, tick = facts.pixel_aspect, facts.time_base
    return {
        **{name: getattr(facts, name) for name in FACTS},
        "native_width": facts.width,
        "native_height": facts.height,
        "pixel_width": aspect.numerator,
        "pixel_height": aspect.denominator,
        "tick_numerator": tick.numerator,
        "tick_denominator": tick.denominator,
    }


def picture_facts(arrays: Arrays, facts: dict[str, Any]) -> "PictureFacts":
    """The facts that `reading_arrays` and `reading_facts` were made from, without the joints of the clock."""
    from stages.media.clock import Clock, Shift
    from stages.media.container import PictureFacts

    shifts: dict[int, tuple[Shift, ...]] = {}
    rows = zip(arrays["shift_stream"], arrays["shift_packet"], arrays["shift_s"], strict=True)
    for stream, packet, shift_s in rows:
        shifts[int(stream)] = (*shifts.get(int(stream), ()), Shift(int(packet), float(shift_s)))
    return PictureFacts(
        time_s=arrays["native_time_s"],
        width=int(facts["native_width"]),
        height=int(facts["native_height"]),
        time_base=Fraction(int(facts["tick_numerator"]), int(facts["tick_denominator"])),
        pixel_aspect=Fraction(int(facts["pixel_width"]), int(facts["pixel_height"])),
        clock=Clock(shifts),
        **{name: facts[name] for name in FACTS},
    )
