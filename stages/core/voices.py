"""The backends of voice separation, one record each; `stages.separation.separators` builds them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class VoiceBackend:
    """A method to separate the voice from a mixture, for `voice.backend`.

    Args:
        method: description.
        published: whether it runs Spleeter's published networks, chosen by `voice.spleeter_model`.
        on_gpu: whether it uses a GPU if there is one; the others run on the CPU.
        all_cores: whether one recording uses all cores, so that parallel recordings aren't faster.
        core_s: CPU seconds per second of sound, on one core of an AMD EPYC
            (`benchmarks/results/separation-*`, `throughput-*`).
    """

    method: str
    published: bool = False
    on_gpu: bool = False
    all_cores: bool = False
    core_s: float = 0.0

    def weights(self, spleeter_model: str) -> str | None:
        """Name of its weights in `stages.core.weights.WEIGHTS`; None if it needs none."""
        return f"spleeter_{spleeter_model}" if self.published else None


VOICES: Mapping[str, VoiceBackend] = {
    "none": VoiceBackend("no separation: the mixture itself"),
    "classical": VoiceBackend(
        "the centre of the stereo image, above the noise floor; without weights", core_s=0.0144
    ),
    "spleeter_torch": VoiceBackend(
        "Spleeter's published networks, in PyTorch (paper, section 4.2.1)",
        published=True,
        on_gpu=True,
        all_cores=True,
        core_s=0.048,
    ),
    "spleeter": VoiceBackend(
        "the original Spleeter program, in a separate environment",
        published=True,
        all_cores=True,
        core_s=0.218,
    ),
}
"""Name in params.yaml -> backend."""


def known_voice(name: str) -> str:
    """Check the name of a backend, and return it.

    Raises:
        ValueError: there is no such backend; the message lists the valid names.
    """
    if name not in VOICES:
        raise ValueError(f"{name!r} is none of {', '.join(VOICES)}")
    return name
