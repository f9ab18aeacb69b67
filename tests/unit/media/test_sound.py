import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stages.core.errors import BadInput
from stages.media.container import probe
from stages.media.oddities import oddities
from stages.media.sound import (
    decode_sound,
    open_wav,
    read_wav,
    resample,
    to_mono,
    write_flac,
    write_sound,
    write_wav,
)


def beep(centre_s: float, duration_s: float, rate_hz: int, channels: int = 2) -> np.ndarray:
    """A 440 Hz tone in a bell of 50 ms: its place can be told to a few samples."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz - centre_s
    tone = 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-((t / 0.05) ** 2))
    return np.repeat(tone[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "layout", "tolerance"),
    [
        ("a.mp4", "aac", 48_000, "stereo", 5e-3),
        ("a.mp4", "aac", 44_100, "mono", 5e-3),
        ("a.mkv", "pcm_s16le", 8_000, "mono", 1e-3),
        ("a.mkv", "pcm_s16le", 48_000, "stereo", 1e-3),
        ("a.mkv", "flac", 44_100, "stereo", 1e-4),
        ("a.mkv", "flac", 96_000, "5.1", 1e-3),  # all channels alike: mixed down without a gain
        ("a.mp4", "aac", 48_000, "5.1", 5e-3),
    ],
)
def test_a_beep_keeps_its_place_and_height(make_clip, name, codec, rate_hz, layout, tolerance) -> None:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    sound = beep(1.2, 2.0, rate_hz, channels)
    path = make_clip(name, sound=sound, sound_codec=codec, sound_rate_hz=rate_hz, sound_layout=layout)
    heard = decode_sound(path)
    assert heard is not None
    assert (heard.samples.shape, heard.samples.dtype, heard.undecodable) == ((88_200, 2), np.float32, 0)
    np.testing.assert_allclose(heard.samples, beep(1.2, 2.0, 44_100), atol=tolerance)


@pytest.mark.parametrize(("video_start_s", "sound_start_s"), [(0.0, 0.7), (0.5, 0.0), (0.5, 0.9), (1.0, 1.0)])
def test_sample_0_is_at_the_first_frame(make_clip, video_start_s: float, sound_start_s: float) -> None:
    path = make_clip(
        "a.mkv",
        video_start_s + np.arange(50) / 25,
        sound=beep(1.0, 1.5, 16_000, 1),  # the beep comes 1 s after the sound starts
        sound_rate_hz=16_000,
        sound_codec="pcm_s16le",
        sound_layout="mono",
        sound_start_s=sound_start_s,
    )
    heard = decode_sound(path, 16_000)
    assert heard is not None
    wanted = beep(1.0 + sound_start_s - video_start_s, 2.0, 16_000)
    before = max(0, round((sound_start_s - video_start_s) * 16_000))
    assert not heard.samples[: max(0, before - 16)].any()  # Matroska counts milliseconds: 16 samples
    lag = np.argmax(np.correlate(heard.samples[:, 0], wanted[:, 0], "same")) - len(wanted) // 2
    assert abs(lag) <= 16
    assert len(heard.samples) == 32_000


def test_a_gap_in_the_sound_is_silence_and_shifts_nothing(make_clip) -> None:
    sound = beep(0.4, 2.0, 44_100) + beep(1.6, 2.0, 44_100)
    path = make_clip("a.mp4", sound=sound, sound_codec="flac", sound_gap=(30_000, 60_000))
    heard = decode_sound(path)
    assert heard is not None
    np.testing.assert_allclose(heard.samples, sound, atol=5e-3)  # within the gap the original is silent too
    assert (heard.samples[33_000:55_000] == 0).all()


@pytest.mark.parametrize(
    ("jitter_s", "lost"),
    [
        (0.0, ()),
        (0.02, ()),
        (0.04, ()),
        (0.0, (40, 50)),
        (0.02, (40, 50)),
        (0.04, (40, 50)),
        (0.0, (135, 146)),
    ],
)
def test_stamps_that_jitter_do_not_cut_the_sound_to_pieces(
    tmp_path: Path, jitter_s: float, lost: tuple[int, ...]
) -> None:
    """Browsers and recorders of calls stamp packets as they arrive; a gap of .2 s is nevertheless one."""
    rate_hz, packet, rng = 16_000, 320, np.random.default_rng(0)
    path, sound = tmp_path / "call.mkv", 0.1 * rng.standard_normal(150 * packet).astype(np.float32)
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track = out.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        for _ in range(75):
            out.mux(picture.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(picture.encode(None))
        last = -1
        for k in range(150):
            if k not in range(*lost or (0,)):
                block = np.rint(sound[k * packet : (k + 1) * packet] * 32_767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block[None], "s16", "mono")
                frame.sample_rate, frame.time_base = rate_hz, Fraction(1, 1000)
                last = max(last + 1, round(20 * k + 1000 * rng.uniform(-jitter_s, jitter_s)))
                frame.pts = last
                out.mux(track.encode(frame))
        out.mux(track.encode(None))
    heard = decode_sound(path, rate_hz)
    assert heard is not None
    mono = to_mono(heard.samples)
    edges = np.flatnonzero(np.diff((mono == 0).astype(int), prepend=0, append=0)).reshape(-1, 2)
    inner = [(end - begin) / rate_hz for begin, end in edges if begin > 0 and end < len(mono)]
    silent_s = [length_s for length_s in inner if length_s > 0.001]
    assert len(silent_s) == bool(lost)
    assert sum(silent_s) == pytest.approx(0.02 * len(range(*lost or (0,))), abs=0.01 + jitter_s)
    parts = [slice(0, lost[0] - 2), slice(lost[1], 145)] if lost else [slice(0, 145)]
    for part in parts:  # in one piece, near its place
        if part.start >= part.stop:
            continue  # too little follows to be looked for
        wanted = sound[part.start * packet : part.stop * packet]
        found = np.correlate(
            mono[max(0, part.start * packet - 800) : part.stop * packet + 800], wanted, "valid"
        )
        assert found.max() > 0.95 * (wanted**2).sum()


def test_damaged_sound_is_silent_where_it_is_and_counted(make_clip, damage) -> None:
    sound = np.full((88_200, 2), 0.25, dtype=np.float32)
    path = make_clip("a.mp4", sound=sound, sound_codec="flac")
    assert damage(path, "audio", [4, 5, 10]) == 3
    heard = decode_sound(path)
    assert heard is not None
    assert heard.undecodable == 3
    expected = np.full((88_200, 2), 0.25)
    for block in (4, 5, 10):
        expected[block * 4608 : (block + 1) * 4608] = 0  # 4608 samples in a FLAC block at 44.1 kHz
    np.testing.assert_allclose(heard.samples, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("heard_on", "bass"),
    [((3,), True), ((3, 4), False), ((2,), False)],
    ids=["bass", "bass and side", "centre"],
)
def test_a_sound_on_the_bass_channel_alone_is_heard(make_clip, tmp_path: Path, heard_on, bass: bool) -> None:
    """FFmpeg leaves it out of stereo, as players do: such a file was silent without a word."""
    sound = np.zeros((32_000, 6), np.float32)
    sound[:, heard_on] = beep(1.2, 2.0, 16_000, len(heard_on))
    path = make_clip("a.mkv", sound=sound, sound_codec="flac", sound_rate_hz=16_000, sound_layout="5.1")
    facts = probe(path)
    whole, written = decode_sound(path, 16_000, facts), write_sound(tmp_path / "a.flac", path, 16_000, facts)
    assert whole is not None
    assert written is not None
    assert (whole.bass, written.bass) == (bass, bass)
    assert np.abs(whole.samples).max() > 0.01
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.flac")[0], whole.samples, atol=1e-4)
    if bass:
        np.testing.assert_allclose(whole.samples, beep(1.2, 2.0, 16_000), atol=1e-3)
    said = [problem for problem, _ in oddities(facts, None, whole)]
    assert any("channel for bass" in problem for problem in said) == bass


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_float_samples_that_are_no_numbers_are_silence(make_clip, layout: str) -> None:
    sound = beep(1.2, 2.0, 16_000, {"stereo": 2, "5.1": 6}[layout])
    sound[4000:4010], sound[8000] = np.nan, np.inf
    path = make_clip("a.mkv", sound=sound, sound_codec="pcm_f32le", sound_rate_hz=16_000, sound_layout=layout)
    heard = decode_sound(path)
    assert heard is not None
    assert heard.undecodable == 2
    np.testing.assert_allclose(heard.samples, beep(1.2, 2.0, 44_100), atol=1e-2)


def test_sound_of_another_length_is_cut_or_padded_to_the_video(make_clip) -> None:
    for seconds in (0.5, 3.5):
        sound = np.full((round(seconds * 44_100), 2), 0.25, dtype=np.float32)
        heard = decode_sound(make_clip("a.mkv", sound=sound, sound_codec="flac"))
        assert heard is not None
        assert len(heard.samples) == 88_200
        assert (heard.samples[: round(min(seconds, 2) * 44_100) - 50] > 0.2).all()
        assert not heard.samples[round(seconds * 44_100) + 50 :].any()


def test_left_and_right_stay_apart(make_clip) -> None:
    sound = beep(0.5, 2.0, 44_100)
    sound[:, 1] = 0
    heard = decode_sound(make_clip("a.mkv", sound=sound, sound_codec="flac"))
    assert heard is not None
    assert np.abs(heard.samples[:, 0]).max() > 0.25
    assert not heard.samples[:, 1].any()


def test_no_audio_stream_is_none(make_clip) -> None:
    assert decode_sound(make_clip()) is None


def test_a_late_real_sound_is_padded(shared: Path) -> None:
    path = shared / "media/clips/14_pyfeat_face_then_noface_vfr.mov"
    heard = decode_sound(path)
    assert heard is not None
    assert np.flatnonzero(np.abs(heard.samples).max(axis=1) > 1e-4)[0] == pytest.approx(
        2.430 * 44_100, abs=50
    )
    assert len(heard.samples) == round(probe(path).duration_s * 44_100)


def test_a_real_sound_that_starts_early_is_cut(shared: Path) -> None:
    path = shared / "media/clips/17_whitehouse_hamilton_music_multiface.mp4"
    import av

    with av.open(str(path)) as container:
        whole = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    start = round((10214 / 11988 - 353 / 44_100) * 44_100)  # first video stamp, first audio stamp
    heard = decode_sound(path)
    assert heard is not None
    np.testing.assert_array_equal(heard.samples[: 8 * 44_100].T, whole[:, start : start + 8 * 44_100])


def test_a_real_video_with_failing_sound_is_read_to_its_end(shared: Path) -> None:
    heard = decode_sound(shared / "media/clips/odd/failing_audio.mp4")
    assert heard is not None
    assert heard.samples.shape == (round(11.2 * 44_100), 2)


def test_wav_keeps_16_bits_exactly_clips_and_is_the_same_every_time(tmp_path: Path) -> None:
    levels = np.arange(-32_768, 32_768) / 32_768
    write_wav(tmp_path / "a.wav", levels, 16_000)
    samples, rate_hz = read_wav(tmp_path / "a.wav")
    assert (rate_hz, samples.shape, samples.dtype) == (16_000, (65_536, 1), np.float32)
    np.testing.assert_array_equal(samples[:, 0], levels)
    write_wav(tmp_path / "b.partial", levels, 16_000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.partial").read_bytes()
    assert (tmp_path / "a.wav").stat().st_size == 44 + 2 * 65_536  # header and samples, nothing else
    write_wav(tmp_path / "loud.wav", np.array([[1.0, -1.0], [7.5, -7.5], [1e9, -1e9]]), 44_100)
    loud, _ = read_wav(tmp_path / "loud.wav")
    np.testing.assert_array_equal(loud, np.tile([32_767 / 32_768, -1.0], (3, 1)).astype(np.float32))
    assert soundfile.info(tmp_path / "loud.wav").subtype == "PCM_16"


def test_wav_refuses_what_is_no_number(tmp_path: Path) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or an infinity"):
            write_wav(tmp_path / "a.wav", np.array([0.0, bad]), 16_000)


def test_a_broken_wav_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("RIFFraff")
    for name in ("a.wav", "none.wav"):
        with pytest.raises(BadInput, match="not a readable WAV"):
            read_wav(tmp_path / name)
        with pytest.raises(BadInput, match="not a readable WAV"), open_wav(tmp_path / name):
            pass


@pytest.mark.parametrize("channels", [1, 2])
def test_an_open_wav_reads_the_samples_that_are_asked_for(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, channels))
    write_wav(tmp_path / "a.wav", samples, 8000)
    whole = to_mono(read_wav(tmp_path / "a.wav")[0])
    with open_wav(tmp_path / "a.wav") as wav:
        assert (len(wav), wav.rate_hz) == (1000, 8000)
        for part in (
            slice(10, 20),
            slice(0, 1000),
            slice(990, 2000),
            slice(2000, 3000),
            slice(5, 2),
            slice(None),
        ):
            np.testing.assert_array_equal(wav[part], whole[part])


def test_flac_keeps_16_bits_exactly_clips_and_is_the_same_every_time(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).permutation(np.arange(-33_000, 33_000)).reshape(-1, 2) / 32_768
    for name in ("a.flac", "b.partial"):
        write_flac(tmp_path / name, levels.astype(np.float32), 44_100)
    written = soundfile.info(tmp_path / "a.flac")
    assert (written.format, written.subtype, written.channels) == ("FLAC", "PCM_16", 2)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.flac")[0], levels.clip(-1, 32_767 / 32_768))
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.partial").read_bytes()
    with pytest.raises(ValueError, match="NaN or an infinity"):
        write_flac(tmp_path / "a.flac", np.array([[0.0, np.nan]], np.float32), 16_000)


def test_flac_of_no_samples_is_one_of_silence(tmp_path: Path) -> None:
    write_flac(tmp_path / "a.flac", np.zeros((0, 2), np.float32), 44_100)
    assert soundfile.read(tmp_path / "a.flac")[0].tolist() == [[0.0, 0.0]]


def test_flac_that_finds_no_room_for_its_last_block_is_an_error(tmp_path: Path) -> None:
    """libsndfile says nothing of what fails while it closes a file."""
    script = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from stages.media.sound import write_flac
noise = np.random.default_rng(0).uniform(-1, 1, (10_000, 2)).astype("f4")
file = Path(sys.argv[1])
write_flac(file, noise, 44_100)
size = file.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for room in (0, 50, size // 2, size - 1000, size - 1, size):
    file.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        write_flac(file, noise, 44_100)
        said = "written"
    except OSError as error:
        said = f"{Path(error.filename).name}: {error.strerror}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(said, flush=True)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a.flac")]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[3], timeout=120
    )
    assert done.stdout.splitlines() == ["a.flac: Input/output error"] * 5 + ["written"]


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 16_000), (16_000, 44_100), (48_000, 16_000), (8_000, 16_000)]
)
def test_resampling_keeps_a_tone_in_place(from_hz: int, to_hz: int) -> None:
    def tone(rate_hz: int, seconds: float) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)

    for seconds in (1.0, 0.98765):
        new = resample(np.stack([tone(from_hz, seconds)] * 2, axis=1), from_hz, to_hz)
        length = round(round(seconds * from_hz) * to_hz / from_hz)
        assert (new.shape, new.dtype) == ((length, 2), np.float32)
        middle = slice(length // 10, -length // 10)
        np.testing.assert_allclose(new[middle, 0], tone(to_hz, 2.0)[:length][middle], atol=2e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold() -> None:
    high = np.sin(2 * np.pi * 12_000 * np.arange(44_100) / 44_100)
    assert np.abs(resample(high, 44_100, 16_000)[200:-200]).max() < 0.02


def test_resampling_to_the_same_rate_or_of_nothing_changes_nothing() -> None:
    samples = np.ones((5, 2), dtype=np.float32)
    assert resample(samples, 16_000, 16_000) is samples
    assert resample(samples[:0], 44_100, 16_000).shape == (0, 2)
    with pytest.raises(ValueError, match="must be positive"):
        resample(samples, 0, 16_000)


def test_to_mono_is_the_mean_so_neither_side_is_lost() -> None:
    np.testing.assert_array_equal(to_mono(np.array([[1.0, 0.0], [0.0, -1.0]])), np.float32([0.5, -0.5]))
    np.testing.assert_array_equal(to_mono(np.array([0.1, 0.2])), np.float32([0.1, 0.2]))


def test_silence_packed_tightly_is_not_unpacked(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((1 << 20, 2), np.int16), 16_000, format="FLAC")
    with pytest.raises(BadInput, match=r"a\.wav: not an uncompressed WAV file: 1048576 samples of FLAC"):
        read_wav(tmp_path / "a.wav")


STREAMED = [
    "media/clips/01_grid_male_bbaf2n.mpg",
    "media/clips/20_clearervoice_two_speakers_overlap.avi",
    "media/clips/odd/failing_audio.mp4",
    "cases/concat_two_takes.ts",
    "cases/polarity_inverted.mov",
    "cases/silent_sound_track.mp4",
    "cases/video_starts_late.mp4",
]


@pytest.mark.parametrize("block", [1 << 20, 1000])
@pytest.mark.parametrize("clip", STREAMED)
def test_sound_in_blocks_gives_the_bytes_of_the_whole(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str, block: int
) -> None:
    facts = probe(shared / clip)
    whole = decode_sound(shared / clip, facts=facts)
    samples = np.zeros((round(facts.duration_s * 44_100), 2)) if whole is None else whole.samples
    write_flac(tmp_path / "whole.flac", samples, 44_100)
    write_wav(tmp_path / "whole.wav", samples, 44_100)
    np.testing.assert_array_equal(
        *(soundfile.read(tmp_path / f"whole.{name}")[0] for name in ("flac", "wav"))
    )
    monkeypatch.setattr("stages.media.sound._BLOCK", block)
    heard = write_sound(tmp_path / "blocks.flac", shared / clip, 44_100, facts)
    assert (tmp_path / "blocks.flac").read_bytes() == (tmp_path / "whole.flac").read_bytes()
    assert (heard is None) == (whole is None)
    if heard and whole:
        assert (heard.undecodable, heard.mending) == (whole.undecodable, whole.mending)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.flac", "whole.flac", "whole.wav"]


def test_the_memory_of_a_long_sound_is_a_block(make_clip, tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for seconds in (5, 120):
        path = make_clip(
            f"{seconds}.mkv", np.arange(seconds) * 1.0, sound=beep(1, seconds, 16_000), sound_rate_hz=16_000
        )
        facts = probe(path)
        tracemalloc.start()
        write_sound(tmp_path / "a.flac", path, 44_100, facts)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert 120 * 44_100 * 8 > 42_000_000, "the samples of the longer one"
    assert peaks[1] < 42_000_000
