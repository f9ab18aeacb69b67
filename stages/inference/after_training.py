"""Export a network's graphs right after its training, by the process that still has PyTorch loaded.

The first stage that runs the network would have to start PyTorch and the libraries of the architecture only
to export it, which takes 2 to 3 s of CPU time. That stage finds the graphs by their key; it exports them
itself if they aren't there, e.g. because the training's result came from the cache.

No result depends on this module, so a training's key doesn't include it (`fingerprint.NOT_PART_OF_A_RESULT`).
So that a key doesn't include what exports the networks either, it is named here, not imported.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name

from stages.core.artefacts import files_of, read_config
from stages.core.errors import ValaroError
from stages.core.params import ComputeParams
from stages.engine.units import Unit
from stages.inference.engines import engine_of

STATIC = "stages.vision.static_graph:static_graph"
DYNAMIC = "stages.temporal.dynamic_graph:dynamic_graph"
AUDIO = "stages.audio.audio_graph:audio_graphs"
CROSS_ATTENTION = "stages.fusion.cross_attention_graph:cross_attention_graph"


def exporting(graphs: str, compute: ComputeParams) -> Callable[[Unit], None]:
    """What exports the model of a training unit: its `Unit.when_computed`.

    Args:
        graphs: the name of one of the functions above: (weights file, configuration in its header) -> graphs.
        compute: the engine that later stages use; if it isn't OpenVINO, nothing is exported.
    """
    return partial(_export, graphs, compute)


def _export(graphs: str, compute: ComputeParams, unit: Unit) -> None:
    for file in files_of(unit.writes["model"]):
        # The training has succeeded: the stage that runs the network deals with a problem. A file of
        # normalisation holds no network, and has no configuration.
        with suppress(ValaroError):
            if engine_of(compute).library == "openvino":
                resolve_name(graphs)(file, read_config(file))
