"""The systems by name: those that predict by themselves, and how they are fused (paper, table 5)."""

SYSTEMS = ("dynamic", "kelm", "audio", "cross_attention")
"""Face-based end-to-end (system 1), functionals with KELM, audio, and the model-based fusion of face and
audio."""

FUSIONS: dict[str, tuple[str, ...]] = {
    "dwf_dynamic_audio": ("dynamic", "audio"),
    "dwf_speaking_dynamic_audio": ("dynamic", "audio"),
    "dwf_dynamic_audio_kelm": ("dynamic", "audio", "kelm"),
    "rf_dynamic_audio_kelm": ("dynamic", "audio", "kelm"),
    "rf_grouped_dynamic_audio_kelm": ("dynamic", "audio", "kelm"),
}
"""Systems 2 and 3, Dirichlet-weighted, and 2 with weights that follow the share of speaking time; system 4, a
random forest chosen out of bag as published, and one chosen by video-grouped folds."""

GROUPED = ".grouped"
"""Ending of the folder that holds a fusion's honest traces: every video fused by what other videos taught."""


def is_forest(fusion: str) -> bool:
    """Whether a fusion is a random forest; the others are weighted sums."""
    return fusion.startswith("rf_")


def chosen_by_groups(forest: str) -> bool:
    """Whether a forest's size and growth are chosen by video-grouped folds; the others' out of bag."""
    return forest.startswith("rf_grouped_")


def weighs_by_voice(fusion: str) -> bool:
    """Whether a weighted sum has weights of its own for silence and for speech."""
    return fusion.startswith("dwf_speaking_")
