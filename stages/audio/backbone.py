"""The backbone of the audio models, wav2vec 2.0 or a sibling: from a folder, from the hub, or at random.

Its siblings (FAMILIES: HuBERT, WavLM ...) have the same structure: strided convolutions, then Transformer
layers.

transformers is imported inside, only when a model is really built (seconds, with all that it brings).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from stages.audio.convolutions import frames_of, receptive_field
from stages.core.errors import BadInput
from stages.core.weights import PDEM, PRETRAINED
from stages.engine.lazy_imports import is_ours, slim_transformers, without_compiler

TRAINING_NOISE = {"layerdrop": 0.0, "apply_spec_augment": False}
"""Switched off whatever the configuration says: frozen layers must give the same features every time."""


PROVENANCE = {"architectures", "dtype", "transformers_version", "_name_or_path", "model_type"}
"""Keys of a configuration that say where it comes from, not what it is."""

WAV2VEC2 = "wav2vec2"
FAMILIES = {
    WAV2VEC2: "Wav2Vec2",
    "hubert": "Hubert",
    "wavlm": "WavLM",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeechSat",
}
"""`model_type` of a configuration -> first part of the names of transformers' classes for it."""


def build_backbone(
    source: str | Path | Mapping[str, Any], *, seed: int = 0, offline: bool = False
) -> nn.Module:
    """A bare `transformers` model of one of FAMILIES, without SpecAugment and layer drop.

    Args:
        source: a local folder (config.json and weights), a name on the hub, or the keys of a
            `Wav2Vec2Config`, for which weights are drawn at random; with `model_type`, one of FAMILIES, those
            of that family's configuration.
        seed: of those random weights; torch's own generator stays as it was.
        offline: never ask the hub; what was downloaded before is still found.

    Raises:
        BadInput: the folder or the hub's model can't be read, or is of no such family.
        ValueError: the configuration has an unknown key or doesn't hold together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _drawn(source) if isinstance(source, Mapping) else _loaded(str(source), offline)


def _drawn(settings: Mapping[str, Any]) -> nn.Module:
    family = str(settings.get("model_type", WAV2VEC2))
    if family not in FAMILIES:
        raise ValueError(f"model_type is {family!r}, must be one of {', '.join(FAMILIES)}")
    configuration, architecture = _classes(family)
    if unknown := sorted(set(settings) - set(configuration().to_dict())):
        raise ValueError(f"not a key of a {family} configuration: {', '.join(unknown)}")
    values = {key: value for key, value in settings.items() if key != "model_type"}
    try:
        model: nn.Module = architecture(configuration(**{**values, **TRAINING_NOISE}))
    except Exception as error:  # the library's own validation errors share no base class
        raise ValueError(f"this {family} configuration doesn't hold together: {error}") from error
    return model


def _classes(family: str) -> tuple[Any, Any]:
    """The configuration and the bare model of a family."""
    without_compiler()
    name = family.replace("-", "_")
    with slim_transformers() if is_ours() else nullcontext():  # others may want more of it
        configurations = import_module(f"transformers.models.{name}.configuration_{name}")
        networks = import_module(f"transformers.models.{name}.modeling_{name}")
    return getattr(configurations, f"{FAMILIES[family]}Config"), getattr(networks, f"{FAMILIES[family]}Model")


def _loaded(source: str, offline: bool) -> nn.Module:
    from transformers import AutoConfig

    source = str(_fetched(source) or source)
    local = Path(source).is_dir()
    remedy = (
        "Put the model's config.json and weights into a folder and name it, or go online once: "
        f"`valaro fetch-model pdem` gets {PDEM}"
    )
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local or offline)
    except Exception as error:  # missing, not JSON, or values of the wrong type: no common base class
        raise BadInput(source, f"no wav2vec 2.0 model there ({_first_line(error)})", remedy) from error
    if config.model_type not in FAMILIES:
        families = ", ".join(FAMILIES)
        raise BadInput(source, f"holds a {config.model_type} model, none of {families}", remedy)
    for key, value in TRAINING_NOISE.items():
        setattr(config, key, value)
    try:
        model, report = _classes(config.model_type)[1].from_pretrained(
            source, config=config, local_files_only=local or offline, output_loading_info=True
        )
    except Exception as error:  # missing, damaged, of other shapes, or pickled code
        raise BadInput(source, f"its weights can't be loaded ({_first_line(error)})", remedy) from error
    missing = sorted(set(report["missing_keys"]) - {"masked_spec_embed"})  # unused here
    if missing:
        raise BadInput(source, f"{len(missing)} weights are missing, {missing[0]} among them", remedy)
    backbone: nn.Module = model
    return backbone.float()


def _fetched(source: str) -> Path | None:
    """The folder that `valaro fetch-model` put a model of the hub into."""
    folder = PRETRAINED / source.rpartition("/")[2]
    return folder if not Path(source).is_dir() and (folder / "config.json").is_file() else None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def plain_config(backbone: nn.Module) -> dict[str, Any]:
    """What `build_backbone` needs to draw this architecture again, weights aside: plain keys and values."""
    config = cast(Any, backbone).config.to_dict()
    family = config["model_type"]
    usual = _classes(family)[0]().to_dict()
    plain = {key: config[key] for key in sorted(usual) if config[key] != usual[key] and key not in PROVENANCE}
    return plain if family == WAV2VEC2 else {"model_type": family} | plain


def hidden_size(backbone: nn.Module) -> int:
    """Width h of the backbone's frames: 1024 for the paper's."""
    return int(cast(Any, backbone).config.hidden_size)


def convolve(backbone: nn.Module, waveform: Tensor) -> Tensor:
    """The convolutions alone. (B, n) -> (B, c, F), F as `frames_of`."""
    convolved: Tensor = cast(Any, backbone).feature_extractor(waveform)
    return convolved


def encode(
    backbone: nn.Module, waveform: Tensor, sample_mask: Tensor | None, convolved: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Run the backbone; padded samples don't change the result.

    Shape: waveform (B, n), sample_mask (B, n) bool, true at real samples, which come first,
        convolved (B, c, F) -> hidden (B, F, h), frame_mask (B, F) bool, None where no mask was given.

    Whatever stands in padded samples is ignored, and padded frames are 0. A window with less than one
    frame of real samples keeps its first frame.

    Args:
        backbone: from `build_backbone`.
        waveform: windows.
        sample_mask: which of their samples are real.
        convolved: what `convolve` makes of the windows, where it is known already.
    """
    if sample_mask is None:
        return _hidden(backbone, waveform, convolved), None
    real, anatomy = sample_mask.sum(-1), cast(Any, backbone).config
    position = torch.arange(waveform.shape[1], device=waveform.device)
    attended = position < real.clamp(min=receptive_field(anatomy)).unsqueeze(-1)
    waveform = torch.where(sample_mask, waveform, 0.0)
    hidden = _hidden(backbone, waveform, convolved, attention_mask=attended.long())
    frame = torch.arange(hidden.shape[1], device=hidden.device)
    frame_mask = frame < frames_of(anatomy, real).unsqueeze(-1)
    return torch.where(frame_mask.unsqueeze(-1), hidden, 0.0), frame_mask


def _hidden(backbone: nn.Module, waveform: Tensor, convolved: Tensor | None, **masks: Tensor) -> Tensor:
    known = nullcontext() if convolved is None else _without_convolutions(cast(Any, backbone))
    with warnings.catch_warnings(), known:  # WavLM's own two masks are of different types
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        given = waveform if convolved is None else convolved
        hidden: Tensor = backbone(given, **masks).last_hidden_state
    return hidden


@contextmanager
def _without_convolutions(backbone: Any) -> Iterator[None]:
    """Let the library's models, which take samples only, take the convolutions' output inside the block."""
    convolutions, backbone.feature_extractor = backbone.feature_extractor, nn.Identity()
    try:
        yield
    finally:
        backbone.feature_extractor = convolutions
