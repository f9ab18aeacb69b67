"""Augmentation: how often, what each change does, and that nothing else happens."""

import pytest
import torch

from stages.vision.augmentation import CHANGES, LIGHT, PAPER, build_augmentation


@pytest.fixture
def face():
    """A picture with colours and edges that every change alters."""
    torch.manual_seed(5)
    ramp = torch.linspace(40, 200, 32)
    picture = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, 140 - 0.4 * ramp.expand(32, 32)])
    picture[:, 8:14, 6:12] = torch.tensor([200.0, 30.0, 60.0])[:, None, None]
    return picture.round().to(torch.uint8)


@pytest.fixture
def batch(face):
    return face.expand(1500, 3, 32, 32)


def test_the_papers_twelve_change_46_percent_of_the_images(batch):
    """1 − 0.95¹² = 46 %; three standard deviations of 1 500 draws are 3.9 %."""
    assert len(PAPER) == 12
    assert "vertical_flip" not in PAPER
    augment = build_augmentation(PAPER, 0.05)
    changed = sum(not torch.equal(augment(image), image) for image in batch) / len(batch)
    assert changed == pytest.approx(1 - 0.95**12, abs=0.039)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_alters_pixels_and_neither_shape_nor_type(name, face):
    changed = build_augmentation([name], 1.0)(face)
    assert changed.shape == face.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, face)


def test_changes_are_independent(batch):
    """Two certain-to-show changes at a half: a quarter of the images has none, a quarter both."""
    augment = build_augmentation(["horizontal_flip", "vertical_flip"], 0.5)
    face = batch[0]
    kinds = [face, face.flip(-1), face.flip(-2), face.flip(-1, -2)]
    counts = [0] * 4
    for image in batch:
        changed = augment(image)
        counts[next(i for i, kind in enumerate(kinds) if torch.equal(changed, kind))] += 1
    assert all(count == pytest.approx(375, abs=75) for count in counts), counts


@pytest.mark.parametrize(("probability", "changed"), [(0.0, False), (1.0, True)])
def test_the_extremes_of_probability(face, probability, changed):
    assert torch.equal(build_augmentation(["horizontal_flip"], probability)(face), face.flip(-1)) == changed


def test_one_seed_one_result(face):
    augment = build_augmentation(PAPER, 0.5)
    results = []
    for _ in range(2):
        torch.manual_seed(11)
        results.append(torch.stack([augment(face) for _ in range(20)]))
    assert torch.equal(*results)


def test_grayscale_equalises_the_channels_and_the_crop_stays_inside(face):
    grey = CHANGES["grayscale"](face)
    assert torch.equal(grey[0], grey[2])
    white = torch.full_like(face, 255)
    assert CHANGES["crop"](white).min() == 255
    assert CHANGES["pad"](white).min() == 0


def test_the_light_ones_are_known_and_unknown_ones_refused():
    build_augmentation(LIGHT, 0.3)
    with pytest.raises(ValueError, match="solarise"):
        build_augmentation(["solarise"], 0.1)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        build_augmentation([], 1.5)
