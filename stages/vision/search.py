"""Search one video for faces: every face of every step, a small grey picture of each, and the picture's cuts.

Nothing here depends on whose face is wanted, so that choosing another person searches nothing again.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from stages.core.arrays import Floats, Image, Integers
from stages.core.artefacts import open_arrays, read_arrays, read_facts, write_arrays
from stages.core.notes import Note
from stages.core.params import DetectionParams
from stages.engine.advance import advance
from stages.engine.prefetch import decoding_threads, prefetch_batches
from stages.engine.stage import Unit
from stages.media.jpeg import Blob, unpack_jpeg
from stages.vision.detection import Detections, FaceDetector
from stages.vision.detectors import detector_of, device_of

BATCHES_AT_A_TIME = 4
PATCH_PX = 16
LAYOUT_PX = (32, 18)
Look = tuple[Floats, Floats]


def detect_frames(
    detector: FaceDetector, device: str, jpeg: Blob, jpeg_offset: Integers, steps: range, batch_size: int
) -> Iterator[tuple[Image, Detections]]:
    """Some of a video's frames and their faces; while one portion is searched, the next is decoded."""

    def show(k: int) -> Image:
        return unpack_jpeg(jpeg, jpeg_offset, steps[k])

    at_a_time, threads = BATCHES_AT_A_TIME * batch_size, decoding_threads(device)
    for images in prefetch_batches(show, len(steps), at_a_time, threads):
        yield from zip(images, detector.detect(images), strict=True)


def search_video(unit: Unit, settings: DetectionParams) -> list[Note]:
    """Detect all faces of one video.

    Writes, for F faces in T steps: box_xyxy (F, 4), score (F,), step (F,) ascending, patch (F, 16, 16) uint8
    grey, change (T,) of the picture against the step before, time_s (T,).
    """
    frames, facts = (
        read_arrays(unit.reads["frames"], "jpeg_offset", "time_s"),
        read_facts(unit.reads["frames"]),
    )
    weights = str(unit.reads["weights"]) if "weights" in unit.reads else None
    detector = detector_of(settings, weights)
    found: list[Detections] = []
    patches: list[Image] = []
    with open_arrays(unit.reads["frames"]) as file:
        searched = detect_frames(
            detector,
            device_of(settings.detector),
            file["jpeg"],
            frames["jpeg_offset"],
            range(len(frames["time_s"])),
            settings.batch_size,
        )

        def looks() -> Iterator[Look]:
            for image, faces in searched:
                advance(len(found) + 1, len(frames["time_s"]))
                found.append(faces)
                patches.extend(face_patch(image, box) for box in faces.box_xyxy)
                yield look_of(image)

        change = changes(looks())
    write_arrays(
        unit.writes["found"],
        {
            "box_xyxy": np.concatenate([np.empty((0, 4), np.float32), *(one.box_xyxy for one in found)]),
            "score": np.concatenate([np.empty(0, np.float32), *(one.score for one in found)]),
            "step": np.repeat(np.arange(len(found), dtype=np.int32), [len(one) for one in found]),
            "patch": np.array(patches, np.uint8).reshape(-1, PATCH_PX, PATCH_PX),
            "change": change,
            "time_s": frames["time_s"],
        },
        width=facts["width"],
        height=facts["height"],
    )
    return []


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
