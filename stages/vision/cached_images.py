"""Small labelled pictures in memory: decoded once, handed out a batch at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from stages.core.arrays import Floats, Integers
from stages.core.artefacts import read_arrays
from stages.media.jpeg import unpack_jpeg
from stages.vision.crops import letterbox
from stages.vision.face_images import FaceSample


class CachedImages(Dataset[FaceSample]):
    """Labelled pictures of one size. Memory grows with the corpus: 7 kB a picture of 48 px, grey a third.

    Args:
        files: HDF5 files with `jpeg` and `jpeg_offset`.
        file_index: (N,) which file each picture is in.
        crop_index: (N,) which picture of it.
        target: (N, …) what a picture is labelled with.
        size_px: side of the square that the pictures are letterboxed into.
        grey: keep their luma only: images are (1, S, S).

    Raises:
        ValueError: lengths differ.
    """

    def __init__(
        self,
        files: Sequence[Path],
        file_index: Integers,
        crop_index: Integers,
        target: Floats,
        size_px: int,
        grey: bool = False,
    ) -> None:
        if not len(file_index) == len(crop_index) == len(target):
            raise ValueError(f"lengths differ: {len(file_index)}, {len(crop_index)}, {len(target)}")
        self._target = torch.from_numpy(target.astype(np.float32))
        self._image = torch.empty((len(file_index), 1 if grey else 3, size_px, size_px), dtype=torch.uint8)
        for number in np.unique(file_index):
            pictures = read_arrays(files[number], "jpeg", "jpeg_offset")
            for row in np.flatnonzero(file_index == number):
                picture = unpack_jpeg(pictures["jpeg"], pictures["jpeg_offset"], int(crop_index[row]))
                self._image[row] = _tensor(letterbox(picture, size_px, antialias=True), grey)

    def __len__(self) -> int:
        return len(self._target)

    def __getitem__(self, index: int) -> FaceSample:
        return FaceSample(self._image[index], self._target[index])

    def __getitems__(self, indices: list[int]) -> FaceSample:
        """A batch as torch's loader asks for it, stacked already."""
        rows = torch.tensor(indices)
        return FaceSample(self._image[rows], self._target[rows])


def _tensor(picture: Any, grey: bool) -> torch.Tensor:
    import cv2

    if grey:
        return torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[None]
    return torch.from_numpy(picture).permute(2, 0, 1)
