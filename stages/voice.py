"""Take the voice out of the sound: separation, then 16 kHz mono.

    python -m stages.voice          (dvc repro voice)

Reads   data/decode/<video>.wav     stereo
Writes  data/voice/<video>.wav      mono, PCM 16 bit, rate_hz; as long as the video
Params  voice

Paper, section 4.2.1. Backends: `none`: the mixture itself; `classical`: the centre, above the noise floor.
"""

from stages.audio.separation import BACKENDS
from stages.core.corpus import Corpus, Workspace
from stages.core.memo import Note
from stages.core.params import VoiceParams, load_params
from stages.core.stage import Stage, Unit, main
from stages.media.sound import read_wav, resample, to_mono, write_wav


def take_voice(unit: Unit, settings: VoiceParams) -> list[Note]:
    """Separate one recording."""
    mixture, rate_hz = read_wav(unit.reads["sound"])
    voice = BACKENDS[settings.backend].separate(mixture, rate_hz)
    write_wav(unit.writes["voice"], resample(to_mono(voice), rate_hz, settings.rate_hz), settings.rate_hz)
    return []


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per decoded video."""
    return [
        Unit(
            video,
            {"sound": workspace.artefact("decode", video, ".wav")},
            {"voice": workspace.artefact("voice", video, ".wav")},
        )
        for video in sorted(corpus.videos)
        if workspace.artefact("decode", video, ".wav").is_file()
    ]


def voice() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("voice", workspace.folder("voice")) as stage:
        stage.run(take_voice, units(workspace, workspace.corpus()), params.voice, jobs=params.compute.jobs)


if __name__ == "__main__":
    main("voice")
