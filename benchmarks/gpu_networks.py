"""The networks of the GPU check: each with seeded weights and inputs, and its answers on a processor.

Weights are too large to travel, so both sides draw them from the same seed; a fingerprint tells whether they
came out equal. `data/gpu_answers.npz` holds fingerprints and answers made elsewhere; where a fingerprint
differs (another version of a library draws otherwise), the processor beside the GPU answers instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ANSWERS = Path(__file__).resolve().parent / "data" / "gpu_answers.npz"
KEPT = 4000
"""Most values of an answer that are kept, evenly spread over it."""

PAPER_WAV2VEC = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "num_hidden_layers": 12,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
TINY_WAV2VEC = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8, 8],
    "conv_kernel": [400, 3],
    "conv_stride": [160, 2],
    "num_feat_extract_layers": 2,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Args:
        tiny: the smallest sizes that reach every line; no target is judged.
        architectures: timm's names and their input sizes.
        pose: options of the pose network.
        wav2vec: the audio backbone's configuration.
        filters: of Spleeter's U-Nets.
    """

    tiny: bool = False
    architectures: Mapping[str, int] = field(
        default_factory=lambda: {"efficientnet_b1": 240, "efficientnet_b4": 380, "vit_base_patch16_224": 224}
    )
    pose: Mapping[str, Any] = field(default_factory=dict)
    pose_px: int = 256
    wav2vec: Mapping[str, Any] = field(default_factory=lambda: PAPER_WAV2VEC)
    audio_heads: tuple[int, int] = (32, 16)
    audio_features: int = 1024
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    segment_frames: int = 512
    frame_px: tuple[int, int] = (480, 640)


FULL = Sizes()
TINY = Sizes(
    tiny=True,
    architectures={"test_efficientnet": 64, "test_vit": 160},
    pose={"width": 4, "modules": [1, 1, 1], "blocks": 1},
    pose_px=64,
    wav2vec=TINY_WAV2VEC,
    audio_heads=(2, 2),
    audio_features=16,
    filters=(2, 2, 2, 2, 2, 2),
    segment_frames=64,
    frame_px=(96, 128),
)


@dataclass(frozen=True)
class Case:
    """One network and what it is asked.

    Args:
        name: unique.
        model: in eval mode, on the processor.
        inputs: its arguments.
        half: greatest difference allowed in float16, as a share of the answer's largest value.
    """

    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]
    half: float


def cases(sizes: Sizes) -> Iterator[Case]:
    """Every network of the pipeline, one after the other."""
    yield _retinaface(sizes)
    for number, (architecture, size_px) in enumerate(sizes.architectures.items()):
        yield _case(
            architecture,
            lambda a=architecture, s=size_px: static_model(a, s),
            images(number, 2, size_px),
            0.05,
        )
    yield _case("pose_hrnet", lambda: _pose(sizes), images(9, 2, sizes.pose_px), 0.05)
    sound = _normal(10, 2, 64_000)
    for version in ("v1", "v2", "v3"):
        yield _case(f"wav2vec 2.0, audio {version}", lambda v=version: audio_model(sizes, v), (sound,), 0.05)
    magnitude = (_normal(11, 1, 2, sizes.segment_frames, 1024).abs(),)
    yield _case("Spleeter 2stems", lambda: spleeter_net(sizes), magnitude, 0.05)
    embedding = (_normal(12, 4, 30, 256),)
    for kind in ("transformer", "gru"):
        yield _case(f"dynamic, {kind}", lambda k=kind: _dynamic(k), embedding, 0.02)
    streams = torch.cat([_normal(13, 4, 20, 512 + sizes.audio_features), torch.ones(4, 20, 1)], dim=-1)
    yield _case("cross-attention", lambda: cross_attention(sizes), (streams,), 0.02)


def _case(name: str, build: Callable[[], nn.Module], inputs: tuple[Tensor, ...], half: float) -> Case:
    torch.manual_seed(0)
    return Case(name, build().eval(), inputs, half)


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(seed: int, count: int, size_px: int) -> tuple[Tensor]:
    """Noise as pictures, (count, 3, S, S) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 256, (count, 3, size_px, size_px), dtype=torch.uint8, generator=generator),)


def retinaface_state() -> dict[str, Tensor]:
    """A state dict of RetinaFace with weights drawn at random."""
    from stages.vision.retinaface_net import RetinaFaceNet

    torch.manual_seed(0)
    return RetinaFaceNet().state_dict()


def _retinaface(sizes: Sizes) -> Case:
    from stages.vision.retinaface_net import load_retinaface

    frames = 20 * _normal(8, 2, 3, *sizes.frame_px)
    return Case("RetinaFace", load_retinaface(retinaface_state()), (frames,), 0.05)


def static_model(architecture: str, size_px: int) -> nn.Module:
    """A static model at random."""
    from stages.vision.static_model import StaticModel

    return StaticModel(architecture, image_size=size_px)


def _pose(sizes: Sizes) -> nn.Module:
    from stages.vision.pose_model import PoseModel

    return PoseModel(image_size=sizes.pose_px, options=sizes.pose)


@lru_cache(maxsize=1)
def _backbone(tiny: bool) -> nn.Module:
    from stages.audio.backbone import build_backbone

    return build_backbone(TINY_WAV2VEC if tiny else PAPER_WAV2VEC)


def audio_model(sizes: Sizes, version: str, trainable_layers: int | None = None) -> nn.Module:
    """An audio model at random: the paper's backbone, the heads of one version."""
    from stages.audio.model import AudioModel

    torch.manual_seed(0)
    layers = trainable_layers if trainable_layers is not None else (1 if sizes.tiny else None)
    backbone = deepcopy(_backbone(sizes.tiny))
    return AudioModel(backbone, version, heads=sizes.audio_heads, trainable_layers=layers)  # type: ignore[arg-type]


def spleeter_net(sizes: Sizes) -> nn.Module:
    """Spleeter's 2stems networks at random."""
    from stages.separation.spleeter_net import MODELS, SpleeterNet

    torch.manual_seed(0)
    return SpleeterNet(sizes.filters, MODELS["2stems"])


def _dynamic(kind: str) -> nn.Module:
    from stages.temporal.dynamic import DynamicModel

    return DynamicModel(kind=kind, layers=3 if kind == "transformer" else 2)  # type: ignore[arg-type]


def cross_attention(sizes: Sizes) -> nn.Module:
    """The cross-attention model at random."""
    from stages.fusion.cross_attention import CrossAttentionModel

    torch.manual_seed(0)
    return CrossAttentionModel(audio_features=sizes.audio_features)


@torch.no_grad()
def answer(case: Case, device: str, half: torch.dtype | None = None) -> np.ndarray:
    """All outputs of a network in a row, float64."""
    model = deepcopy(case.model).to(device)
    inputs = [value.to(device) for value in case.inputs]
    with torch.autocast(torch.device(device).type, half, enabled=half is not None):
        given = model(*inputs)
    outputs = given if isinstance(given, tuple) else (given,)
    flat = [output.float().cpu().numpy().ravel() for output in outputs if isinstance(output, Tensor)]
    return np.concatenate(flat).astype(np.float64)


def sampled(values: np.ndarray) -> np.ndarray:
    """At most KEPT values, evenly spread, float32."""
    rows = np.unique(np.linspace(0, len(values) - 1, KEPT).round().astype(int))
    return values[rows].astype(np.float32)


def fingerprint(case: Case) -> float:
    """A number that equal weights and inputs share."""
    tensors = [*case.model.state_dict().values(), *case.inputs]
    return float(sum(tensor.double().abs().sum() for tensor in tensors if tensor.numel()))


def make_answers(sizes: Sizes, path: Path) -> None:
    """Write fingerprints and the processor's answers of every network."""
    content: dict[str, Any] = {"torch": torch.__version__}
    for case in cases(sizes):
        content[f"{case.name}/fingerprint"] = fingerprint(case)
        content[f"{case.name}/answer"] = sampled(answer(case, "cpu"))
        print(f"answered: {case.name}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **content)


def expected(case: Case, stored: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """The processor's answer, and where it was computed."""
    known = stored.get(f"{case.name}/fingerprint")
    if known is not None and np.isclose(float(known), fingerprint(case), rtol=1e-6):
        return np.asarray(stored[f"{case.name}/answer"], dtype=np.float64), "file"
    return sampled(answer(case, "cpu")).astype(np.float64), "here"
