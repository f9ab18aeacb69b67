"""Heat maps of a frozen trunk, computed once and kept on disk while the layers above are trained.

The trunk of the pose model never trains: its output for a picture is the same in every epoch, and costs some
thousand times what the added layers do. In training the pictures are changed at random, though, and a changed
picture has other heat maps. So each is passed through in `draws` changes, those that the first epochs would
draw, and the epochs take turns: with one draw a picture keeps its change, and what varies is that the next
step, nearly the same picture, has another. With as many draws as epochs the training is the one without any
of this: maps are kept in the precision of the training, not rounded.

On disk: 106 kB a picture of 256 pixels in half precision, twice that in full. In memory: a batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stages.core.artefacts import whole
from stages.core.optimisation import MixedPrecision
from stages.engine.advance import advance
from stages.vision.batches import scoring_batches
from stages.vision.embedding import HALF
from stages.vision.face_images import FaceImages, FaceSample

SEEDS = 2**32


class FrozenMaps(Dataset[FaceSample]):
    """Labelled heat maps in place of labelled pictures, in their order.

    Args:
        file: (draws, N, *shape), as `keep_maps` wrote it.
        shape: of one picture's maps, (C, H, W).
        precision: of their values.
        images: the pictures.
        seeds: of the draws; `draw_from` takes the one of its seed, or goes round from the first.
    """

    def __init__(
        self,
        file: Path,
        shape: tuple[int, ...],
        precision: MixedPrecision,
        images: FaceImages,
        seeds: Sequence[int],
    ) -> None:
        self.file_index = images.file_index
        self.target = images.target
        self._file, self._shape, self._seeds = file, (len(seeds), len(images), *shape), tuple(seeds)
        self._dtype = dtype_of(precision)
        self._bits = np.int32 if precision == "no" else np.int16  # NumPy has no bfloat16
        self._maps: Any = None
        self._slot = torch.zeros((), dtype=torch.int64)
        self._slot.share_memory_()  # type: ignore[no-untyped-call]  # workers that live on see it change

    @property
    def is_whole(self) -> bool:
        """Whether the file is there, all of it."""
        size = int(np.prod(self._shape)) * np.dtype(self._bits).itemsize
        return self._file.is_file() and self._file.stat().st_size == size

    def __len__(self) -> int:
        return self._shape[1]

    def draw_from(self, seed: int) -> None:
        """Set which draw this epoch uses, in this process and in its workers."""
        self._slot.fill_((seed - self._seeds[0]) % SEEDS % len(self._seeds))

    def __getitem__(self, index: int) -> FaceSample:
        if self._maps is None:  # a process that is spawned opens its own
            self._maps = np.memmap(self._file, self._bits, "r", shape=self._shape)
        maps = torch.from_numpy(self._maps[int(self._slot), index].copy()).view(self._dtype)
        return FaceSample(maps, self.target[index])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": None}


def keep_maps(
    model: Any,
    images: FaceImages,
    file: Path,
    seeds: Sequence[int],
    batch_size: int,
    precision: MixedPrecision = "no",
) -> FrozenMaps:
    """Pass every picture through the trunk once per draw; a complete file of an interrupted run is reused.

    Args:
        model: with `upper_body` and `map_shape`; its device computes.
        images: the pictures, changed as `draw_from` says.
        file: what is written.
        seeds: of the draws, see `FaceImages.draw_from`.
        batch_size: pictures at a time.
        precision: of the training.
    """
    kept = FrozenMaps(file, model.map_shape, precision, images, seeds)
    if not kept.is_whole:
        with whole(file) as partial, partial.open("wb") as out:
            for draw, seed in enumerate(seeds):
                images.draw_from(seed)
                for number, batch in enumerate(scoring_batches(images, batch_size)):
                    out.write(_maps(model, batch.image, precision).numpy().tobytes())
                    advance(draw * len(images) + number * batch_size, len(seeds) * len(images))
    return kept


def _maps(model: Any, image: Tensor, precision: MixedPrecision) -> Tensor:
    """(B, 3, S, S) -> (B, *map_shape), as integers of the same bits."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype_of(precision), enabled=precision != "no"):
        maps: Tensor = model.upper_body(image.to(device)).to(dtype_of(precision)).cpu().contiguous()
    return maps.view(torch.int32 if precision == "no" else torch.int16)


def dtype_of(precision: MixedPrecision) -> torch.dtype:
    """What a network's output is in a training of this precision."""
    dtype: torch.dtype = getattr(torch, HALF.get(precision, "float32"))
    return dtype
