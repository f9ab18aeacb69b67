"""The systems and fusions, one record each with all its properties (paper, table 5).

A single system predicts from the video; a fusion combines the traces of single systems. Properties are looked
up here; none is parsed from a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class System:
    """A single system, which predicts valence and arousal from the video.

    Args:
        title: its row in table 5, if the paper has no title for it.
        weights: its files in `models/`, without `.safetensors`; `{section.key}` stands for the value of a
            parameter.
        sections: the sections of parameters that it was made with, besides preparation and smoothing.
        sees: whether it uses face embeddings.
        hears: whether it uses sound.
        leans_on: systems whose features it needs; they run first.
    """

    title: str
    weights: tuple[str, ...]
    sections: tuple[str, ...]
    sees: bool = False
    hears: bool = False
    leans_on: tuple[str, ...] = ()

    def files(self, params: Any) -> list[str]:
        """Its files in `models/`.

        Args:
            params: the `Params` that it was trained with.
        """
        sections = {name: getattr(params, name) for name in type(params).model_fields}
        return [f"{pattern.format_map(sections)}.safetensors" for pattern in self.weights]


@dataclass(frozen=True)
class Fusion:
    """A combination of the traces of single systems.

    Args:
        title: its row in table 5, if the paper has no title for it.
        systems: the systems whose traces it combines, in the order of the stack.
        method: a name in `stages.fusion.methods.METHODS`.
        holds: content of its file, for its model card.
        by_speech: whether the stack is split by the share of speaking time around a frame.
        by_width: whether the widths of the systems' intervals are added to the stack.
    """

    title: str
    systems: tuple[str, ...]
    method: str
    holds: str
    by_speech: bool = False
    by_width: bool = False


_STATIC = "static/{embed.backbone}"

SYSTEMS: Mapping[str, System] = {
    "static": System(  # ours: shows what the temporal model adds
        title="static model, frame by frame",
        weights=(_STATIC,),
        sections=("finetune", "embed"),
        sees=True,
    ),
    "dynamic": System(  # the paper's system 1
        title="face-based E2E",
        weights=(_STATIC, "dynamic/valence", "dynamic/arousal", "dynamic/normalisation"),
        sections=("finetune", "embed", "dynamic"),
        sees=True,
    ),
    "kelm": System(
        title="functionals, KELM",
        weights=(_STATIC, "kelm/{kelm.functionals}"),
        sections=("finetune", "embed", "kelm"),
        sees=True,
    ),
    "audio": System(
        title="audio, whole videos",
        weights=("audio/{audio.version}",),
        sections=("voice", "speech", "audio"),
        hears=True,
    ),
    "cross_attention": System(
        title="cross-attention (model-based)",
        weights=("cross_attention/valence", "cross_attention/arousal", "cross_attention/normalisation"),
        sections=("cross_attention",),
        leans_on=("dynamic", "audio"),
    ),
}
"""Name -> single system."""

FUSIONS: Mapping[str, Fusion] = {
    "dwf_dynamic_audio": Fusion(  # the paper's system 2
        title="DWF (1, audio)", systems=("dynamic", "audio"), method="dirichlet", holds="Weights for"
    ),
    "dwf_speaking_dynamic_audio": Fusion(  # ours: weights depend on the share of speaking time
        title="DWF (1, audio), weights by voice",
        systems=("dynamic", "audio"),
        method="dirichlet",
        holds="Weights for",
        by_speech=True,
    ),
    "dwf_dynamic_audio_kelm": Fusion(  # the paper's system 3
        title="DWF (1, audio, functionals)",
        systems=("dynamic", "audio", "kelm"),
        method="dirichlet",
        holds="Weights for",
    ),
    "rf_dynamic_audio_kelm": Fusion(  # the paper's system 4
        title="RF (1, audio, functionals)",
        systems=("dynamic", "audio", "kelm"),
        method="forest",
        holds="A forest over",
    ),
    "rf_grouped_dynamic_audio_kelm": Fusion(  # ours: chosen on folds of whole videos
        title="RF (1, audio, functionals), grouped choice",
        systems=("dynamic", "audio", "kelm"),
        method="grouped_forest",
        holds="A forest over",
    ),
    "dwf_width_dynamic_audio_kelm": Fusion(  # ours: may prefer the most confident system
        title="DWF (1, audio, functionals), by interval",
        systems=("dynamic", "audio", "kelm"),
        method="dirichlet",
        holds="Intervals of the systems, and weights for them and their mean by inverse squared width, over",
        by_width=True,
    ),
    "rf_width_dynamic_audio_kelm": Fusion(
        title="RF (1, audio, functionals), grouped choice, by interval",
        systems=("dynamic", "audio", "kelm"),
        method="grouped_forest",
        holds="Intervals of the systems, and a forest over their widths and",
        by_width=True,
    ),
}
"""Name -> fusion."""

OUT_OF_FOLD = ".out_of_fold"
"""Suffix of a folder of out-of-fold traces: everything selected or fitted on validation (epoch, C, gamma,
weights, trees) was selected or fitted on other recordings than that of the trace."""


def complexity(system: str) -> tuple[int, int, int, str]:
    """Sort key that puts simpler systems first.

    Sorted by the number of single systems that run; then single systems, weighted sums, sums by speech or
    width, forests; then by the number of weights files.
    """
    if system in SYSTEMS:
        kind = 0
    else:
        fusion = FUSIONS[system]
        kind = 1 + (fusion.by_speech or fusion.by_width) + 2 * (fusion.method != "dirichlet")
    parts = parts_of(system)
    return len(parts), kind, sum(len(SYSTEMS[part].weights) for part in parts), system


def out_of_fold_folder(system: str) -> str:
    """Folder in data/ of the out-of-fold traces of a system or a fusion."""
    return f"{traces_folder(system)}{OUT_OF_FOLD}"


def traces_folder(system: str) -> str:
    """Folder in data/ of the traces of a system or a fusion."""
    return f"fused/{system}" if system in FUSIONS else f"traces/{system}"


def parts_of(system: str) -> tuple[str, ...]:
    """The single systems that a system or a fusion needs, in order of execution.

    >>> parts_of("cross_attention")
    ('dynamic', 'audio', 'cross_attention')
    """
    singles = FUSIONS[system].systems if system in FUSIONS else (system,)
    return tuple(dict.fromkeys(name for one in singles for name in (*SYSTEMS[one].leans_on, one)))
