"""The voice against what was asked of it: silence, pitch, level, spectrum."""

import numpy as np
import pytest

VOICE_RATE_HZ = 16_000


def utter(arousal, valence=0.0, seconds=4.0, talking=None, seed=0):
    """Speech at constant valence and arousal."""
    from data.sample.looks import draw_looks
    from data.sample.trajectories import perform
    from data.sample.voice import speak

    rng = np.random.default_rng(seed)
    looks = draw_looks(rng, (120, 150))
    affect = np.tile([valence, arousal], (round(seconds * 100), 1))
    talking = np.ones(len(affect), dtype=bool) if talking is None else talking
    return speak(rng, perform(rng, affect, talking), looks), looks


def pitch_hz(sound):
    """Median over frames of the strongest lag of the autocorrelation, 70 to 400 Hz."""
    found = []
    for start in range(0, len(sound) - 1024, 512):
        spectrum = np.abs(np.fft.rfft(sound[start : start + 1024] * np.hanning(1024), 2048)) ** 2
        likeness = np.fft.irfft(spectrum)[40:230]
        found.append(VOICE_RATE_HZ / (40 + np.argmax(likeness)))
    return float(np.median(found))


def test_the_voice_is_loud_where_somebody_talks_and_gone_where_not():
    talking = np.arange(400) % 200 < 120
    sound, _ = utter(0.0, talking=talking)
    level = np.sqrt((sound.reshape(400, 160) ** 2).mean(axis=1))
    inner = np.convolve(talking, np.ones(21), mode="same")
    assert level[inner == 0].max() < 1e-6
    assert 0.05 < level[inner == 21].mean() < 0.2


@pytest.mark.parametrize("arousal", [-0.8, 0.0, 0.8])
def test_pitch_follows_arousal_around_the_person_s_own(arousal):
    from data.sample.voice import AROUSAL_OCTAVES

    sound, looks = utter(arousal)
    octaves = np.log2(pitch_hz(sound) / looks.pitch_hz)
    assert octaves == pytest.approx(AROUSAL_OCTAVES * arousal, abs=0.2)  # accents and phrase slope on top


@pytest.mark.parametrize("seed", range(3))
def test_arousal_and_valence_survive_scaling_to_unit_variance(seed):
    def share_above(sound, hz):
        power = np.abs(np.fft.rfft(sound)) ** 2
        return power[np.fft.rfftfreq(len(sound), 1 / VOICE_RATE_HZ) > hz].sum() / power.sum()

    def depth(sound):
        level = np.sqrt((sound.reshape(-1, 320) ** 2).mean(axis=1))
        return level.std() / level.mean()

    calm, excited = utter(-0.8, seed=seed)[0], utter(0.8, seed=seed)[0]
    assert depth(excited) > 1.2 * depth(calm)
    sad, glad = utter(0.0, -0.8, seed=seed)[0], utter(0.0, 0.8, seed=seed)[0]
    assert share_above(sad, 4500) > 2 * share_above(glad, 4500)  # breath


def test_syllables_beat_with_the_jaw(sample):
    import soundfile

    stems = sorted((sample / "truth" / "stems").iterdir())
    single = [folder for folder in stems if (sample / "truth/trajectories" / f"{folder.name}.csv").exists()]
    assert len(single) >= 4
    for folder in single:
        truth = np.genfromtxt(sample / "truth/trajectories" / f"{folder.name}.csv", delimiter=",", names=True)
        voice, rate = soundfile.read(folder / "voice.wav")
        level = np.convolve(voice**2, np.ones(800) / 800, mode="same")
        at_frames = np.interp(truth["time_s"], np.arange(len(voice)) / rate, np.sqrt(level))
        assert np.corrcoef(at_frames, truth["jaw"])[0, 1] > 0.5, folder.name
        talking = truth["talking"] > 0.5
        if not talking.all():
            assert at_frames[talking].mean() > 5 * at_frames[~talking].mean(), folder.name


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
def test_the_background_lies_as_far_below_the_voice_as_asked(snr_db):
    from data.sample.soundtrack import mix

    voice, _ = utter(0.2, seconds=3.0)
    stereo, clean, _ = mix(np.random.default_rng(0), voice, np.ones(len(voice), dtype=bool), snr_db)
    sides = stereo[0] - stereo[1]
    assert np.abs(stereo).max() <= 0.8501
    scale = np.sqrt(np.mean(clean**2)) * 10 ** (-snr_db / 20)
    # the voice is equal on both sides, so their difference is background alone; wide music makes
    # it larger than one side's background, never more than twice as large
    assert scale < np.sqrt(np.mean(sides**2)) < 2 * scale


def test_separation_brings_clips_nearer_to_their_own_voice(sample):
    """The classical separator against doing nothing, on the stems the clips were mixed from."""
    from stages.media.sound import read_wav, to_mono
    from stages.separation.separation import Classical, PassThrough, sdr_db

    folders = sorted((sample / "truth" / "stems").iterdir())
    gains_db = []
    for folder in folders:
        stem, rate_hz = read_wav(folder / "voice.wav")
        mixture, voice = stem + read_wav(folder / "background.wav")[0], to_mono(stem)
        kept, untouched = (to_mono(each.separate(mixture, rate_hz)) for each in (Classical(), PassThrough()))
        gains_db.append(sdr_db(voice, kept) - sdr_db(voice, untouched))
    assert len(gains_db) >= 4
    assert sum(gain > 0 for gain in gains_db) >= len(gains_db) - 1  # 4 s are little to learn a noise from
    assert sum(gains_db) / len(gains_db) > 1
