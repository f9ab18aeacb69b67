"""Pictures of people as model input: a data set for training, and the embeddings of a whole track."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from stages.core.arrays import Floats, Image, Integers
from stages.core.optimisation import MixedPrecision
from stages.engine.prefetch import decoding_threads, prefetch_batches
from stages.media.jpeg import unpack_jpeg
from stages.vision.augmentation import Change
from stages.vision.crops import crop_face, letterbox
from stages.vision.views import View

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
OPEN_FILES = 64
"""HDF5 files that one process keeps open at a time."""


class FaceSample(NamedTuple):
    """One image with its label; a DataLoader stacks them into a batch of the same names."""

    image: Tensor
    """(3, S, S) uint8, RGB."""
    target: Tensor
    """(2,) float32: valence, arousal; in pre-training a third, the emotion."""


class FaceImages(Dataset[FaceSample]):
    """Labelled images, read one by one from the tracks' files: memory doesn't grow with the corpus.

    Args:
        files: HDF5 files with `jpeg` and `jpeg_offset`, one per track.
        file_index: (N,) which file each sample is in.
        crop_index: (N,) which picture of it: a face's crop, or a frame.
        target: (N, 2) valence and arousal; more columns in pre-training.
        size_px: S, the side of the square the picture is letterboxed into.
        augment: random change of the image; see `augmentation.build_augmentation`.
        box_xyxy: (N, 4) the part of each picture that is shown; None: all of it.

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
    ) -> None:
        lengths = [len(rows) for rows in (file_index, crop_index, target, box_xyxy) if rows is not None]
        if len(set(lengths)) > 1:
            raise ValueError(f"lengths differ: {', '.join(map(str, lengths))}")
        if len(file_index) and (file_index.min() < 0 or file_index.max() >= len(files)):
            raise ValueError(f"file_index must lie within 0 and {len(files) - 1}")
        if len(crop_index) and crop_index.min() < 0:
            raise ValueError(f"crop_index holds {crop_index.min()}: a black image is no face to learn from")
        self._files, self._file_index, self._crop_index = (
            [str(file) for file in files],
            file_index,
            crop_index,
        )
        self._target = torch.from_numpy(target.astype(np.float32))
        self._size_px, self._augment, self._box_xyxy = size_px, augment, box_xyxy
        self._tracks = OpenTracks()

    def __len__(self) -> int:
        return len(self._file_index)

    def __getitem__(self, index: int) -> FaceSample:
        jpeg, offset = self._tracks.get(self._files[self._file_index[index]])
        box = None if self._box_xyxy is None else self._box_xyxy[index]
        image = as_tensor(_shown(jpeg, offset, int(self._crop_index[index]), box, self._size_px))
        return FaceSample(self._augment(image) if self._augment else image, self._target[index])


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


def _shown(jpeg: Any, jpeg_offset: Integers, picture: int, box_xyxy: Floats | None, size_px: int) -> Image:
    """One picture, or the part of it in a box, as the square a model takes; -1 is a black one."""
    if picture < 0:
        return np.zeros((size_px, size_px, 3), np.uint8)
    image = unpack_jpeg(jpeg, jpeg_offset, picture)
    return letterbox(image if box_xyxy is None else crop_face(image, box_xyxy, pad_px=0.0), size_px)


def as_tensor(image: Image) -> Tensor:
    """(H, W, 3) array -> (3, H, W) tensor, uint8."""
    return torch.from_numpy(image).permute(2, 0, 1)


@torch.no_grad()
def embed_track(
    model: nn.Module,
    jpeg: NDArray[np.uint8],
    jpeg_offset: Integers,
    view: View,
    size_px: int,
    batch_size: int,
    mixed_precision: MixedPrecision = "no",
) -> tuple[Floats, Floats]:
    """What a static model says of every step of a track; a picture that is reused is computed once.

    Shape: T steps -> embedding (T, 256) float32, valence_arousal (T, 2) float32.

    Args:
        model: a static model (or any module with a `StaticOutput`) in eval mode, on any device.
        jpeg: the pictures, see `jpeg.pack_jpegs`.
        jpeg_offset: likewise.
        view: which of them, or which part of it, stands for each step.
        size_px: side of the model's input.
        batch_size: images at a time. On a GPU the last batch is filled up: one shape, one compilation.
        mixed_precision: of the forward pass on a GPU; "fp16" moved embeddings by a thousandth of
            their spread (EfficientNet-B1, random weights, emulated on a processor).
    """
    pictures, first, place = np.unique(view.picture, return_index=True, return_inverse=True)
    boxes = [None] * len(first) if view.box_xyxy is None else list(view.box_xyxy[first])
    device = next(model.parameters()).device
    on_gpu = device.type != "cpu"
    half = HALF.get(mixed_precision) if on_gpu else None

    def show(k: int) -> Tensor:
        return as_tensor(_shown(jpeg, jpeg_offset, int(pictures[k]), boxes[k], size_px))

    embeddings, estimates = [], []
    for images in prefetch_batches(show, len(pictures), batch_size, decoding_threads(device.type)):
        filled = images + images[-1:] * (batch_size - len(images) if on_gpu else 0)
        with torch.autocast(device.type, half, enabled=half is not None):
            output = model(torch.stack(filled).to(device))
        # They stay on the device: to fetch them now would let it wait for the next batch.
        embeddings.append(output.embedding[: len(images)].float())
        estimates.append(output.valence_arousal[: len(images)].float())
    return torch.cat(embeddings).cpu().numpy()[place], torch.cat(estimates).cpu().numpy()[place]
