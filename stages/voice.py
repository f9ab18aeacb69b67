"""Separate the voice from the sound, as 16 kHz mono.

    python -m stages.voice          (dvc repro voice)

Reads   data/decode/<video>.flac    stereo
Writes  data/voice/<video>.wav      mono, PCM 16 bit, rate_hz; as long as the video
Params  voice, decode.max_audio_samples, compute.engine

Paper, section 4.2.1: Spleeter, two stems. `stages.core.voices` describes the backends that may be chosen. The
sound passes through in blocks, however long it is.
"""

from pathlib import Path

from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import ComputeParams, VoiceParams, load_params
from stages.core.voices import VOICES
from stages.core.weights import PRETRAINED
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.inference.engines import engine_of
from stages.media.limits import Limits
from stages.media.sound import to_mono
from stages.separation.separators import separator_of, weights_of
from stages.separation.streaming import rate_of, read_blocks, resample_blocks, write_blocks


def take_voice(unit: Unit, settings: VoiceParams) -> list[Note]:
    """Separate one recording."""
    separator = separator_of(settings, unit.reads.get("weights"), unit.facts.get("engine", "torch"))
    sound = unit.reads["sound"]
    limits = Limits(**unit.unkeyed)
    rate_hz = rate_of(sound, limits)
    voice = map(to_mono, separator.stream(read_blocks(sound, limits), rate_hz))
    write_blocks(unit.writes["voice"], resample_blocks(voice, rate_hz, settings.rate_hz), settings.rate_hz)
    return []


def units(
    workspace: Workspace,
    corpus: Corpus,
    settings: VoiceParams,
    compute: ComputeParams,
    pretrained: Path = PRETRAINED,
    max_samples: int | None = None,
) -> list[Unit]:
    """One unit per decoded video; `max_samples` of sound are allowed, None for the default of `Limits`."""
    heard = [v for v in sorted(corpus.videos) if workspace.artefact("decode", v, ".flac").is_file()]
    weights = weights_of(settings, pretrained) if heard else None
    needed = {"weights": weights} if weights else {}
    facts = {"engine": engine_of(compute).library} if VOICES[settings.backend].on_gpu else {}
    unkeyed = {} if max_samples is None else {"max_audio_samples": max_samples}
    return [
        Unit(
            video,
            {"sound": workspace.artefact("decode", video, ".flac")} | needed,
            {"voice": workspace.artefact("voice", video, ".wav")},
            facts,
            unkeyed=unkeyed,
        )
        for video in heard
    ]


def voice() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    jobs = 1 if VOICES[params.voice.backend].all_cores else None
    with Stage("voice", workspace.folder("voice")) as stage:
        allowed = params.decode.max_audio_samples
        work = units(workspace, workspace.corpus(), params.voice, params.compute, max_samples=allowed)
        stage.run(take_voice, work, params.voice, jobs=jobs, compute=params.compute)


if __name__ == "__main__":
    main("voice")
