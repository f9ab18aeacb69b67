"""The systems by name: three that predict, and how they are fused (paper, table 5)."""

SYSTEMS = ("dynamic", "kelm", "audio")
"""Face-based end-to-end (system 1), functionals with KELM, audio."""

FUSIONS: dict[str, tuple[str, ...]] = {
    "dwf_dynamic_audio": ("dynamic", "audio"),
    "dwf_dynamic_audio_kelm": ("dynamic", "audio", "kelm"),
    "rf_dynamic_audio_kelm": ("dynamic", "audio", "kelm"),
}
"""Systems 2 and 3, Dirichlet-weighted; system 4, random forest."""

GROUPED = ".grouped"
"""Ending of the folder that holds a fusion's honest traces: every video fused by what other videos taught."""


def is_forest(fusion: str) -> bool:
    """Whether a fusion is a random forest; the others are weighted sums."""
    return fusion.startswith("rf_")
