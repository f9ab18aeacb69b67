"""Overlaps removed for a whole batch at once: the same boxes as one by one."""

import numpy as np
import pytest
import torch

from stages.vision.retinaface import RetinaFace, suppress_overlaps
from stages.vision.retinaface_anchors import anchors_cxcywh
from stages.vision.suppression import decode_boxes, faces_of_batch, keep_best, placed_anchors


def crowd(rng: np.random.Generator, count: int, spread_px: float) -> np.ndarray:
    """Boxes of 20 to 60 px; the smaller the spread, the longer the chains of overlaps."""
    centre = rng.uniform(0, spread_px, (count, 2))
    half = rng.uniform(10, 30, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


@pytest.mark.parametrize("spread_px", [20, 100, 1000])
@pytest.mark.parametrize("overlap", [0.1, 0.4, 1.0])
def test_a_batch_keeps_what_each_frame_keeps_alone(spread_px: float, overlap: float) -> None:
    rng = np.random.default_rng(0)
    counts = [0, 1, 7, 60, 200]
    boxes, valid = torch.zeros(len(counts), 200, 4), torch.zeros(len(counts), 200, dtype=torch.bool)
    for i, count in enumerate(counts):
        boxes[i, :count], valid[i, :count] = torch.from_numpy(crowd(rng, count, spread_px)), True
    kept = keep_best(boxes, valid, overlap)
    for i, count in enumerate(counts):
        expected = suppress_overlaps(boxes[i, :count].numpy(), overlap)
        assert kept[i].nonzero().flatten().tolist() == expected.tolist()


def test_a_chain_of_boxes_is_settled_link_by_link() -> None:
    """Each box covers only the next: the first, third, fifth ... stay."""
    left = torch.arange(40) * 4.0
    boxes = torch.stack([left, torch.zeros(40), left + 10, torch.full((40,), 10.0)], dim=1)[None]
    kept = keep_best(boxes, torch.ones(1, 40, dtype=torch.bool), overlap=0.4)
    assert kept[0].tolist() == [k % 2 == 0 for k in range(40)]


def test_frames_are_compared_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    boxes = torch.from_numpy(np.stack([crowd(rng, 30, 60) for _ in range(5)]))
    valid = torch.ones(5, 30, dtype=torch.bool)
    whole = keep_best(boxes, valid, 0.3)
    monkeypatch.setattr("stages.vision.suppression.PAIRS", 2000)
    assert torch.equal(keep_best(boxes, valid, 0.3), whole)


@pytest.mark.parametrize("least_logit", [0.5, 2.0, 50.0])
def test_the_faces_of_a_batch_are_those_of_the_host(least_logit: float) -> None:
    """Random answers of the network for every anchor of four frames, ties among them."""
    rng = np.random.default_rng(2)
    height, width = 96, 64
    anchors = anchors_cxcywh(height, width)
    logit = np.round(rng.normal(0, 1.5, (4, len(anchors))), 2).astype(np.float32)
    offset, landmarks = (rng.normal(0, 1, (4, len(anchors), n)).astype(np.float32) for n in (4, 10))
    host = RetinaFace.__new__(RetinaFace)
    host.overlap = 0.4
    device = torch.device("cpu")
    found = faces_of_batch(
        *map(torch.from_numpy, (logit, offset, landmarks)),
        placed_anchors(height, width, device),
        least_logit,
        0.4,
    )
    for i, faces in enumerate(found):
        likely = np.flatnonzero(logit[i] >= least_logit)
        alone = host._faces(logit[i][likely], offset[i][likely], landmarks[i][likely], anchors[likely])
        assert len(faces) == len(alone)
        np.testing.assert_allclose(faces.box_xyxy, alone.box_xyxy, atol=1e-3)
        np.testing.assert_allclose(faces.score, alone.score, atol=1e-6)
        np.testing.assert_allclose(faces.landmarks_xy, alone.landmarks_xy, atol=1e-3)
    assert any(map(len, found)) == (least_logit < 50)


def test_boxes_of_no_offset_are_their_anchors() -> None:
    anchors = placed_anchors(64, 64, torch.device("cpu"))
    boxes = decode_boxes(torch.zeros_like(anchors), anchors)
    assert torch.allclose((boxes[:, :2] + boxes[:, 2:]) / 2, anchors[:, :2])
    assert torch.allclose(boxes[:, 2:] - boxes[:, :2], anchors[:, 2:])
