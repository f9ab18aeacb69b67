"""Take the voice out of the sound: separation, then 16 kHz mono.

    python -m stages.voice          (dvc repro voice)

Reads   data/decode/<video>.wav     stereo
Writes  data/voice/<video>.wav      mono, PCM 16 bit, rate_hz; as long as the video
Params  voice

Paper, section 4.2.1: Spleeter, two stems. Backends: `spleeter_torch`: its published networks, here;
`spleeter`: the original program, in its own environment; `classical`: the centre, above the noise floor, no
weights; `none`: the mixture itself. The sound passes through in blocks, however long it is.
"""

from functools import cache
from pathlib import Path
from typing import Any

from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import VoiceParams, load_params
from stages.core.weights import PRETRAINED
from stages.engine.device import torch_device
from stages.engine.stage import Stage, Unit, main
from stages.media.sound import to_mono
from stages.separation.separation import BACKENDS, Separator
from stages.separation.streaming import rate_of, read_blocks, resample_blocks, write_blocks


@cache
def separator_of(
    backend: str, weights: str, python: str | None, device: str, options: tuple[tuple[str, Any], ...]
) -> Separator:
    """The separator of the parameters; one per process."""
    if backend == "spleeter_torch":
        from stages.separation.spleeter import SpleeterTorch
        from stages.separation.spleeter_weights import load_net

        return SpleeterTorch(load_net(Path(weights)), device, **dict(options))
    if backend == "spleeter":
        from stages.separation.spleeter_original import SpleeterOriginal

        return SpleeterOriginal(str(python), Path(weights).parent)
    return BACKENDS[backend]


def take_voice(unit: Unit, settings: VoiceParams) -> list[Note]:
    """Separate one recording."""
    weights = str(unit.reads.get("weights", ""))
    options = (
        ("mask_extension", settings.spleeter_mask_extension),
        ("precision", settings.spleeter_precision),
    )
    device = torch_device() if settings.backend == "spleeter_torch" else "cpu"
    separator = separator_of(settings.backend, weights, settings.spleeter_python, device, options)
    sound = unit.reads["sound"]
    rate_hz = rate_of(sound)
    voice = map(to_mono, separator.stream(read_blocks(sound), rate_hz))
    write_blocks(unit.writes["voice"], resample_blocks(voice, rate_hz, settings.rate_hz), settings.rate_hz)
    return []


def weights_of(settings: VoiceParams, pretrained: Path) -> dict[str, Path]:
    """What the backend needs beside the sound."""
    if settings.backend == "spleeter_torch":
        from stages.separation.spleeter_weights import converted_weights

        return {"weights": converted_weights(settings.spleeter_model, pretrained)}
    if settings.backend == "spleeter":
        from stages.separation.spleeter_original import original_checkpoint

        return {"weights": original_checkpoint(settings.spleeter_model, pretrained)}
    return {}


def units(
    workspace: Workspace, corpus: Corpus, settings: VoiceParams, pretrained: Path = PRETRAINED
) -> list[Unit]:
    """One unit per decoded video."""
    heard = [v for v in sorted(corpus.videos) if workspace.artefact("decode", v, ".wav").is_file()]
    weights = weights_of(settings, pretrained) if heard else {}
    return [
        Unit(
            video,
            {"sound": workspace.artefact("decode", video, ".wav")} | weights,
            {"voice": workspace.artefact("voice", video, ".wav")},
        )
        for video in heard
    ]


def voice() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    # The networks use all cores, or the one device, by themselves.
    jobs = 1 if params.voice.backend.startswith("spleeter") else None
    with Stage("voice", workspace.folder("voice")) as stage:
        work = units(workspace, workspace.corpus(), params.voice)
        stage.run(take_voice, work, params.voice, jobs=jobs, compute=params.compute)


if __name__ == "__main__":
    main("voice")
