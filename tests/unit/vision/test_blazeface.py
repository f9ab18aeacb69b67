"""BlazeFace: finds the public-domain portrait, the same each time, in silence, in any process."""

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from stages.vision.blazeface import BlazeFace, BothRanges, _merged
from stages.vision.detection import Detections, no_faces

FACE_XYXY = (170, 65, 280, 205)
"""The astronaut's face by eye: eyebrows to chin, temple to temple."""


def _overlap(a: np.ndarray, b: tuple[int, ...]) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    return shared / (float(np.prod(a[2:] - a[:2])) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("model_selection", ["short", "full"])
def test_it_finds_the_portrait_and_nothing_in_black(model_selection: str) -> None:
    portrait = astronaut()
    detector = BlazeFace(model_selection)
    found, mirrored, empty = detector.detect([portrait, portrait[:, ::-1], np.zeros((90, 160, 3), np.uint8)])
    assert (len(found), len(mirrored), len(empty)) == (1, 1, 0)
    assert found.landmarks_xy is None
    assert _overlap(found.box_xyxy[0], FACE_XYXY) > 0.5
    assert _overlap(mirrored.box_xyxy[0], (512 - 280, 65, 512 - 170, 205)) > 0.5


def test_boxes_are_in_pixels_whatever_the_images_shape() -> None:
    portrait = astronaut()
    wide = np.concatenate([np.zeros_like(portrait), portrait], axis=1)
    box, shifted = (faces.box_xyxy[0] for faces in BlazeFace("full").detect([portrait, wide]))
    np.testing.assert_allclose(shifted - box, [512, 0, 512, 0], atol=20)


def test_the_same_image_gives_the_same_bytes() -> None:
    portrait = astronaut()
    first, *others = BlazeFace().detect([portrait, portrait[:, ::-1], portrait])
    again = pickle.loads(pickle.dumps(BlazeFace())).detect([portrait])[0]  # noqa: S301
    for faces in (others[-1], again):
        assert faces.box_xyxy.tobytes() == first.box_xyxy.tobytes()
        assert faces.score.tobytes() == first.score.tobytes()


def test_the_threshold_drops_the_portrait() -> None:
    portrait = astronaut()
    score = float(BlazeFace().detect([portrait])[0].score[0])
    assert len(BlazeFace(threshold=min(0.99, score + 0.02)).detect([portrait])[0]) == 0


def test_both_ranges_find_a_far_face_that_the_near_one_misses() -> None:
    picture = np.full((600, 600, 3), 90, np.uint8)
    picture[200:456, 200:456] = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    assert not len(BlazeFace("short").detect([picture])[0])
    found = BothRanges().detect([picture])[0]
    assert len(found) == 1
    assert _overlap(found.box_xyxy[0], tuple(np.array(FACE_XYXY) // 2 + 200)) > 0.4


def test_of_overlapping_faces_the_more_confident_stays_and_others_are_added() -> None:
    near = Detections(
        np.array([[0, 0, 30, 30], [200, 0, 230, 30]], np.float32), np.array([0.9, 0.6], np.float32)
    )
    far = Detections(
        np.array([[198, 0, 228, 30], [4, 0, 34, 30]], np.float32), np.array([0.8, 0.7], np.float32)
    )
    both = _merged(near, far)
    assert both.box_xyxy[:, 0].tolist() == [0, 198]
    np.testing.assert_allclose(both.score, [0.9, 0.8])
    assert _merged(near, no_faces()) is near
    assert _merged(no_faces(), far) is far
    assert not len(_merged(no_faces(), no_faces()))


@pytest.mark.parametrize("settings", [{"model_selection": "long"}, {"threshold": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        BlazeFace(**settings)  # type: ignore[arg-type]


def test_a_fresh_process_says_nothing() -> None:
    program = (
        "from skimage.data import astronaut\n"
        "from stages.vision.blazeface import BlazeFace\n"
        "assert len(BlazeFace().detect([astronaut()] * 2)[1]) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stage_that_uses_it_does_without_pytorch(tmp_path: Path) -> None:
    """Its import takes seconds and 500 MB in every worker."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from stages.core.artefacts import read_arrays, write_arrays\n"
        "from stages.core.params import load_params\n"
        "from stages.faces import search_video\n"
        "from stages.engine.units import Unit\n"
        "from stages.media.jpeg import pack_jpegs\n"
        "jpeg, offset = pack_jpegs([np.zeros((90, 160, 3), np.uint8)])\n"
        "frames, found = Path(sys.argv[1]) / 'frames.h5', Path(sys.argv[1]) / 'found.h5'\n"
        "zero = np.zeros(1)\n"
        "arrays = {'jpeg': jpeg, 'jpeg_offset': offset, 'time_s': zero, 'frame_time_s': zero}\n"
        "write_arrays(frames, arrays, width=160, height=90, scale=1.0)\n"
        "search_video(Unit('v', {'frames': frames}, {'found': found}), load_params().faces.detection())\n"
        "sys.exit(len(read_arrays(found)['time_s']) != 1 or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
