"""Heat maps kept on disk: those of the trunk, of every draw, in the training's precision."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stages.core.artefacts import write_arrays
from stages.core.optimisation import MixedPrecision
from stages.media.jpeg import pack_jpegs
from stages.vision.augmentation import build_augmentation
from stages.vision.face_images import FaceImages
from stages.vision.frozen_maps import dtype_of, keep_maps
from stages.vision.pose_model import PoseModel

SEEDS = (40, 41)


@pytest.fixture
def images(tmp_path: Path) -> FaceImages:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    jpeg, offset = pack_jpegs([*pictures], 95)
    write_arrays(tmp_path / "t.h5", {"jpeg": jpeg, "jpeg_offset": offset})
    changes = build_augmentation(["noise"], 1.0)
    return FaceImages([tmp_path / "t.h5"], np.zeros(5, int), np.arange(5), np.zeros((5, 2)), 32, changes)


@pytest.fixture
def model() -> PoseModel:
    torch.manual_seed(0)
    return PoseModel(32, options={"width": 4, "modules": [1, 1, 1], "blocks": 1})


@pytest.mark.parametrize("precision", [p for p in get_args(MixedPrecision) if p != "fp16"])
def test_an_epoch_gets_the_maps_of_its_draw(
    tmp_path: Path, images: FaceImages, model: PoseModel, precision: MixedPrecision
) -> None:
    maps = keep_maps(model, images, tmp_path / "maps.bin", SEEDS, 2, precision)
    assert len(maps) == 5
    loader = DataLoader(maps, batch_size=5, num_workers=1, persistent_workers=True)
    for seed, like in ((40, 40), (41, 41), (42, 40), (45, 41)):
        images.draw_from(like)
        changed = torch.stack([images[k].image for k in range(5)])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            expected = model.upper_body(changed)
        maps.draw_from(seed)
        found = next(iter(loader)).image
        assert found.dtype == dtype_of(precision)
        torch.testing.assert_close(found, expected, rtol=1e-2 if precision == "bf16" else 1e-5, atol=1e-2)


def test_a_file_that_is_whole_serves_and_half_of_one_does_not(
    tmp_path: Path, images: FaceImages, model: PoseModel
) -> None:
    file = tmp_path / "maps.bin"
    keep_maps(model, images, file, SEEDS, 2)
    content, written = file.read_bytes(), file.stat().st_mtime_ns
    keep_maps(model, images, file, SEEDS, 2)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(content[: len(content) // 2])
    keep_maps(model, images, file, SEEDS, 2)
    assert file.read_bytes() == content
