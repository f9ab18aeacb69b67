"""The voice separators: one record each. `stages.separation.separators` holds what builds each of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class VoiceBackend:
    """A way to take the voice out of a mixture that `voice.backend` may name.

    Args:
        method: what it is, for people.
        published: whether it runs Spleeter's published networks, of `voice.spleeter_model`.
        on_gpu: whether it runs on a GPU where there is one; the others always run on the processor.
        all_cores: whether one recording keeps all cores busy, so that several at a time gain nothing.
        core_s: seconds of one core of an AMD EPYC for a second of sound (`benchmarks/results/separation-*`,
            `throughput-*`).
    """

    method: str
    published: bool = False
    on_gpu: bool = False
    all_cores: bool = False
    core_s: float = 0.0

    def weights(self, spleeter_model: str) -> str | None:
        """The name of its weights in `stages.core.weights.WEIGHTS`; None where it needs none."""
        return f"spleeter_{spleeter_model}" if self.published else None


VOICES: Mapping[str, VoiceBackend] = {
    "none": VoiceBackend("the mixture itself"),
    "classical": VoiceBackend(
        "the middle of the stereo picture, above the noise floor; no weights", core_s=0.0144
    ),
    "spleeter_torch": VoiceBackend(
        "Spleeter's published networks, in PyTorch (paper, section 4.2.1)",
        published=True,
        on_gpu=True,
        all_cores=True,
        core_s=0.048,
    ),
    "spleeter": VoiceBackend(
        "the original program, in an environment of its own", published=True, all_cores=True, core_s=0.218
    ),
}
"""Every backend by its name in params.yaml."""


def known_voice(name: str) -> str:
    """The name itself, if it is a backend's.

    Raises:
        ValueError: it isn't; the message lists those that are.
    """
    if name not in VOICES:
        raise ValueError(f"{name!r} is none of {', '.join(VOICES)}")
    return name
