"""Build the separator that the parameters name; `stages.core.voices` describes each one."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stages.core.params import VoiceParams
from stages.core.voices import VOICES
from stages.engine.device import torch_device
from stages.inference.engines import Library
from stages.separation.separation import Classical, PassThrough, Separator


def separator_of(settings: VoiceParams, weights: Path | None, library: Library = "torch") -> Separator:
    """The separator of the parameters; one per process and device.

    Args:
        settings: the section `voice`.
        weights: what `weights_of` found; None where it needs none.
        library: that runs its networks.
    """
    device = torch_device() if VOICES[settings.backend].on_gpu else "cpu"
    return _built(settings, weights, device, library)


def weights_of(settings: VoiceParams, pretrained: Path) -> Path | None:
    """The file that the backend reads its networks from; None where it has none.

    Raises:
        ValaroError: it isn't here and can't be downloaded.
    """
    if not VOICES[settings.backend].published:
        return None
    return BUILDERS[settings.backend].weights(settings.spleeter_model, pretrained)


@cache
def _built(settings: VoiceParams, weights: Path | None, device: str, library: Library) -> Separator:
    return BUILDERS[settings.backend].build(settings, weights or Path(), device, library)


def _converted(model: str, pretrained: Path) -> Path:
    from stages.separation.spleeter_converted import converted_weights

    return converted_weights(model, pretrained)


def _spleeter_torch(settings: VoiceParams, weights: Path, device: str, library: Library) -> Separator:
    from stages.inference.graphs import GraphMismatch
    from stages.separation.spleeter import SpleeterGraph, SpleeterTorch
    from stages.separation.spleeter_graph import open_spleeter

    if library == "openvino":
        with suppress(GraphMismatch):
            run = open_spleeter(weights, settings.spleeter_precision)
            return SpleeterGraph(run, settings.spleeter_mask_extension)
    from stages.separation.spleeter_weights import load_net

    return SpleeterTorch(
        load_net(weights),
        device,
        mask_extension=settings.spleeter_mask_extension,
        precision=settings.spleeter_precision,
    )


def _checkpoint(model: str, pretrained: Path) -> Path:
    from stages.separation.spleeter_original import original_checkpoint

    return original_checkpoint(model, pretrained)


def _spleeter(settings: VoiceParams, weights: Path, _device: str, _library: Library) -> Separator:
    from stages.separation.spleeter_original import SpleeterOriginal

    return SpleeterOriginal(str(settings.spleeter_python), weights.parent)


def _no_weights(_model: str, _pretrained: Path) -> Path:
    return Path()


class Builder(NamedTuple):
    """How a backend gets its weights (model, folder of pretrained files), and how it is built."""

    build: Callable[[VoiceParams, Path, str, Library], Separator]
    weights: Callable[[str, Path], Path] = _no_weights


BUILDERS: Mapping[str, Builder] = {
    "none": Builder(lambda *_: PassThrough()),
    "classical": Builder(lambda *_: Classical()),
    "spleeter_torch": Builder(_spleeter_torch, _converted),
    "spleeter": Builder(_spleeter, _checkpoint),
}
"""One for each of `VOICES`; the module that does the work is imported only when it is used."""
