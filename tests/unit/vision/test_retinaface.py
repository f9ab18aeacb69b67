"""RetinaFace: its geometry against closed formulas, its answers against a published implementation's."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import torch

from stages.vision.detection import Detections
from stages.vision.retinaface import RetinaFace, suppress_overlaps
from stages.vision.retinaface_anchors import anchors_cxcywh, decode_boxes, decode_landmarks
from stages.vision.retinaface_graph import open_retinaface
from stages.vision.retinaface_net import BGR_MEAN, RetinaFaceNet, load_retinaface
from stages.vision.retinaface_openvino import OfFrames, lay_out

Faces = list[dict[str, Any]]


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights" / "mobilenet0.25_Final.pth"


@pytest.fixture(scope="module")
def detector(weights: Path) -> RetinaFace:
    return RetinaFace(weights)


@cache
def _photographs(shared: Path) -> dict[str, tuple[np.ndarray, Faces]]:
    """Every golden image with its expected faces; those that a checkout lacks are left out."""
    expected = json.loads((shared / "golden" / "retinaface" / "images.json").read_text())
    found = {}
    for name, entry in expected.items():
        path = shared / "media" / "images" / name
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is not None:
            assert bgr.shape[:2] == (entry["height"], entry["width"])
            found[name] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), entry["faces"]
    assert len(found) >= 8
    return found


def _assert_same_faces(
    faces: Detections, expected: Faces, name: str, pixels: float = 0.5, score: float = 1e-3
) -> None:
    assert len(faces) == len(expected), name
    for i, face in enumerate(expected):
        np.testing.assert_allclose(faces.box_xyxy[i], face["box_xyxy"], atol=pixels, err_msg=name)
        np.testing.assert_allclose(faces.score[i], face["score"], atol=score, err_msg=name)
        assert faces.landmarks_xy is not None
        np.testing.assert_allclose(faces.landmarks_xy[i], face["landmarks_xy"], atol=pixels, err_msg=name)


def test_it_finds_what_the_published_implementation_finds(shared: Path, detector: RetinaFace) -> None:
    photographs = _photographs(shared)
    found = detector.detect([image for image, _ in photographs.values()])  # one call, every size
    for faces, (name, (_, expected)) in zip(found, photographs.items(), strict=True):
        _assert_same_faces(faces, expected, name)


def test_a_batch_finds_the_faces_of_each_image_alone(shared: Path, detector: RetinaFace) -> None:
    photographs = _photographs(shared)
    image, _ = photographs["03_single_face.jpg"]
    other = photographs["09_two_men.jpg"][0]
    images = [image, other, image[:, ::-1], np.zeros_like(image), np.roll(image, 40, axis=1), image // 2]
    together = detector.detect(images)
    assert [len(faces) for faces in together] == [1, 2, 1, 0, 1, 1]
    for faces, alone in zip(together, images, strict=True):
        single = detector.detect([alone])[0]
        np.testing.assert_allclose(faces.box_xyxy, single.box_xyxy, atol=0.01)
        np.testing.assert_allclose(faces.score, single.score, atol=1e-5)


def test_the_threshold_is_applied_to_the_score(shared: Path, weights: Path) -> None:
    image, expected = _photographs(shared)["14_crowd_26.jpg"]
    least = 0.97
    faces = RetinaFace(weights, threshold=least).detect([image])[0]
    assert len(faces) == sum(face["score"] >= least for face in expected) < len(expected)


@pytest.mark.parametrize(
    ("precision", "pixels", "score"),
    [
        (torch.bfloat16, 4.0, 0.02),
        pytest.param(torch.float16, 1.0, 5e-3, marks=pytest.mark.long),  # which processors do in software
    ],
)
def test_half_precision_in_batches_finds_the_same_people(
    shared: Path, weights: Path, precision: torch.dtype, pixels: float, score: float
) -> None:
    """The way of a GPU, on a processor: frames of one size together, one transfer of their likely anchors."""
    photographs = dict(_photographs(shared))
    if precision == torch.bfloat16:
        del photographs["14_crowd_26.jpg"]  # faces of nearly equal scores change places
        photographs = dict(list(photographs.items())[:4])
    detector = RetinaFace(weights, batch_size=2, precision=precision)
    found = detector.detect([image for image, _ in photographs.values() for _ in range(3)])
    for k, (name, (_, expected)) in enumerate(photographs.items()):
        for faces in found[3 * k : 3 * k + 3]:
            _assert_same_faces(faces, expected, name, pixels, score)


def test_openvino_answers_as_pytorch_does(weights: Path) -> None:
    net = load_retinaface(torch.load(weights, map_location="cpu", weights_only=True))
    answer = open_retinaface(weights, threads=1)
    random = np.random.default_rng(0)
    for height, width in [(480, 640), (361, 499), (33, 70), (1, 1)]:
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        bgr = torch.from_numpy(image[..., ::-1] - np.float32(BGR_MEAN)).permute(2, 0, 1)[None]
        for ours, theirs in zip(answer(image), net(bgr), strict=True):
            np.testing.assert_allclose(ours, theirs[0], atol=1e-4)


def test_frames_of_ever_new_sizes_take_little_more_memory(weights: Path) -> None:
    answer, process = open_retinaface(weights, threads=1), psutil.Process()
    taken = []
    for height, width in np.random.default_rng(0).integers(100, 200, (100, 2)):
        answer(np.zeros((height, width, 3), np.uint8))
        taken.append(process.memory_info().rss)
    assert taken[-1] - taken[20] < 60e6


def test_openvino_refuses_a_layer_it_was_not_told_of(weights: Path) -> None:
    net = load_retinaface(torch.load(weights, map_location="cpu", weights_only=True))
    net.body.stage1.append(torch.nn.Hardswish())
    with pytest.raises(TypeError, match="no OpenVINO operation for Hardswish"):
        lay_out(OfFrames(net))


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_published_answers(shared: Path, weights: Path, cuda: str) -> None:
    for name, (image, expected) in _photographs(shared).items():
        faces = RetinaFace(weights, device=cuda, batch_size=32).detect([image, image])[1]
        _assert_same_faces(faces, expected, name, pixels=1.0, score=5e-3)


def test_no_images_no_answers(detector: RetinaFace) -> None:
    assert detector.detect([]) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_anything_but_rgb_bytes_is_refused(detector: RetinaFace, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image 1 has shape"):
        detector.detect([np.zeros((8, 8, 3), np.uint8), image])


@pytest.mark.parametrize("settings", [{"threshold": 1.0}, {"overlap": 0.0}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted 0 < threshold < 1"):
        RetinaFace(tmp_path / "never read", **settings)


@pytest.mark.parametrize(("height", "width"), [(640, 640), (33, 70), (1, 1)])
def test_anchors_are_those_of_the_nested_loops(height: int, width: int) -> None:
    expected = [
        ((x + 0.5) * stride, (y + 0.5) * stride, side, side)
        for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
        for y in range(int(np.ceil(height / stride)))
        for x in range(int(np.ceil(width / stride)))
        for side in sides
    ]
    np.testing.assert_array_equal(anchors_cxcywh(height, width), expected)
    if height == 640:
        assert len(expected) == 16_800  # the published number for this size


def test_offsets_move_by_tenths_and_scale_by_exponentials() -> None:
    anchor = np.array([[100.0, 50.0, 20.0, 20.0]])
    assert decode_boxes(np.zeros((1, 4)), anchor).tolist() == [[90, 40, 110, 60]]
    moved = decode_boxes(np.array([[5.0, -10.0, 5 * np.log(2), 0.0]]), anchor)
    np.testing.assert_allclose(moved, [[110 - 20, 30 - 10, 110 + 20, 30 + 10]])
    landmarks = decode_landmarks(np.arange(10.0)[None], anchor)
    np.testing.assert_allclose(landmarks[0, 4], [100 + 0.8 * 20, 50 + 0.9 * 20])


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        ((0, 0, 10, 10), [0]),
        ((5, 0, 15, 10), [0, 1]),  # intersection over union 1/3
        ((4, 0, 14, 10), [0]),  # 6/14
        ((10, 0, 20, 10), [0, 1]),  # they touch
        ((20, 20, 30, 30), [0, 1]),  # apart on both axes: two negative sides make no area
    ],
)
def test_only_boxes_covered_beyond_the_limit_go(second: tuple[int, ...], kept: list[int]) -> None:
    boxes = np.array([(0, 0, 10, 10), second], np.float32)
    assert suppress_overlaps(boxes, 0.4).tolist() == kept


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = np.array([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)], np.float32)
    assert suppress_overlaps(boxes, 0.4).tolist() == [0, 2]
    assert suppress_overlaps(boxes[:0], 0.4).tolist() == []


def _random_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: 0.5 + torch.rand(tensor.shape, generator=generator) if tensor.ndim == 1 else tensor
        for name, tensor in RetinaFaceNet().state_dict().items()
    }


def test_folding_the_norms_changes_no_answer() -> None:
    state, image = _random_state(), torch.randn(2, 3, 50, 70, generator=torch.Generator().manual_seed(2))
    plain = RetinaFaceNet()
    plain.load_state_dict(state)
    folded = load_retinaface({f"module.{name}": tensor for name, tensor in state.items()})
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
    with torch.inference_mode():
        for a, b in zip(plain.eval()(image), folded(image), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()))


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_weights_load_strictly(change: str) -> None:
    state = _random_state()
    tensor = state.pop("ssh2.conv7x7_3.0.weight")
    if change == "unknown":
        state |= {"ssh2.conv7x7_3.0.weight": tensor, "ssh4.conv3X3.0.weight": tensor}
    if change == "shape":
        state["ssh2.conv7x7_3.0.weight"] = tensor[:4]
    with pytest.raises(RuntimeError, match=r"ssh\d\.conv"):
        load_retinaface(state)


def test_the_number_of_threads_decides_no_digit(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(7)]
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        detector = RetinaFace(shared / "weights" / "mobilenet0.25_Final.pth", threshold=1e-4, batch_size=2)
        found.append(detector.detect(images))
    assert sum(map(len, found[0])) > 20
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert np.array_equal(one.score, same.score)
            assert np.array_equal(one.box_xyxy, same.box_xyxy)
