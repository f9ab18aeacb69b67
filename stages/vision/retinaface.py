"""RetinaFace (MobileNet-0.25): frames in batches to boxes, scores and five landmarks.

Deng et al. 2019; the detector of the paper (section 3.1). 1. Frames of one size share a batch. 2. The network
answers for every anchor. 3. Anchors under the threshold are dropped; the rest are decoded. 4. Of overlapping
boxes the most confident stays.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.core.arrays import Floats, Image, Integers
from stages.vision.detection import Detections, require_images
from stages.vision.retinaface_net import ANCHORS_PX, STRIDES, load_retinaface

BGR_MEAN = (104.0, 117.0, 123.0)
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


class RetinaFace:
    """A face detector on PyTorch.

    Args:
        weights: `mobilenet0.25_Final.pth`.
        device: where the network runs, a name PyTorch knows.
        threshold: least score of a face. Applied before overlaps are removed: a less confident box never
            removes a more confident one, so the faces kept are those that thresholding afterwards keeps.
        overlap: boxes whose intersection over union exceeds this are one face.
        batch_size: frames per forward pass, at most. On a CPU more than 4 gain nothing, and lose a third
            where malloc returns every activation to the system; a GPU wants 32. Give `detect` several
            batches at a time: on a CPU every core takes one.
        bfloat16: run the network in bfloat16: about twice as fast where the processor has it; scores move
            by up to 0.014.
    """

    def __init__(
        self,
        weights: Path,
        device: str = "cpu",
        threshold: float = 0.8,
        overlap: float = 0.4,
        batch_size: int = 4,
        bfloat16: bool = False,
    ) -> None:
        if not 0 < threshold < 1 or not 0 < overlap <= 1 or batch_size < 1:
            raise ValueError(
                f"threshold {threshold}, overlap {overlap}, batch_size {batch_size}: "
                "wanted 0 < threshold < 1, 0 < overlap <= 1, batch_size >= 1"
            )
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.device = torch.device(device)
        self.net = load_retinaface(state).to(self.device).to(memory_format=torch.channels_last)
        self.threshold, self.overlap, self.batch_size, self.bfloat16 = (
            threshold,
            overlap,
            batch_size,
            bfloat16,
        )

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order; images of one size run together.

        Shape: each image (H, W, 3) uint8, RGB.
        """
        require_images(images)
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            by_size[image.shape].append(i)
        batches = [
            positions[start : start + self.batch_size]
            for positions in by_size.values()
            for start in range(0, len(positions), self.batch_size)
        ]
        found: dict[int, Detections] = {}
        work = ([images[i] for i in batch] for batch in batches)
        for batch, faces in zip(batches, self._map(self._detect_batch, work), strict=True):
            found.update(zip(batch, faces, strict=True))
        return [found[i] for i in range(len(images))]

    @cached_property
    def _map(self) -> Callable[..., Iterable[list[Detections]]]:
        """How batches are worked off: on a CPU several at a time, each by one thread.

        That is faster than several threads on one batch, as the network is small; and the last digits of its
        sums don't depend on how many there are.
        """
        if self.device.type != "cpu":
            return map
        threads = torch.get_num_threads()  # asking fixes it for this thread, whatever those of the pool set
        return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)).map

    @torch.inference_mode()
    def _detect_batch(self, images: list[Image]) -> list[Detections]:
        height, width = images[0].shape[:2]
        anchors = anchors_cxcywh(height, width)
        batch = self._batch(images)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits, box_offsets, landmark_offsets = self.net(batch)
        scores = torch.sigmoid(logits.float()).cpu().numpy()  # softmax of two classes
        return [
            self._faces(score, boxes, landmarks, anchors)
            for score, boxes, landmarks in zip(scores, box_offsets, landmark_offsets, strict=True)
        ]

    def _batch(self, images: list[Image]) -> Tensor:
        """(B, 3, H, W) float32, BGR minus its mean; channels last in memory, as decoded frames are."""
        frames = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images])
        count, height, width, _ = frames.shape
        bgr = torch.from_numpy(frames).to(self.device).reshape(count, height, width * 3).float()
        # One mean per row of pixels: subtracting along an axis of three is five times slower.
        bgr -= torch.tensor(BGR_MEAN, device=self.device).repeat(width)
        return bgr.view(count, height, width, 3).permute(0, 3, 1, 2)

    def _faces(self, score: Floats, boxes: Tensor, landmarks: Tensor, anchors: Floats) -> Detections:
        candidates = np.flatnonzero(score >= self.threshold)
        candidates = candidates[np.argsort(-score[candidates], kind="stable")]
        rows = torch.from_numpy(candidates).to(boxes.device)
        box_xyxy = decode_boxes(boxes[rows].float().cpu().numpy(), anchors[candidates])
        landmarks_xy = decode_landmarks(landmarks[rows].float().cpu().numpy(), anchors[candidates])
        kept = suppress_overlaps(box_xyxy, self.overlap)
        return Detections(box_xyxy[kept], score[candidates][kept], landmarks_xy[kept])


@lru_cache(maxsize=8)
def anchors_cxcywh(height: int, width: int) -> Floats:
    """All anchors of an image size: centre and size in pixels, in the network's order.

    Shape: -> (A, 4) float32, read-only; A = 2 · the cells of strides 8, 16 and 32 together.
    """
    levels = []
    for stride, sides_px in zip(STRIDES, ANCHORS_PX, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, sides_px, indexing="ij")
        levels.append(np.stack([x * stride, y * stride, side, side], axis=-1).reshape(-1, 4))
    anchors: Floats = np.concatenate(levels).astype(np.float32)
    anchors.flags.writeable = False
    return anchors


def decode_boxes(offset: Floats, anchors: Floats) -> Floats:
    """Box offsets to pixels: centres move by tenths of the anchor, sizes scale by exp(offset / 5).

    Shape: (F, 4), (F, 4) -> (F, 4), left, top, right, bottom.
    """
    centre = anchors[:, :2] + CENTRE_VARIANCE * offset[:, :2] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(SIZE_VARIANCE * offset[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def decode_landmarks(offset: Floats, anchors: Floats) -> Floats:
    """Landmark offsets to pixels.

    Shape: (F, 10), (F, 4) -> (F, 5, 2).
    """
    moved = anchors[:, None, :2] + CENTRE_VARIANCE * offset.reshape(-1, 5, 2) * anchors[:, None, 2:]
    return np.asarray(moved)


def suppress_overlaps(box_xyxy: Floats, overlap: float) -> Integers:
    """Greedy non-maximum suppression: positions of the boxes that no kept, earlier box covers.

    Shape: (F, 4), the most confident first -> (K,) ascending.

    Args:
        box_xyxy: left, top, right, bottom.
        overlap: greatest intersection over union of two boxes that both stay.
    """
    area = np.prod(box_xyxy[:, 2:] - box_xyxy[:, :2], axis=1)
    waiting, kept = np.arange(len(box_xyxy)), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        corner = np.minimum(box_xyxy[best, 2:], box_xyxy[waiting, 2:])
        sides = np.clip(corner - np.maximum(box_xyxy[best, :2], box_xyxy[waiting, :2]), 0, None)
        shared = sides[:, 0] * sides[:, 1]
        waiting = waiting[shared <= overlap * (area[best] + area[waiting] - shared)]
    return np.array(kept, dtype=np.int64)
