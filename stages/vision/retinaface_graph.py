"""RetinaFace on processors: its graph, exported once, then run without PyTorch; a frame a thread."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats, Image
from stages.inference.graphs import Exported, graph_file
from stages.inference.modules import SEED
from stages.inference.runtime import requests_of_threads

Answer = Callable[[Image], tuple[Floats, Floats, Floats]]
CODE = __name__
EXAMPLE_PX = (97, 130)
"""Of a frame on which graph and network must agree: no multiple of any stride."""


def open_retinaface(weights: Path, threads: int) -> Answer:
    """The network as a function that several threads may call at once.

    Shape: (H, W, 3) uint8 RGB -> face logit difference (A,), box offsets (A, 4), landmark offsets (A, 10),
    float32; overwritten by the next call from the same thread.

    Args:
        weights: `mobilenet0.25_Final.pth`.
        threads: how many threads will call it at a time; each call runs on one.

    Raises:
        ValaroError: see `graphs.graph_file`.
    """

    def exported() -> Exported:
        import torch

        from stages.vision.retinaface_net import load_retinaface
        from stages.vision.retinaface_openvino import OfFrames, lay_out

        def build() -> OfFrames:
            return OfFrames(load_retinaface(torch.load(weights, map_location="cpu", weights_only=True)))

        frame = np.random.default_rng(SEED).integers(0, 256, (1, *EXAMPLE_PX, 3), np.uint8)
        return Exported(CODE, build, [frame], lay_out=lay_out)

    return compile_retinaface(graph_file(weights, exported, CODE), threads)


def compile_retinaface(graph: Path, threads: int) -> Answer:
    """The graph of a file as such a function; see `open_retinaface`."""
    request = requests_of_threads(graph, threads)

    def answer(frame: Image) -> tuple[Floats, Floats, Floats]:
        answers = request().infer({0: frame[None]}, share_inputs=True, share_outputs=True)
        logits, boxes, landmarks = (answers[i][0] for i in range(3))
        return logits, boxes, landmarks

    return answer
