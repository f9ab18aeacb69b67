"""The embeddings of a whole track: its pictures through a static model, each picture once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Floats, Image
from stages.core.optimisation import MixedPrecision
from stages.engine.prefetch import decoding_threads
from stages.inference.engines import Engine
from stages.media.pictures import Pictures
from stages.vision.backbones import header_of
from stages.vision.crops import shown
from stages.vision.views import View

if TYPE_CHECKING:
    from stages.vision.architectures import Static

HALF = {"fp16": "float16", "bf16": "bfloat16"}
"""Precision of a forward pass on a GPU, by its name in params.yaml, as torch calls it."""
MOST_ON_A_PROCESSOR = 32
"""Images per batch in PyTorch on a processor: 256 are no faster, and take a gigabyte (EfficientNet-B1)."""
MOST_IN_A_GRAPH = 8
"""Images per batch in OpenVINO: 32 are no faster, and it keeps 6 MB for every size of batch that it has met
(EfficientNet-B1, float32: 0.25 GB after all sizes up to 8, 0.7 after all up to 32)."""


class StaticNetwork(Protocol):
    """A static model applied to batches of images; results may stay on the device until they are fetched."""

    image_size: int
    threads: int
    """That decode pictures beside it."""
    most: int | None
    """Images of a batch, whatever is asked for; None: any."""
    full_batches: bool
    """Whether the last batch is to be filled up: one shape, one compilation."""

    def answer(self, images: NDArray[np.uint8]) -> Any:
        """Shape: (B, S, S, 3) uint8 RGB."""

    def fetch(self, answers: Sequence[Any]) -> tuple[Floats, ...]:
        """All answers in a row: embedding (N, 256), valence_arousal (N, 2), and more (N, 2), float32."""


class GraphNetwork:
    """A static model as a graph on the processor; see `static_graph.open_static`.

    Args:
        file: the model, with its configuration in the header.
        engine: precision of the layers.
    """

    def __init__(self, file: Path, engine: Engine) -> None:
        from stages.vision.static_graph import open_static

        config = header_of(file)
        self.image_size: int = config["image_size"]
        self.threads, self.most, self.full_batches = decoding_threads("cpu"), MOST_IN_A_GRAPH, False
        self._run = open_static(file, config, engine.precision)

    def answer(self, images: NDArray[np.uint8]) -> list[Floats]:
        """See `StaticNetwork`."""
        return self._run(images.transpose(0, 3, 1, 2))

    def fetch(self, answers: Sequence[list[Floats]]) -> tuple[Floats, Floats]:
        """See `StaticNetwork`."""
        embedding, valence_arousal = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return embedding, valence_arousal


class TorchNetwork:
    """A static model in PyTorch, on the device that it lies on.

    Args:
        model: in eval mode.
        mixed_precision: of the forward pass on a GPU; "fp16" moved embeddings by a thousandth of their spread
            (EfficientNet-B1, random weights, emulated on a processor).
    """

    def __init__(self, model: "Static", mixed_precision: MixedPrecision = "no") -> None:
        self._model, self._device = model, next(model.parameters()).device
        on_gpu = self._device.type != "cpu"
        self.image_size, self.threads = model.image_size, decoding_threads(self._device.type)
        self.most = None if on_gpu else MOST_ON_A_PROCESSOR
        self.full_batches, self._half = on_gpu, HALF.get(mixed_precision) if on_gpu else None

    def answer(self, images: NDArray[np.uint8]) -> Any:
        """See `StaticNetwork`."""
        import torch

        half = getattr(torch, self._half) if self._half else None
        with torch.no_grad(), torch.autocast(self._device.type, half, enabled=half is not None):
            output = self._model(torch.from_numpy(images).permute(0, 3, 1, 2).to(self._device))
        # They stay on the device: to fetch them now would let it wait for the next batch.
        return output.embedding.float(), output.valence_arousal.float()

    def fetch(self, answers: Sequence[Any]) -> tuple[Floats, Floats]:
        """See `StaticNetwork`."""
        import torch

        embedding, valence_arousal = (torch.cat(parts).cpu().numpy() for parts in zip(*answers, strict=True))
        return embedding, valence_arousal


class WithMirror:
    """A static model that is shown every picture and its mirror image; a `StaticNetwork`, too.

    It answers with valence_arousal of the mirror image as well, (N, 2).
    """

    def __init__(self, network: StaticNetwork) -> None:
        self._network = network
        self.image_size, self.threads = network.image_size, network.threads
        self.full_batches, self.most = network.full_batches, network.most

    def answer(self, images: NDArray[np.uint8]) -> Any:
        """See `StaticNetwork`."""
        return self._network.answer(images), self._network.answer(np.ascontiguousarray(images[:, :, ::-1]))

    def fetch(self, answers: Sequence[Any]) -> tuple[Floats, ...]:
        """See `StaticNetwork`."""
        seen, mirrored = zip(*answers, strict=True)
        return *self._network.fetch(seen), self._network.fetch(mirrored)[1]


def embed_track(network: StaticNetwork, track: Pictures, view: View, batch_size: int) -> tuple[Floats, ...]:
    """Apply a static model to every step of a track; a picture that is reused is computed once.

    Shape: T steps -> embedding (T, 256), valence_arousal (T, 2), of `WithMirror` twice; float32.

    Args:
        network: a static model.
        track: its pictures, each of which is read when its batch comes.
        view: which of them, or which part of it, stands for each step.
        batch_size: images at a time, at most.
    """
    batch_size = min(batch_size, network.most or batch_size)
    pictures, first, place = np.unique(view.picture, return_index=True, return_inverse=True)
    boxes = [None] * len(first) if view.box_xyxy is None else list(view.box_xyxy[first])

    def show(k: int, image: Image | None) -> Image:
        return shown(image, boxes[k], network.image_size, view.antialias)

    answers = []
    for images in track.batches(pictures, show, batch_size, network.threads):
        missing = batch_size - len(images) if network.full_batches else 0
        answers.append(network.answer(np.stack(images + images[-1:] * missing)))
    return tuple(part[place] for part in network.fetch(answers))
