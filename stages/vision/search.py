"""Search one video for faces: every face of every step, a small grey picture of each, and the picture's cuts.

Nothing here depends on whose face is wanted, so that choosing another person searches nothing again. Where a
folder is given for them, the crops of all faces are written there: the frames are decoded now, and needn't be
decoded again to cut the faces that are wanted later.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats, Image
from stages.core.artefacts import Arrays, Spool, open_arrays, read_arrays, read_facts, write_arrays
from stages.core.errors import ValaroError
from stages.core.notes import Note
from stages.core.params import DetectionParams
from stages.engine.advance import advance
from stages.engine.prefetch import decoding_threads
from stages.engine.units import Unit
from stages.media.jpeg import encode_jpeg
from stages.media.pictures import FilmedPictures, Pictures, open_pictures
from stages.vision.crops import crop_face
from stages.vision.detection import Detections, FaceDetector, no_faces
from stages.vision.detectors import detector_of, device_of

BATCHES_AT_A_TIME = 4
"""On a GPU. A processor works on a frame per thread; there a batch at a time spares the memory."""
PATCH_PX = 16
LAYOUT_PX = (32, 18)
Look = tuple[Floats, Floats]


class Cuts(NamedTuple):
    """How crops are cut: their margin in native pixels, and the quality of their JPEG."""

    pad_px: float
    jpeg_quality: int


def detect_frames(
    detector: FaceDetector, device: str, pictures: Pictures, steps: range, batch_size: int
) -> Iterator[tuple[Image, Detections]]:
    """Some of a video's frames and their faces; while one portion is searched, the next is decoded.

    A picture that is shown again, as in recordings of screens and of photographs, isn't searched again.
    """

    def as_it_is(_: int, image: Image | None) -> Image:
        if image is None:
            raise ValueError("a step of the grid without a frame")
        return image

    at_a_time = batch_size if device == "cpu" else BATCHES_AT_A_TIME * batch_size
    before: Image | None = None
    faces = no_faces()
    for images in pictures.batches(np.array(steps), as_it_is, at_a_time, decoding_threads(device)):
        fresh = [not _same(image, last) for image, last in zip(images, [before, *images], strict=False)]
        found = iter(detector.detect([image for image, new in zip(images, fresh, strict=True) if new]))
        for image, new in zip(images, fresh, strict=True):
            faces = next(found) if new else faces
            yield image, faces
        before = images[-1]


def _same(image: Image, before: Image | None) -> bool:
    """Whether a picture stands still: comparing takes a hundredth of searching it."""
    return before is not None and np.array_equal(image, before)


def search_video(unit: Unit, settings: DetectionParams) -> list[Note]:
    """Detect all faces of one video.

    Writes, for F faces in T steps: box_xyxy (F, 4), score and turned (F,), step (F,) ascending, patch
    (F, 16, 16) uint8 grey, change (T,) of the picture against the step before, time_s and frame_time_s (T,).
    """
    frames, facts = (
        read_arrays(unit.reads["frames"], "time_s", "frame_time_s"),
        read_facts(unit.reads["frames"]),
    )
    weights = str(unit.reads["weights"]) if "weights" in unit.reads else None
    detector, device = detector_of(settings, weights), device_of(settings.detector)
    found: list[Detections] = []
    patches: list[Image] = []
    with (
        open_pictures(unit.reads["frames"], unit.reads.get("video")) as pictures,
        _leaving_crops(unit, facts["scale"]) as crops,
    ):
        steps = range(len(frames["time_s"]))

        def looks() -> Iterator[Look]:
            for image, faces in detect_frames(detector, device, pictures, steps, settings.batch_size):
                advance(len(found) + 1, len(steps))
                found.append(faces)
                patches.extend(face_patch(image, box) for box in faces.box_xyxy)
                if crops:
                    crops.add(image, faces)
                yield look_of(image)

        change = changes(looks())
        arrays = {
            "box_xyxy": np.concatenate([np.empty((0, 4), np.float32), *(one.box_xyxy for one in found)]),
            "score": np.concatenate([np.empty(0, np.float32), *(one.score for one in found)]),
            "turned": np.concatenate([np.empty(0, np.float32), *(one.turned for one in found)]),
            "step": np.repeat(np.arange(len(found), dtype=np.int32), [len(one) for one in found]),
            "patch": np.array(patches, np.uint8).reshape(-1, PATCH_PX, PATCH_PX),
            "change": change,
            "time_s": frames["time_s"],
            "frame_time_s": pictures.shown_s
            if isinstance(pictures, FilmedPictures)
            else frames["frame_time_s"],
        }
        if crops:
            crops.write(arrays)
    write_arrays(unit.writes["found"], arrays, width=facts["width"], height=facts["height"])
    return _odd(unit, pictures)


def _odd(unit: Unit, pictures: Pictures) -> list[Note]:
    """What is known once a video's pictures are decoded; of kept pictures the stage decode has noted it."""
    from stages.media.oddities import oddities_of_pictures

    if not isinstance(pictures, FilmedPictures) or pictures.grid is None:
        return []
    odd = oddities_of_pictures(pictures.grid.facts, pictures.grid)
    return [unit.warn(unit.reads["video"], problem, remedy) for problem, remedy in odd]


class _Crops:
    """The crops of all faces on their way to the disk."""

    def __init__(self, path: Path, cuts: Cuts, scale: float) -> None:
        self._path, self._cuts, self._scale = path, cuts, scale
        self.spool, self._offset = Spool(path.parent), [0]

    def add(self, image: Image, faces: Detections) -> None:
        """Cut the faces of one frame; nothing stands for one that lies outside of it."""
        for box in faces.box_xyxy:
            try:
                crop = crop_face(image, box, self._cuts.pad_px, self._scale)
            except ValueError:
                size = 0
            else:
                data = encode_jpeg(crop, self._cuts.jpeg_quality)
                self.spool.write(data)
                size = len(data)
            self._offset.append(self._offset[-1] + size)

    def write(self, found: Arrays) -> None:
        """Leave them, with what says whose they are."""
        own: dict[str, Any] = {"step": found["step"], "box_xyxy": found["box_xyxy"], "jpeg": self.spool}
        offset = np.array(self._offset, np.int64)
        write_arrays(self._path, own | {"jpeg_offset": offset}, **self._cuts._asdict())


@contextmanager
def _leaving_crops(unit: Unit, scale: float) -> Iterator[_Crops | None]:
    if not unit.unkeyed:
        yield None
        return
    cuts = Cuts(unit.unkeyed["pad_px"], unit.unkeyed["jpeg_quality"])
    crops = _Crops(Path(unit.unkeyed["crops"]), cuts, scale)
    with crops.spool:
        yield crops


class LeftCrops:
    """The crops that a search left; `[k]` is that of face k, JPEG bytes."""

    def __init__(self, file: Any) -> None:
        self._jpeg, self._offset = file["jpeg"], file["jpeg_offset"][()]

    def __getitem__(self, number: int) -> bytes:
        start, end = self._offset[number : number + 2].tolist()
        if start == end:
            raise ValueError(f"face {number} lies outside its frame: no crop")
        return bytes(self._jpeg[start:end])


def read_crops(path: Path, found: Arrays, cuts: Cuts) -> AbstractContextManager[LeftCrops] | None:
    """What a search left of these very faces, cut in this way; None where there is nothing of the kind.

    Args:
        path: the file it was to write.
        found: the faces: box_xyxy and step.
        cuts: how they must be cut.
    """
    try:
        left, facts = read_arrays(path, "step", "box_xyxy"), read_facts(path)
    except (FileNotFoundError, ValaroError, KeyError):
        return None
    same = all(np.array_equal(left[name], found[name]) for name in left)
    return _left_crops(path) if same and cuts._asdict() == facts else None


@contextmanager
def _left_crops(path: Path) -> Iterator[LeftCrops]:
    with open_arrays(path) as file:
        yield LeftCrops(file)


def face_patch(image: Image, box_xyxy: Floats) -> Image:
    """The face as a small grey picture; what lies outside the image is left out. -> (16, 16) uint8."""
    import cv2

    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(edge) for edge in box_xyxy)
    left, top = min(max(0, int(x0)), width - 1), min(max(0, int(y0)), height - 1)
    region = image[top : max(top + 1, min(height, int(y1))), left : max(left + 1, min(width, int(x1)))]
    small = cv2.resize(np.ascontiguousarray(region), (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def look_of(image: Image) -> Look:
    """What tells one shot from another: where it is light and dark (unit norm), and its colours' shares."""
    import cv2

    # Every few pixels are enough, and cheaper than an average over all of them.
    stride = max(1, min(image.shape[:2]) // 72)
    small = cv2.resize(
        np.ascontiguousarray(image[::stride, ::stride]), (64, 36), interpolation=cv2.INTER_AREA
    )
    grey = cv2.resize(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), LAYOUT_PX, interpolation=cv2.INTER_AREA)
    layout = grey.astype(np.float64).ravel()
    layout -= layout.mean()
    bins = (small.reshape(-1, 3) // 32).astype(np.int64) @ np.array([64, 8, 1])
    colours = np.bincount(bins, minlength=512) / len(bins)
    return layout / max(float(np.linalg.norm(layout)), 1.0), colours


def changes(looks: Iterable[Look]) -> Floats:
    """How much the picture changes from the step before: the larger of layout and colours. -> (T,) 0 to 1.

    In memory: two looks.
    """
    change = []
    before: Look | None = None
    for look in looks:
        change.append(_change_between(before, look) if before else 0.0)
        before = look
    return np.array(change, np.float32)


def _change_between(before: Look, after: Look) -> float:
    (old, old_colours), (new, new_colours) = before, after
    layout = 1 - float(old @ new) if old.any() and new.any() else 0.0
    return min(1.0, max(layout, float(np.abs(old_colours - new_colours).sum()) / 2))
