"""Spleeter's networks as an OpenVINO graph, so that a processor runs them without PyTorch."""

from pathlib import Path

import numpy as np

from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, graph_file, open_graph
from stages.inference.modules import SEED

CODE = __name__


def open_spleeter(file: Path, precision: Precision, segment_frames: int = 512) -> Run:
    """Spleeter's networks: magnitudes (1, 2, T, 1024) float32 -> the voice's mask (1, 2, T, 1024).

    A processor takes one segment at a time; a graph of nothing but that is quicker.

    Args:
        file: converted weights.
        precision: of the layers.
        segment_frames: T.

    Raises:
        GraphMismatch: see `graphs.graph_file`.
    """

    def exported() -> Exported:
        from stages.separation.spleeter_weights import load_net

        noise = np.random.default_rng(SEED).standard_normal((1, 2, segment_frames, 1024))
        return Exported(CODE, lambda: load_net(file), [np.abs(noise).astype(np.float32)], free_axes=0)

    return open_graph(graph_file(file, exported, CODE, f"{segment_frames} frames"), precision)
