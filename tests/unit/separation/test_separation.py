"""Separation: what it gains over doing nothing, and that nothing breaks it."""

import numpy as np
import pytest
import soundfile

from stages.core.errors import BadInput
from stages.media.limits import Limits
from stages.media.sound import resample
from stages.separation.separation import Classical, PassThrough, clean, sdr_db, si_sdr_db
from stages.separation.streaming import rate_of, read_blocks, resample_blocks, write_blocks

RATE_HZ = 22_050
BACKENDS = {"none": PassThrough(), "classical": Classical()}


def speech_like(rng: np.random.Generator, seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Syllables of a gliding harmonic tone with pauses, one channel."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = 140 + 30 * np.sin(2 * np.pi * 0.4 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    tone = sum(np.sin(h * phase) / h for h in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time_s), 0, 1) * (np.sin(2 * np.pi * 0.2 * time_s) > -0.5)
    return (0.2 * tone * syllables).astype(np.float32)


def wide_music(rng: np.random.Generator, count: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Chords of held notes, each on its own side."""
    time_s = np.arange(count)[:, None] / rate_hz
    music = np.zeros((count, 2))
    for note_hz, side in [(262, 0.1), (330, 0.9), (392, 0.2), (523, 1.0)]:
        swell = 1 + np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * time_s)
        music += swell * np.sin(2 * np.pi * note_hz * time_s) * [side, 1 - side]
    return music


def at_snr(voice: np.ndarray, background: np.ndarray, snr_db: float) -> np.ndarray:
    scale = np.sqrt((voice**2).sum() / (background**2).sum()) * 10 ** (-snr_db / 20)
    return (voice + scale * background).astype(np.float32)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return np.repeat(speech_like(np.random.default_rng(1), 15)[:, None], 2, axis=1)


@pytest.mark.parametrize("snr_db", [10, 20])
def test_classical_beats_none_on_a_centred_voice_over_wide_music_and_noise(voice, snr_db):
    rng = np.random.default_rng(2)
    background = wide_music(rng, len(voice)) + 0.3 * rng.standard_normal(voice.shape)
    mixture = at_snr(voice, background, snr_db)
    before = sdr_db(voice, BACKENDS["none"].separate(mixture, RATE_HZ))
    after = sdr_db(voice, BACKENDS["classical"].separate(mixture, RATE_HZ))
    assert before == pytest.approx(snr_db, abs=0.1)
    assert after > before + 3


def test_classical_beats_none_on_mono_noise(voice):
    rng = np.random.default_rng(3)
    mixture = at_snr(voice, np.repeat(rng.standard_normal((len(voice), 1)), 2, axis=1), 10)
    assert sdr_db(voice, Classical().separate(mixture, RATE_HZ)) > 13


def test_classical_beats_none_on_real_speech(shared):
    speech, rate_hz = soundfile.read(shared / "media/audio/jfk_44k1_stereo.flac", dtype="float32")
    rng = np.random.default_rng(4)
    background = wide_music(rng, len(speech), rate_hz) + 0.3 * rng.standard_normal(speech.shape)
    mixture = at_snr(speech, background, 12)
    assert sdr_db(speech, Classical().separate(mixture, rate_hz)) > sdr_db(speech, mixture) + 4
    assert sdr_db(speech, Classical().separate(speech, rate_hz)) > 20  # nothing to remove, little lost


def test_two_speakers_on_two_sides_both_stay(shared):
    speech, rate_hz = soundfile.read(shared / "media/audio/stereo_two_speakers_lr.wav", dtype="float32")
    kept = Classical().separate(speech, rate_hz)
    for side in (0, 1):
        assert sdr_db(speech[:, side], kept[:, side]) > 8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1, 3.7])
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 192_000])
def test_any_length_at_any_rate_comes_back_as_long_and_finite(backend, seconds, rate_hz):
    mixture = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate_hz), 2))
    voice = BACKENDS[backend].separate(mixture.astype(np.float32), rate_hz)
    assert voice.shape == mixture.shape
    assert voice.dtype == np.float32
    assert np.isfinite(voice).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_and_infinity_are_silence_and_spoil_nothing_else(backend, voice):
    broken = voice.copy()
    broken[1000:1100] = np.nan
    broken[2000, 1] = np.inf
    mended = np.where(np.isfinite(broken), broken, 0)
    separator = BACKENDS[backend]
    assert np.array_equal(separator.separate(broken, RATE_HZ), separator.separate(mended, RATE_HZ))


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_stays_silence_and_mono_becomes_two_equal_channels(backend, voice):
    assert not BACKENDS[backend].separate(np.zeros((5000, 2), np.float32), RATE_HZ).any()
    mono = BACKENDS[backend].separate(voice[:, 0], RATE_HZ)
    assert mono.shape == voice.shape
    assert np.array_equal(mono[:, 0], mono[:, 1])
    assert np.array_equal(mono, BACKENDS[backend].separate(voice[:, :1], RATE_HZ))


def test_blocks_sum_to_the_whole_without_clicks(voice):
    """With nothing taken away, cutting into blocks changes nothing."""
    keep_all = Classical(noise_factor=0, side_factor=0, band_hz=(0, 1e6))
    for options in ({}, {"block_s": 2.0, "overlap_s": 0.5}, {"block_s": 1.0, "overlap_s": 0.0}):
        kept = Classical(**{**vars(keep_all), **options}).separate(voice, RATE_HZ)
        np.testing.assert_allclose(kept, voice, atol=2e-5)


def test_same_input_same_bytes(voice):
    assert Classical().separate(voice, RATE_HZ).tobytes() == Classical().separate(voice, RATE_HZ).tobytes()


@pytest.mark.parametrize(("shape", "rate_hz"), [((10, 3), 16_000), ((2, 2, 2), 16_000), ((10, 2), 0)])
def test_misuse_is_refused(shape, rate_hz):
    with pytest.raises(ValueError, match="must be"):
        Classical().separate(np.zeros(shape, np.float32), rate_hz)


def test_clean_leaves_its_input_alone():
    broken = np.array([[np.nan, 1.0]], np.float32)
    assert clean(broken).tolist() == [[0.0, 1.0]]
    assert np.isnan(broken[0, 0])


def test_sdr_by_hand():
    reference = np.array([3.0, 4.0])
    assert sdr_db(reference, reference + np.array([0.5, 0.0])) == pytest.approx(20)  # 25 / 0.25
    assert sdr_db(reference, 0.5 * reference) == pytest.approx(10 * np.log10(4))
    assert sdr_db(reference, reference) == np.inf
    assert sdr_db([0.0], [1.0]) == -np.inf
    with pytest.raises(ValueError, match="differ"):
        sdr_db([1.0], [1.0, 2.0])


@pytest.mark.parametrize("gain", [1e-3, 0.5, 1.0, 40.0])
def test_scale_invariant_sdr_ignores_the_gain(gain):
    rng = np.random.default_rng(6)
    reference = rng.standard_normal(1000)
    error = rng.standard_normal(1000)
    error -= (
        reference * (error @ reference) / (reference @ reference)
    )  # orthogonal: ratio known in closed form
    expected = 10 * np.log10((reference @ reference) / (0.01 * error @ error))
    assert si_sdr_db(reference, gain * (reference + 0.1 * error)) == pytest.approx(expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [997, 22_050, 10**6])
def test_a_stream_is_the_whole_wherever_it_is_cut(backend, voice, size):
    separator = BACKENDS[backend]
    blocks = (voice[start : start + size] for start in range(0, len(voice), size))
    parts = np.concatenate(list(separator.stream(blocks, RATE_HZ)))
    assert np.array_equal(parts, separator.separate(voice, RATE_HZ))


@pytest.mark.parametrize("size", [1, 10_000, 44_100])
@pytest.mark.parametrize(("from_hz", "to_hz"), [(44_100, 16_000), (8000, 44_100), (48_000, 48_000)])
def test_resampling_in_blocks_is_resampling_the_whole(size, from_hz, to_hz):
    for length in (1, 5000, 70_001) if size > 1 else (1, 2000):
        sound = np.random.default_rng(length).standard_normal((length, 2)).astype(np.float32)
        blocks = (sound[start : start + size] for start in range(0, length, size))
        parts = np.concatenate(list(resample_blocks(blocks, from_hz, to_hz)))
        whole = resample(sound, from_hz, to_hz)
        assert parts.shape == whole.shape
        np.testing.assert_allclose(parts, whole, atol=2e-6)


def test_blocks_of_a_file_and_back(tmp_path):
    sound = np.linspace(-1.2, 1.2, 10_000, dtype=np.float32)
    write_blocks(tmp_path / "a.wav", np.array_split(sound, 7), 16_000)
    assert rate_of(tmp_path / "a.wav") == 16_000
    blocks = list(read_blocks(tmp_path / "a.wav", size=999))
    assert max(map(len, blocks)) == 999
    np.testing.assert_allclose(np.concatenate(blocks)[:, 0], sound.clip(-1, 1), atol=1 / 32_768)
    with pytest.raises(ValueError, match="NaN"):
        write_blocks(tmp_path / "b.wav", [np.array([np.nan])], 16_000)
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    for read in (rate_of, lambda path: list(read_blocks(path))):
        with pytest.raises(BadInput, match="not a readable WAV or FLAC"):
            read(tmp_path / "c.wav")


def test_sound_of_other_formats_or_without_an_end_is_not_read(tmp_path):
    file = tmp_path / "a.flac"
    for form in ("WAV", "WAVEX", "FLAC"):
        soundfile.write(file, np.zeros((20_000, 2)), 16_000, "PCM_16", format=form)
        assert sum(map(len, read_blocks(file, Limits(max_audio_samples=20_000)))) == 20_000
    for read in (rate_of, lambda path, limits: list(read_blocks(path, limits))):
        with pytest.raises(BadInput, match="20000 samples of sound, more than the 19999 allowed"):
            read(file, Limits(max_audio_samples=19_999))
    for form in ("AIFF", "OGG", "CAF"):
        soundfile.write(file, np.zeros((20_000, 2)), 16_000, format=form)
        with pytest.raises(BadInput, match="not a readable WAV or FLAC"):
            rate_of(file)


def test_a_flac_file_that_was_cut_is_not_read(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (50_000, 2))
    soundfile.write(tmp_path / "a.flac", noise, 16_000, "PCM_16")
    whole = (tmp_path / "a.flac").read_bytes()
    for size in (40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.flac").write_bytes(whole[:size])
        with pytest.raises(BadInput, match="not a readable WAV or FLAC"):
            list(read_blocks(tmp_path / "a.flac"))
