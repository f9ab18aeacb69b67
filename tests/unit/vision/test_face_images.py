"""Face crops from disk: the right one, labelled right, from any process, in bounded memory."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stages.core.artefacts import write_arrays
from stages.media.jpeg import pack_jpegs
from stages.vision import face_images
from stages.vision.face_images import FaceImages, OpenTracks

LEVELS = [[20, 90, 160], [60, 230]]  # grey levels of the crops of two tracks


def crops_of(levels):
    return pack_jpegs(np.full((20, 30, 3), level, np.uint8) for level in levels)


@pytest.fixture
def tracks(tmp_path):
    paths = [tmp_path / "a.h5", tmp_path / "b_right.h5"]
    for path, levels in zip(paths, LEVELS, strict=True):
        with h5py.File(path, "w") as file:
            file["jpeg"], file["jpeg_offset"] = crops_of(levels)
    return paths


@pytest.fixture
def images(tracks):
    target = np.arange(8).reshape(4, 2) / 10
    return FaceImages(tracks, np.array([1, 0, 0, 1]), np.array([1, 2, 0, 0]), target, size_px=30)


def level(image):
    """Grey level in the middle of a letterboxed crop."""
    return float(image[:, 12:18].float().mean())


def test_each_sample_is_its_crop_and_its_label(images):
    assert [level(images[i].image) for i in range(4)] == pytest.approx([230, 160, 20, 60], abs=2)
    assert images[2].target.tolist() == pytest.approx([0.4, 0.5])
    assert images[0].image.shape == (3, 30, 30)
    assert images[0].image[:, :4].max() == 0, "black above the letterboxed crop"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_from_any_process(images, workers):
    images[0]  # a handle is open here before the workers fork
    batch = next(iter(DataLoader(images, batch_size=4, num_workers=workers)))
    assert [level(image) for image in batch.image] == pytest.approx([230, 160, 20, 60], abs=2)
    assert batch.target.shape == (4, 2)


def halves():
    """A picture whose left half is dark and whose right half is light."""
    picture = np.full((20, 40, 3), 30, np.uint8)
    picture[:, 20:] = 220
    return picture


LEFT, RIGHT, BEYOND = [0, 0, 20, 20], [24, 2, 36, 14], [30, -50, 90, 10]


def test_a_box_shows_its_part_clipped_to_the_picture(tmp_path):
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["jpeg"], file["jpeg_offset"] = pack_jpegs([halves()])
    boxes, zeros = np.array([LEFT, RIGHT, BEYOND], float), np.zeros(3, int)
    images = FaceImages([tmp_path / "frames.h5"], zeros, zeros, np.zeros((3, 2)), 30, box_xyxy=boxes)
    assert [level(images[i].image) for i in range(3)] == pytest.approx([30, 220, 220], abs=3)


def test_augmentation_is_applied(tracks):
    flipped = FaceImages(
        tracks, np.array([0]), np.array([0]), np.zeros((1, 2)), 30, augment=lambda x: 255 - x
    )
    assert level(flipped[0].image) == pytest.approx(235, abs=2)


def test_few_files_are_open_at_a_time(tracks, monkeypatch):
    monkeypatch.setattr(face_images, "OPEN_FILES", 1)
    open_tracks = OpenTracks()
    first = open_tracks.get(str(tracks[0]))[0]
    open_tracks.get(str(tracks[1]))
    assert not first, "closed by the second"
    assert open_tracks.get(str(tracks[0]))[0]
    copy = pickle.loads(pickle.dumps(open_tracks))  # noqa: S301  (as a spawned worker does)
    assert copy.get(str(tracks[1]))[1].tolist()[0] == 0
    open_tracks.close()
    copy.close()


@pytest.mark.parametrize(
    ("files", "crops", "rows", "message"),
    [([0, 0], [0], 1, "lengths differ"), ([2], [0], 1, "within 0 and 1"), ([0], [-1], 1, "black image")],
)
def test_indices_that_do_not_fit_are_refused(tracks, files, crops, rows, message):
    with pytest.raises(ValueError, match=message):
        FaceImages(tracks, np.array(files), np.array(crops), np.zeros((rows, 2)), 30)


def test_changes_follow_the_epoch_and_the_image_not_the_worker(tmp_path):
    """A resumed run, or one with another number of workers, sees the same images."""
    from stages.vision.augmentation import build_augmentation

    picture = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    jpeg, offset = pack_jpegs([picture] * 6, 95)
    write_arrays(tmp_path / "t.h5", {"jpeg": jpeg, "jpeg_offset": offset})
    changes = build_augmentation(["noise", "rotation"], 1.0)
    rows = (np.zeros(6, int), np.arange(6), np.zeros((6, 2)))
    images = FaceImages([tmp_path / "t.h5"], *rows, 24, changes)

    def epoch(seed: int, workers: int) -> torch.Tensor:
        images.draw_from(seed)
        loader = DataLoader(images, batch_size=2, num_workers=workers)
        return torch.cat([batch.image for batch in loader])

    first = epoch(3, 0)
    assert torch.equal(epoch(3, 2), first)
    assert not torch.equal(epoch(4, 0), first)
    assert not torch.equal(first[0], first[1]), "each image has draws of its own"
    torch.manual_seed(1)
    expected = torch.rand(())
    torch.manual_seed(1)
    images[0]
    assert torch.rand(()) == expected, "the training's own draws aren't touched"


@pytest.mark.parametrize(("kept_bytes", "decoded"), [(4 * 3 * 30 * 30, 4), (4 * 3 * 30 * 30 - 1, 12)])
def test_few_small_images_are_decoded_once(tracks, monkeypatch, kept_bytes, decoded):
    """And whatever is changed about one that is handed out, the next epoch begins with the same picture."""
    from stages.vision.augmentation import CHANGES, build_augmentation

    asked, unpack = [], face_images.unpack_jpeg
    monkeypatch.setattr(face_images, "unpack_jpeg", lambda *given: asked.append(0) or unpack(*given))
    monkeypatch.setattr(face_images, "KEPT_BYTES", kept_bytes)
    changes = build_augmentation(list(CHANGES), 1.0)
    rows = (np.array([1, 0, 0, 1]), np.array([1, 2, 0, 0]), np.zeros((4, 2)))
    images = FaceImages(tracks, *rows, 30, changes)
    epochs = []
    for seed in (3, 4, 3):
        images.draw_from(seed)
        epochs.append(torch.stack([images[index].image for index in range(4)]))
    assert len(asked) == decoded
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
