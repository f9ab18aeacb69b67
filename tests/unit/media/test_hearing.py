"""Which sound is taken: tracks with and without sound, channels that cancel, what counts as sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stages.core.errors import BadInput
from stages.media.audio_only import probe_sound
from stages.media.container import probe
from stages.media.level import SoundLevel
from stages.media.polarity import mend
from stages.media.scan import Hearing
from stages.media.sound import decode_sound, to_mono

RATE_HZ = 16_000
RNG = np.random.default_rng(0)


def tone(hz: float, seconds: float = 2.0, *, gain: float = 0.3, start_s: float = 0.0) -> np.ndarray:
    """(n,) samples at RATE_HZ, silent before start_s."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return gain * np.sin(2 * np.pi * hz * time_s) * (time_s >= start_s)


def voice(seconds: float = 4.0) -> np.ndarray:
    """Noise in all bands with speech's slope and syllables."""
    spectrum = np.fft.rfft(RNG.standard_normal(round(seconds * RATE_HZ)))
    hz = np.fft.rfftfreq(round(seconds * RATE_HZ), 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / np.maximum(hz, 100) * (hz < 7000))
    syllables = 1 + np.sin(2 * np.pi * 4 * np.arange(len(noise)) / RATE_HZ)
    return 0.1 * noise / noise.std() * syllables


SILENCE = np.zeros(2 * RATE_HZ)


@pytest.fixture
def with_tracks(tmp_path: Path):
    """A film of 2 s with several audio tracks, (n,) or (n, channels) each."""

    def make(*tracks: np.ndarray, name: str = "tracks.mkv", default: int | None = None) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            picture = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            layouts = [{1: "mono", 2: "stereo", 6: "5.1"}[1 if t.ndim == 1 else t.shape[1]] for t in tracks]
            streams = [out.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout) for layout in layouts]
            for number, stream in enumerate(streams):
                is_default = number == default
                stream.disposition = av.stream.Disposition.default if is_default else av.stream.Disposition(0)
            for k in range(50):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
            for stream, samples, layout in zip(streams, tracks, layouts, strict=True):
                packed = np.rint(samples.reshape(1, -1) * 32_767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
                out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
        return path

    return make


def pitch_hz(path: Path, hearing: Hearing | None = None) -> float | None:
    """The loudest frequency of what is heard."""
    facts = probe(path, hearing=hearing)
    sound = decode_sound(path, RATE_HZ, facts)
    if sound is None:
        return None
    spectrum = np.abs(np.fft.rfft(to_mono(sound.samples)))
    return float(np.fft.rfftfreq(len(sound.samples), 1 / RATE_HZ)[spectrum.argmax()])


SURROUND = np.column_stack([np.zeros(2 * RATE_HZ)] * 2 + [tone(700), *[np.zeros(2 * RATE_HZ)] * 3])


@pytest.mark.parametrize(
    ("tracks", "default", "taken", "hz"),
    [
        ([tone(400), tone(900)], None, 1, 400),
        ([tone(400), tone(900)], 1, 2, 900),
        ([SILENCE, tone(900)], 0, 2, 900),  # a silent track isn't taken, whatever its header says
        ([SILENCE, SILENCE, tone(900)], None, 3, 900),
        ([tone(400, start_s=1.4), tone(900)], 0, 1, 400),  # silent at first
        ([tone(400), np.column_stack([tone(900)] * 2)], None, 2, 900),  # more channels
        ([SURROUND, tone(900)], None, 1, 700),  # in the centre only
        ([np.zeros((2 * RATE_HZ, 6)), tone(900)], None, 2, 900),
        ([SILENCE], None, None, None),
        ([SILENCE, np.zeros((2 * RATE_HZ, 2))], None, None, None),
        ([], None, None, None),
    ],
)
def test_the_track_with_sound_is_taken(with_tracks, tracks, default, taken, hz) -> None:
    path = with_tracks(*tracks, default=default)
    facts = probe(path)
    assert facts.audio_track == taken
    assert facts.has_audio == (taken is not None)
    assert facts.audio_streams == len(tracks)
    assert pitch_hz(path) == (None if hz is None else pytest.approx(hz, abs=2))


def test_a_track_can_be_chosen(with_tracks) -> None:
    path = with_tracks(tone(400), tone(900), SILENCE, default=0)
    assert pitch_hz(path, Hearing(track=1)) == pytest.approx(400, abs=2)
    assert pitch_hz(path, Hearing(track=2)) == pytest.approx(900, abs=2)
    assert not probe(path, hearing=Hearing(track=3)).has_audio
    with pytest.raises(BadInput, match=r"no audio track 4; it has 1: pcm_s16le, 1 channel, 16000 Hz; 2: "):
        probe(path, hearing=Hearing(track=4))
    with pytest.raises(BadInput, match="no audio track 1; it has none"):
        probe(with_tracks(name="mute.mkv"), hearing=Hearing(track=1))


QUIET_VOICE = voice(2.0) * 10 ** (-30 / 20)


@pytest.mark.parametrize(
    ("samples", "audible"),
    [
        (SILENCE, False),
        (RNG.integers(-1, 2, 2 * RATE_HZ) / 32_768, False),  # dither
        (RNG.standard_normal(2 * RATE_HZ) * 10 ** (-75 / 20), False),  # a muted input
        (np.where(np.arange(2 * RATE_HZ) == 9000, 0.9, 0.0), False),  # a click
        (QUIET_VOICE, True),
        (tone(400, start_s=1.7), True),
    ],
)
@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_what_counts_as_sound(make_clip, samples: np.ndarray, audible: bool, codec: str) -> None:
    stereo = np.repeat(samples[:, None], 2, axis=1)
    path = make_clip("a.mkv", sound=stereo, sound_rate_hz=RATE_HZ, sound_codec=codec)
    assert probe(path).has_audio == audible
    assert (decode_sound(path) is not None) == audible


@pytest.mark.parametrize(
    ("form", "full"),
    [("u8", 127), ("s16", 32_767), ("s32", 2**31 - 1), ("flt", 1.0), ("dbl", 1.0), ("s16p", 32_767)],
)
def test_the_level_of_any_sample_format(form: str, full: float) -> None:
    """A square wave at -60 dB is over -61 dB and under -59 dB; u8 has no such steps: -30 dB there."""
    level_db = -30 if form == "u8" else -60
    wave = np.where(np.arange(RATE_HZ) % 2, 1.0, -1.0) * 10 ** (level_db / 20) * full
    types = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
    kind = types[form.rstrip("p")]
    held = (np.rint(wave) + 128 if form == "u8" else wave).astype(kind)
    frame = av.AudioFrame.from_ndarray(held[None], format=form, layout="mono")
    frame.sample_rate = RATE_HZ
    for least_db, audible in ((level_db - 1, True), (level_db + 1, False)):
        level = SoundLevel(least_db)
        level.look(frame)
        assert level.audible == audible


def in_turn(channels: int, hz: float = RATE_HZ / 2) -> np.ndarray:
    """Noise below a frequency that wanders from channel to channel, half a second in each."""
    half = RATE_HZ // 2
    noise, _ = split(RNG.standard_normal(half - 1600), hz)
    samples = np.zeros((channels * half, channels), np.float32)
    for k in range(channels):
        samples[k * half + 800 : (k + 1) * half - 800, k] = 0.1 * noise / noise.std()
    return samples


def heard_in_turn(path: Path, channels: int) -> list[bool]:
    """Whether there is something to hear in each half second of `in_turn`."""
    heard = decode_sound(path, RATE_HZ, probe_sound(path, 25))
    assert heard is not None
    parts = np.array_split(to_mono(heard.samples)[: channels * RATE_HZ // 2], channels)
    return [bool(np.sqrt(np.mean(part**2)) > 0.2 * 0.1 / channels) for part in parts]


@pytest.mark.parametrize("channels", [3, 4, 6, 8, 9, 16])
def test_every_microphone_of_a_recorder_is_heard(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "recorder.wav"  # its channels have no meaning
    soundfile.write(path, in_turn(channels), RATE_HZ, "PCM_16")
    assert heard_in_turn(path, channels) == [True] * channels


@pytest.mark.parametrize(
    ("name", "layout", "unheard"),
    [
        ("a.m4a", "2.1", []),
        ("a.mov", "3.1", []),
        ("a.m4a", "5.1", [3]),
        ("a.mov", "7.1", [3]),
        ("a.mov", "5.1.4", []),
    ],
)
def test_channels_with_a_meaning(tmp_path: Path, name: str, layout: str, unheard: list[int]) -> None:
    """The bass of surround sound is left out, as everywhere, but never what may be a microphone."""
    path, channels = tmp_path / name, av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac" if name == "a.m4a" else "pcm_s16le", rate=RATE_HZ, layout=layout)
        frame = av.AudioFrame.from_ndarray(in_turn(channels, 100).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts = RATE_HZ, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].layout.name == layout
    assert heard_in_turn(path, channels) == [k not in unheard for k in range(channels)]


def split(voiced: np.ndarray, hz: float) -> tuple[np.ndarray, np.ndarray]:
    """What is below and above a frequency."""
    spectrum = np.fft.rfft(voiced)
    low = np.fft.rfftfreq(len(voiced), 1 / RATE_HZ) < hz
    return np.fft.irfft(spectrum * low, len(voiced)), np.fft.irfft(spectrum * ~low, len(voiced))


def test_channels_that_cancel_are_mended() -> None:
    speech = voice()
    low, high = split(speech, 1000)
    later = np.arange(len(speech)) > len(speech) / 2
    wanted = {
        "flip": [-speech, -0.5 * speech, -1.5 * speech + 0.001],
        "left": [low - high, high - low, 0.9 * np.where(later, -speech, speech)],
    }
    for mending, rights in wanted.items():
        for right in rights:
            samples, done = mend(np.column_stack([speech, right]).astype(np.float32), RATE_HZ)
            assert done == mending or (mending == "left" and done == "right")
            likeness = np.corrcoef(to_mono(samples), speech)[0, 1]
            assert abs(likeness) > 0.99 or (
                done == "right" and np.corrcoef(to_mono(samples), right)[0, 1] > 0.99
            )
            assert to_mono(samples).std() > 0.6 * speech.std()


def test_ordinary_stereo_is_left_alone() -> None:
    speech, other = voice(), voice()
    for right in (speech, 0.2 * speech, 0 * speech, other, speech + 0.5 * other, -0.1 * speech):
        samples = np.column_stack([speech, right]).astype(np.float32)
        mended, done = mend(samples, RATE_HZ)
        assert done == "none"
        assert mended is samples
    for length in (0, 1, 100, 5000):
        assert mend(np.zeros((length, 2), np.float32), 44_100)[1] == "none"


def test_inverted_stereo_in_a_file_is_heard(make_clip) -> None:
    speech = voice(2.0)
    path = make_clip(
        "a.mkv", sound=np.column_stack([speech, -speech]), sound_rate_hz=RATE_HZ, sound_codec="pcm_s16le"
    )
    sound = decode_sound(path, RATE_HZ)
    assert sound is not None
    assert sound.mending == "flip"
    np.testing.assert_allclose(to_mono(sound.samples)[: len(speech)], speech, atol=1e-3)
