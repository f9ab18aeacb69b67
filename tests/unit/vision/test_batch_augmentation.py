"""Changes to whole batches: what each does, that it does nothing else, and that a seed gives it again."""

from typing import Any

import pytest
import torch

from stages.core.params import BatchAugmentation
from stages.vision.batch_augmentation import augment_batch, scaled

NOTHING = dict.fromkeys(BatchAugmentation.model_fields, 0) | {"small_face_px": 12}
STRONG: dict[str, dict[str, Any]] = {
    "scale": {"scale": 0.3},
    "aspect": {"aspect": 0.3},
    "shift": {"shift": 0.2},
    "rotation_deg": {"rotation_deg": 30},
    "flip_probability": {"flip_probability": 1},
    "gamma": {"gamma": 0.8},
    "contrast": {"contrast": 0.8},
    "brightness": {"brightness": 0.3},
    "side_light": {"side_light": 0.8},
    "small_face_probability": {"small_face_probability": 1},
    "blur_probability": {"blur_probability": 1},
    "noise_probability": {"noise_probability": 1},
    "jpeg_probability": {"jpeg_probability": 1},
    "erase_probability": {"erase_probability": 1},
}


def settings(**changes: Any) -> BatchAugmentation:
    return BatchAugmentation.model_validate(NOTHING | changes)


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def batch(request: pytest.FixtureRequest) -> torch.Tensor:
    torch.manual_seed(5)
    ramp = torch.linspace(40, 200, 48).expand(64, request.param, 48, 48)
    return (ramp + 20 * torch.rand(64, request.param, 48, 48)).round().to(torch.uint8)


def test_nothing_asked_for_is_nothing_done(batch: torch.Tensor) -> None:
    assert (augment_batch(batch, settings()).int() - batch.int()).abs().max() <= 1


@pytest.mark.parametrize("name", STRONG)
def test_each_change_alters_pixels_and_neither_shape_nor_type(name: str, batch: torch.Tensor) -> None:
    before = batch.clone()
    torch.manual_seed(1)
    changed = augment_batch(batch, settings(**STRONG[name]))
    assert (changed.shape, changed.dtype) == (batch.shape, torch.uint8)
    altered = ((changed.int() - batch.int()).abs() > 2).flatten(1).any(dim=1)
    assert altered.float().mean() > 0.4, "side_light meets half of them"
    assert torch.equal(batch, before), "pictures in memory stay as they are"
    torch.manual_seed(1)
    assert torch.equal(augment_batch(batch, settings(**STRONG[name])), changed)


def test_every_strength_is_tested() -> None:
    assert {*STRONG, "small_face_px"} == set(BatchAugmentation.model_fields)


def test_a_flip_is_exact(batch: torch.Tensor) -> None:
    flipped = augment_batch(batch, settings(flip_probability=1))
    assert (flipped.int() - batch.flip(3).int()).abs().max() <= 1


def test_a_shift_moves_both_ways_and_keeps_the_middle_on_average() -> None:
    """A bright dot in the middle: its place has the deviation that was asked for, a tenth of the side."""
    dot = torch.zeros(2000, 1, 41, 41, dtype=torch.uint8)
    dot[:, :, 19:22, 19:22] = 255
    torch.manual_seed(0)
    seen = augment_batch(dot, settings(shift=0.1)).float().flatten(2)
    place = (seen.argmax(dim=2) % 41).float()
    inside = place[seen.amax(dim=2) > 60]
    assert inside.mean() == pytest.approx(20, abs=0.5)
    assert inside.std() == pytest.approx(4.1, abs=0.5)


def test_a_small_face_keeps_its_light_and_loses_its_detail(batch: torch.Tensor) -> None:
    changed = augment_batch(batch, settings(small_face_probability=1)).float()
    assert changed.mean() == pytest.approx(float(batch.float().mean()), abs=1)
    fine = (changed[..., 1:] - changed[..., :-1]).abs().mean()
    assert fine < 0.7 * (batch[..., 1:].float() - batch[..., :-1].float()).abs().mean()


def test_a_share_of_the_strength_leaves_the_mirror_image_alone() -> None:
    every = dict.fromkeys(BatchAugmentation.model_fields, 0.5) | {"small_face_px": 12}
    half = dict(BatchAugmentation.model_validate(every).times(0.5))
    assert (half.pop("flip_probability"), half.pop("small_face_px")) == (0.5, 12)
    assert set(half.values()) == {0.25}


def test_scaling_keeps_light_and_the_own_size_changes_nothing(batch: torch.Tensor) -> None:
    assert scaled(batch, 48) is batch
    small = scaled(batch, 32)
    assert (small.shape, small.dtype) == ((*batch.shape[:2], 32, 32), torch.uint8)
    assert small.float().mean() == pytest.approx(float(batch.float().mean()), abs=1)
