"""RetinaFace (MobileNet-0.25): frames to boxes, scores and five landmarks.

Deng et al. 2019; the detector of the paper (section 3.1). 1. The network answers for every anchor. 2. Anchors
under the threshold are dropped; the rest are decoded. 3. Of overlapping boxes the most confident stays.
4. Close and far faces are searched for on copies of the frame (`scales`).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core.arrays import Floats, Image, Integers
from stages.engine.mapping import network_threads
from stages.inference.graphs import GraphMismatch
from stages.vision.detection import Detections, require_images
from stages.vision.retinaface_anchors import anchors_cxcywh, decode_boxes, decode_landmarks
from stages.vision.retinaface_graph import Answer, open_retinaface
from stages.vision.scales import Scales, search_at_scales

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from stages.vision.retinaface_net import RetinaFaceNet


class RetinaFace:
    """A face detector: on a processor through OpenVINO, a frame per thread; on a GPU in batches.

    Args:
        weights: `mobilenet0.25_Final.pth`.
        device: where the network runs, a name PyTorch knows.
        threshold: least score of a face. Applied before overlaps are removed: a less confident box never
            removes a more confident one, so the faces kept are those that thresholding afterwards keeps.
        overlap: boxes whose intersection over union exceeds this are one face.
        batch_size: frames per forward pass of a GPU, at most. On a processor batches gain nothing; there
            every thread takes a frame, so give `detect` several at a time.
        scales: many: also on copies of the frame, for faces over some 560 px and under 16 px (see `scales`);
            native: on the frame alone, as published.
        precision: of the network. None: float32 on a processor, float16 on a GPU (on photographs it moved
            scores by up to 0.01 and boxes by up to a pixel, emulated on a processor). A processor computes
            anything but float32 through PyTorch, and slower.
    """

    def __init__(
        self,
        weights: Path,
        device: str = "cpu",
        threshold: float = 0.8,
        overlap: float = 0.4,
        batch_size: int = 4,
        precision: "torch.dtype | None" = None,
        scales: Scales = "many",
    ) -> None:
        if not 0 < threshold < 1 or not 0 < overlap <= 1 or batch_size < 1:
            raise ValueError(
                f"threshold {threshold}, overlap {overlap}, batch_size {batch_size}: "
                "wanted 0 < threshold < 1, 0 < overlap <= 1, batch_size >= 1"
            )
        self._weights, self.device, self._precision = weights, device, precision
        self.overlap, self.batch_size, self.scales = overlap, batch_size, scales
        self.least_logit = math.log(threshold / (1 - threshold))
        self._buffer: Tensor | None = None
        self._threads = network_threads()
        self._by_frame = device == "cpu" and str(precision) in ("None", "torch.float32")

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order; sizes may differ.

        Shape: each image (H, W, 3) uint8, RGB.
        """
        require_images(images)
        return self._search(images) if self.scales == "native" else search_at_scales(self._search, images)

    def _search(self, images: Sequence[Image]) -> list[Detections]:
        """The faces of each image at its own scale."""
        if self._answer:
            return list(self._pool.map(partial(self._detect_frame, self._answer), images))
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            by_size[image.shape].append(i)
        found: dict[int, Detections] = {}
        for positions in by_size.values():
            for start in range(0, len(positions), self.batch_size):
                batch = positions[start : start + self.batch_size]
                found.update(zip(batch, self._detect_batch([images[i] for i in batch]), strict=True))
        return [found[i] for i in range(len(images))]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads)

    @cached_property
    def _answer(self) -> Answer | None:
        """The network of a frame, on a processor."""
        if not self._by_frame:
            return None
        try:
            return open_retinaface(self._weights, self._threads)
        except GraphMismatch:  # then PyTorch takes batches here too
            return None

    @cached_property
    def net(self) -> "RetinaFaceNet":
        """The network in PyTorch, on the device."""
        import torch

        from stages.vision.retinaface_net import load_retinaface

        state = torch.load(self._weights, map_location="cpu", weights_only=True)
        return load_retinaface(state).to(self.device).to(memory_format=torch.channels_last)

    @property
    def precision(self) -> "torch.dtype":
        """Of the network in PyTorch."""
        import torch

        return self._precision or (torch.float32 if self.device == "cpu" else torch.float16)

    def _detect_frame(self, answer: Answer, image: Image) -> Detections:
        logits, boxes, landmarks = answer(image)
        likely = np.flatnonzero(logits >= self.least_logit)
        anchors = anchors_cxcywh(*image.shape[:2])
        return self._faces(logits[likely], boxes[likely], landmarks[likely], anchors[likely])

    def _detect_batch(self, images: list[Image]) -> list[Detections]:
        """One transfer there, one back: of the faces of the whole batch."""
        import torch

        from stages.vision.suppression import faces_of_batch, placed_anchors

        half, kind = self.precision != torch.float32, torch.device(self.device).type
        with torch.inference_mode():
            with torch.autocast(kind, self.precision, enabled=half):
                logits, boxes, landmarks = self.net(self._batch(images))
            anchors = placed_anchors(*images[0].shape[:2], logits.device)
            return faces_of_batch(logits, boxes, landmarks, anchors, self.least_logit, self.overlap)

    def _batch(self, images: list[Image]) -> "Tensor":
        """(B, 3, H, W) float32, BGR minus its mean; channels last in memory, as decoded frames are."""
        import torch

        from stages.vision.retinaface_net import BGR_MEAN

        rgb = self._staged(images).to(self.device, non_blocking=True)
        mean = torch.tensor(BGR_MEAN, device=self.device)
        return (rgb.flip(-1).float() - mean).permute(0, 3, 1, 2)

    def _staged(self, images: list[Image]) -> "Tensor":
        """(B, H, W, 3) uint8 in host memory; for a GPU page-locked, which copies two to three times as fast.

        The buffer is used again by the next batch, which begins once this one's faces have arrived.
        """
        import torch

        if self.device == "cpu":
            return torch.from_numpy(np.stack(images))
        shape = (len(images), *images[0].shape)
        if self._buffer is None or self._buffer.shape != shape:
            self._buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        np.stack(images, out=self._buffer.numpy())
        return self._buffer

    def _faces(self, logit: Floats, offset: Floats, landmark_offset: Floats, anchors: Floats) -> Detections:
        """The faces among the anchors over the threshold: (F,), (F, 4), (F, 10), (F, 4)."""
        order = np.argsort(-logit, kind="stable")
        box_xyxy = decode_boxes(offset[order], anchors[order])
        kept = suppress_overlaps(box_xyxy, self.overlap)
        faces = order[kept]
        score = 1 / (1 + np.exp(-logit[faces]))  # softmax of two classes
        return Detections(box_xyxy[kept], score, decode_landmarks(landmark_offset[faces], anchors[faces]))


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
