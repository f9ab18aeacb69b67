"""Pictures of people as a data set for training."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stages.core.arrays import Floats, Image, Integers
from stages.media.jpeg import unpack_jpeg
from stages.vision.augmentation import Change
from stages.vision.crops import shown

OPEN_FILES = 64
"""HDF5 files that one process keeps open at a time."""
KEPT_BYTES = 1 << 26
"""Images of a data set that take at most this much memory together are decoded once per process."""


class FaceSample(NamedTuple):
    """One image with its label; a DataLoader stacks them into a batch of the same names."""

    image: Tensor
    """(3, S, S) uint8, RGB."""
    target: Tensor
    """(2,) float32: valence, arousal; in pre-training a third, the emotion."""


class FaceImages(Dataset[FaceSample]):
    """Labelled images, read one by one from the tracks' files: memory grows to KEPT_BYTES at most.

    Args:
        files: HDF5 files with `jpeg` and `jpeg_offset`, one per track.
        file_index: (N,) which file each sample is in.
        crop_index: (N,) which picture of it: a face's crop, or a frame.
        target: (N, 2) valence and arousal; more columns in pre-training.
        size_px: S, the side of the square the picture is letterboxed into.
        augment: random change of the image; see `augmentation.build_augmentation`.
        box_xyxy: (N, 4) the part of each picture that is shown; None: all of it.
        antialias: see `crops.letterbox`.

    Raises:
        ValueError: lengths differ, or an index points outside.
    """

    def __init__(
        self,
        files: Sequence[Path],
        file_index: Integers,
        crop_index: Integers,
        target: Floats,
        size_px: int,
        augment: Change | None = None,
        box_xyxy: Floats | None = None,
        antialias: bool = False,
    ) -> None:
        lengths = [len(rows) for rows in (file_index, crop_index, target, box_xyxy) if rows is not None]
        if len(set(lengths)) > 1:
            raise ValueError(f"lengths differ: {', '.join(map(str, lengths))}")
        if len(file_index) and (file_index.min() < 0 or file_index.max() >= len(files)):
            raise ValueError(f"file_index must lie within 0 and {len(files) - 1}")
        if len(crop_index) and crop_index.min() < 0:
            raise ValueError(f"crop_index holds {crop_index.min()}: a black image is no face to learn from")
        self._files, self.file_index, self._crop_index = (
            [str(file) for file in files],
            file_index,
            crop_index,
        )
        self.target = torch.from_numpy(target.astype(np.float32))
        self._size_px, self._augment, self._box_xyxy = size_px, augment, box_xyxy
        self._antialias = antialias
        self._tracks = OpenTracks()
        self._kept: dict[int, Tensor] | None = {} if len(file_index) * 3 * size_px**2 <= KEPT_BYTES else None
        self._draw = torch.zeros((), dtype=torch.int64)
        self._draw.share_memory_()  # type: ignore[no-untyped-call]  # workers that live on see it change

    def __len__(self) -> int:
        return len(self.file_index)

    def draw_from(self, seed: int) -> None:
        """Set the seed of this epoch's random changes, in this process and in its workers."""
        self._draw.fill_(seed)

    def __getitem__(self, index: int) -> FaceSample:
        if self._kept is None:
            image = self._image(index)
        elif (kept := self._kept.get(index)) is None:
            image = self._kept[index] = self._image(index)
        else:
            image = kept
        return FaceSample(self._changed(image, index), self.target[index])

    def _image(self, index: int) -> Tensor:
        """Shape: -> (3, S, S) uint8, before random changes."""
        jpeg, offset = self._tracks.get(self._files[self.file_index[index]])
        box = None if self._box_xyxy is None else self._box_xyxy[index]
        picture = unpack_jpeg(jpeg, offset, int(self._crop_index[index]))
        return as_tensor(shown(picture, box, self._size_px, self._antialias))

    def _changed(self, image: Tensor, index: int) -> Tensor:
        """The image changed by draws of its own, whichever worker makes them, and in whatever order."""
        if self._augment is None:
            return image
        seed = np.random.SeedSequence([int(self._draw), index]).generate_state(1, np.uint64)[0]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(seed) % 2**63)  # for CPUs alone: a tenth of the time
            return self._augment(image)


class OpenTracks:
    """Crops of the files used last, opened lazily, in each process for itself.

    An HDF5 handle mustn't cross into a worker process: neither by a fork nor by pickling.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[h5py.File, Integers]] = OrderedDict()
        self._process = os.getpid()

    def get(self, file: str) -> tuple[Any, Integers]:
        """(`jpeg` as it lies in the file, `jpeg_offset` in memory)."""
        if os.getpid() != self._process:
            self.__init__()  # type: ignore[misc]
        if file not in self._open:
            handle = h5py.File(file, "r")
            self._open[file] = handle, handle["jpeg_offset"][()]
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1][0].close()
        self._open.move_to_end(file)
        handle, offset = self._open[file]
        return handle["jpeg"], offset

    def close(self) -> None:
        """Close what this process has open."""
        while self._open:
            self._open.popitem()[1][0].close()

    def __getstate__(self) -> dict[str, Any]:
        return {"_open": OrderedDict(), "_process": -1}


def as_tensor(image: Image) -> Tensor:
    """(H, W, 3) array -> (3, H, W) tensor, uint8: channel after channel, as colours change quickest."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()
