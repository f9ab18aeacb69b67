"""Decoding and removal of overlaps for a whole batch of frames, on the device that the answers are on.

Greedy non-maximum suppression keeps a box unless a more confident, kept box covers it. Here for all frames at
once:

1. Of every frame, the anchors over the threshold, the most confident first, as many columns as the fullest
   frame needs.
2. Intersection over union of each pair; `covers[i, j]` where i comes before j and covers it.
3. Start with all boxes kept, and again and again keep those that no kept box covers, until nothing changes.
   After k rounds every box with a chain of at most k covering boxes before it is settled: the result is the
   greedy one. Real frames need two to four rounds.

One transfer to the host a batch: of the boxes kept.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stages.vision.detection import Detections
from stages.vision.retinaface_anchors import CENTRE_VARIANCE, SIZE_VARIANCE, anchors_cxcywh

PAIRS = 1 << 26
"""Most pairs of boxes compared at a time: 256 MB for each of some three matrices."""
BOX, LANDMARKS = slice(2, 6), slice(6, 16)


def faces_of_batch(
    logit: Tensor,
    offset: Tensor,
    landmark_offset: Tensor,
    anchors: Tensor,
    least_logit: float,
    overlap: float,
) -> list[Detections]:
    """The faces of every frame, as one by one on the host.

    Shape: logit (B, A), offset (B, A, 4), landmark_offset (B, A, 10), anchors (A, 4) centre and size.

    Args:
        logit: difference of the two classes' logits.
        offset: of the boxes.
        landmark_offset: of the five landmarks.
        anchors: on the same device.
        least_logit: of a face.
        overlap: greatest intersection over union of two boxes that both stay.
    """
    ordered, order = logit.float().sort(dim=1, descending=True, stable=True)
    columns = max(1, int((ordered >= least_logit).sum(dim=1).max()))
    ordered, order = ordered[:, :columns], order[:, :columns]
    anchor = anchors[order]
    box_xyxy = decode_boxes(_taken(offset, order), anchor)
    kept = keep_best(box_xyxy, ordered >= least_logit, overlap)
    landmarks = anchor[..., None, :2] + CENTRE_VARIANCE * (
        _taken(landmark_offset, order).reshape(*order.shape, 5, 2) * anchor[..., None, 2:]
    )
    frame = torch.arange(len(logit), device=logit.device)[:, None].expand_as(ordered)
    columns_of = [frame[..., None], ordered.sigmoid()[..., None], box_xyxy, landmarks.flatten(-2)]
    found = torch.cat([part.float() for part in columns_of], dim=-1)[kept].cpu().numpy()
    ends = np.searchsorted(found[:, 0], np.arange(1, len(logit)))
    return [
        Detections(rows[:, BOX], rows[:, 1], rows[:, LANDMARKS].reshape(-1, 5, 2))
        for rows in np.split(found, ends)
    ]


def keep_best(box_xyxy: Tensor, valid: Tensor, overlap: float) -> Tensor:
    """Which boxes stay.

    Shape: (B, K, 4) left, top, right, bottom, the most confident first; (B, K) bool -> (B, K) bool.

    Args:
        box_xyxy: of every frame.
        valid: false where there is no box.
        overlap: greatest intersection over union of two boxes that both stay.
    """
    frames = max(1, PAIRS // max(1, box_xyxy.shape[1] ** 2))
    parts = zip(torch.split(box_xyxy, frames), torch.split(valid, frames), strict=True)
    return torch.cat([_keep_best(boxes, real, overlap) for boxes, real in parts])


def _keep_best(box_xyxy: Tensor, valid: Tensor, overlap: float) -> Tensor:
    covers = _covers(box_xyxy, overlap)
    kept = valid
    while True:
        stays = valid & ~(covers & kept[:, :, None]).any(dim=1)
        if torch.equal(stays, kept):
            return kept
        kept = stays


def _covers(box_xyxy: Tensor, overlap: float) -> Tensor:
    """(B, K, K) bool: whether box i comes before box j and overlaps it too much."""
    first, second = box_xyxy[:, :, None], box_xyxy[:, None]
    width = (
        torch.minimum(first[..., 2], second[..., 2]) - torch.maximum(first[..., 0], second[..., 0])
    ).clamp(min=0)
    height = (
        torch.minimum(first[..., 3], second[..., 3]) - torch.maximum(first[..., 1], second[..., 1])
    ).clamp(min=0)
    shared = width * height
    area = (box_xyxy[..., 2] - box_xyxy[..., 0]) * (box_xyxy[..., 3] - box_xyxy[..., 1])
    union = area[:, :, None] + area[:, None] - shared
    return (shared > overlap * union).triu(diagonal=1)


def decode_boxes(offset: Tensor, anchors: Tensor) -> Tensor:
    """Box offsets to pixels: centres move by tenths of the anchor, sizes scale by exp(offset / 5).

    Shape: (..., 4), (..., 4) -> (..., 4), left, top, right, bottom.
    """
    centre = anchors[..., :2] + CENTRE_VARIANCE * offset[..., :2] * anchors[..., 2:]
    half = anchors[..., 2:] * (SIZE_VARIANCE * offset[..., 2:]).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _taken(values: Tensor, order: Tensor) -> Tensor:
    """(B, A, n) at the positions (B, K): (B, K, n) float32."""
    return values.gather(1, order[..., None].expand(-1, -1, values.shape[-1])).float()


@lru_cache(maxsize=8)
def placed_anchors(height: int, width: int, device: torch.device) -> Tensor:
    """All anchors of an image size on a device, see `retinaface_anchors.anchors_cxcywh`."""
    return torch.from_numpy(anchors_cxcywh(height, width).copy()).to(device)
