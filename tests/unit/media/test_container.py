from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.media import container
from stages.media.container import probe, time_base
from stages.media.frames import decode_grid
from stages.media.limits import Limits
from stages.media.oddities import oddities

CLIPS = {
    "01_grid_male_bbaf2n.mpg": 75,
    "02_grid_female_lbbc2a.mpg": 75,
    "10_hdtf_wda_mpeg4.mp4": 200,
    "12_videoretalking_vfr.mp4": 135,
    "13_pyfeat_emotions_silent_track.mp4": 472,
    "14_pyfeat_face_then_noface_vfr.mov": 169,
    "16_pyfeat_noface_music.mp4": 95,
    "17_whitehouse_hamilton_music_multiface.mp4": 275,
    "20_clearervoice_two_speakers_overlap.avi": 151,
    "22_carphone_qcif_noaudio.mp4": 120,
    "24_nasa_voiceover_multistream.mp4": 390,
    "odd/failing_audio.mp4": 280,
    "odd/iphone_rotated_noface.mov": 66,
    "odd/rotated90_3frames.mov": 3,
    "odd/vp9_no_duration.webm": 74,
}
LARGE = {"07_latentsync_portrait_outdoor_hevc.mp4": 250, "08_latentsync_portrait_kitchen_hevc.mp4": 502}


@pytest.mark.parametrize(
    ("name", "frames"),
    [*CLIPS.items(), *(pytest.param(*clip, marks=pytest.mark.slow) for clip in LARGE.items())],
)
def test_packet_times_of_real_clips_are_the_decoded_ones(shared: Path, name: str, frames: int) -> None:
    path = shared / "media/clips" / name
    times = time_base(path)
    assert len(times) == frames
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    with av.open(str(path)) as container:  # independent of our decoder and of our choice of a stream
        stream = max(container.streams.video, key=lambda s: s.width * s.height)
        decoded = [frame.time for frame in container.decode(stream)]
    np.testing.assert_allclose(times, np.array(decoded) - decoded[0], atol=1e-9, rtol=0)
    np.testing.assert_array_equal(times, time_base(path, "decoding"))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (
            "01_grid_male_bbaf2n.mpg",
            {"declared_frames": 0, "average_rate_hz": 25.0, "video_codec": "mpeg1video"},
        ),
        (
            "12_videoretalking_vfr.mp4",
            {"variable_rate": True, "average_rate_hz": 134 * 30 / (86 + 2 * 48), "origin_pts": 507},
        ),
        ("13_pyfeat_emotions_silent_track.mp4", {"variable_rate": False, "average_rate_hz": 24000 / 1001}),
        ("14_pyfeat_face_then_noface_vfr.mov", {"variable_rate": True, "audio_start_s": 2.430}),
        ("16_pyfeat_noface_music.mp4", {"declared_frames": 98, "frame_count": 95, "duration_s": 95 / 24}),
        ("17_whitehouse_hamilton_music_multiface.mp4", {"audio_start_s": -0.844, "variable_rate": False}),
        ("20_clearervoice_two_speakers_overlap.avi", {"audio_codec": "ac3", "duration_s": 6.04}),
        ("22_carphone_qcif_noaudio.mp4", {"has_audio": False, "audio_codec": None, "audio_start_s": None}),
        ("24_nasa_voiceover_multistream.mp4", {"width": 480, "video_streams": 2, "audio_rate_hz": 16000}),
        (
            "odd/iphone_rotated_noface.mov",
            {"width": 320, "height": 568, "rotation_deg": 90, "audio_channels": 1},
        ),
        ("odd/vp9_no_duration.webm", {"duration_s": 4.939, "variable_rate": True, "has_audio": False}),
    ],
)
def test_facts_of_real_clips(shared: Path, name: str, facts: dict) -> None:
    found = probe(shared / "media/clips" / name)
    for key, value in facts.items():
        wanted = pytest.approx(value, abs=2e-3) if isinstance(value, float) else value
        assert getattr(found, key) == wanted, key


JUMPY_S = tuple(np.cumsum(np.random.default_rng(0).integers(10, 400, 60)) / 1000)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"bframes": 3, "times_s": JUMPY_S}),
        ("a.mkv", {"bframes": 3, "times_s": JUMPY_S}),
        ("a.flv", {"bframes": 2}),
        ("a.mov", {"codec": "libx264", "bframes": 2, "times_s": np.arange(2000, 2050) / 25}),
        (
            "vp8.webm",
            {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "50k"}},
        ),
        ("xvid.avi", {"codec": "mpeg4", "bframes": 2, "tick": Fraction(1, 25)}),
        ("plain.avi", {"codec": "mpeg4", "tick": Fraction(1, 25)}),
        ("h264.avi", {"bframes": 2, "tick": Fraction(1, 25)}),
        ("raw.h264", {"bframes": 2}),
        ("a.ts", {"bframes": 2, "tick": Fraction(1, 90_000)}),
        ("a.mpg", {"codec": "mpeg2video", "bframes": 2, "tick": Fraction(1, 25)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_times_of_any_container_are_those_of_the_frames(make_clip, name: str, options: dict) -> None:
    path = make_clip(name, **options)
    wanted = np.array(options.get("times_s", np.arange(50) / 25))
    for count in ("packets", "decoding"):
        np.testing.assert_allclose(time_base(path, count), wanted - wanted[0], atol=1e-3)


def test_damage_leaves_the_frame_in_the_packet_count_but_not_in_the_decoded_one(make_clip, damage) -> None:
    path = make_clip(options={"g": "1"})
    bad = damage(path, "video", [10, 11, 30])
    assert len(time_base(path)) == 50
    assert len(time_base(path, "decoding")) == 50 - bad


def test_the_damaged_real_clip_has_one_frame_less_than_its_header_says(shared: Path) -> None:
    path = shared / "media/clips/odd/corrupted_colourbars.mp4"
    assert (probe(path).frame_count, probe(path, "decoding").frame_count) == (50, 49)


def test_a_file_cut_off_after_its_index_has_the_frames_that_are_left(make_clip) -> None:
    path = make_clip("cut.mkv", codec="mpeg4", options={"g": "1"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    times = time_base(path)
    assert 10 < len(times) < 40
    np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-3)


def test_a_file_is_read_once_while_it_stays_the_same(make_clip, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = make_clip("a.mp4", [0.0, 0.1, 0.2]), []
    reading = container.open_media
    monkeypatch.setattr(container, "open_media", lambda path: opened.append(path) or reading(path))
    assert [probe(path).frame_count for _ in range(3)] == [3, 3, 3]
    assert len(opened) == 1
    assert probe(path, limits=Limits(max_pixels=10**6)).frame_count == 3
    assert len(opened) == 2
    with pytest.raises(BadInput, match="pixels"):
        probe(path, limits=Limits(max_pixels=1))
    make_clip("a.mp4", [0.0, 0.1])
    assert probe(path).frame_count == 2


def test_a_single_frame_has_a_duration_and_a_rate(make_clip) -> None:
    facts = probe(make_clip(times_s=[0.4]))
    assert (facts.time_s.tolist(), facts.variable_rate) == ([0.0], False)
    assert facts.duration_s == pytest.approx(1 / facts.average_rate_hz)


def test_no_decodable_frame_is_bad_input(make_clip, damage, tmp_path: Path) -> None:
    path = make_clip()
    damage(path, "video")
    with pytest.raises(BadInput, match="none of its 50 frames"):
        probe(path)


def test_a_video_without_frames_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        out.start_encoding()
    with pytest.raises(BadInput):
        probe(path)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (Limits(max_pixels=256 * 64 - 1), "256 × 64 pixels"),
        (Limits(max_frames=49), "more than the 49 frames.*decode.max_frames"),
        (Limits(max_duration_s=1.9), "in 2 s"),
    ],
)
@pytest.mark.parametrize("count", ["packets", "decoding"])
def test_limits_are_refused_with_the_value(make_clip, limits: Limits, problem: str, count: Any) -> None:
    path = make_clip()
    with pytest.raises(BadInput, match=problem):
        probe(path, count, limits)
    assert probe(path, limits=Limits(256 * 64, 2.0, 50)).frame_count == 50


def test_jpegs_may_take_so_many_bytes_and_not_one_more(tmp_path) -> None:
    limits = Limits(max_jpeg_bytes=1000)
    limits.check_jpegs(tmp_path / "clip.mp4", 1000)
    with pytest.raises(BadInput, match=r"clip\.mp4: frames of over 1000 bytes.*decode\.max_jpeg_bytes"):
        limits.check_jpegs(tmp_path / "clip.mp4", 1001)


STILL_S = [0.0, 0.04, 0.08, 900.0, 900.04]


def test_a_long_gap_that_nothing_bears_out_is_refused_without_talk_of_damage(make_clip) -> None:
    times_s = np.array(STILL_S)
    still = r"no new frame for 15 min, from 0\.1 s on \(screen recording\?\).*decode\.max_gap_s \(now 600\)"
    with pytest.raises(BadInput, match=still) as refusal:
        Limits().check_gaps(Path("a.ogv"), times_s, known_s=0.12)
    assert "damaged" not in str(refusal.value)
    Limits(max_gap_s=1000).check_gaps(Path("a.ogv"), times_s, known_s=0.12)
    Limits().check_gaps(Path("a.ogv"), times_s, known_s=890.0)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_a_long_gap_is_taken_where_the_header_states_the_length(make_clip, name: str) -> None:
    assert probe(make_clip(name, STILL_S)).time_s.tolist() == pytest.approx(STILL_S, abs=1e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_a_file_that_breaks_off_says_what_its_header_promised(make_clip, tmp_path: Path, name: str) -> None:
    """A copy or a recording that stopped early: the trace would be of a part, without a word."""
    path = make_clip(name, np.arange(150) / 25, sound=np.zeros((6 * 44_100, 2)))
    whole = probe(path)
    assert (whole.missing_s, whole.frame_count) == (0, 150)
    data = path.read_bytes()
    if name == "a.mp4":
        front = tmp_path / "front.mp4"
        with av.open(str(path)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as out:
            to = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = to[packet.stream.index]
                    out.mux(packet)
        data = front.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    cut = probe(path)
    assert cut.duration_s + cut.missing_s == pytest.approx(6, abs=0.1)
    assert cut.missing_s > 1
    [said] = [problem for problem, _ in oddities(cut, None, None) if "stopped early" in problem]
    assert f"ends after {cut.duration_s:.1f} s, its header says about 6.0 s" in said


def test_a_last_frame_that_stays_is_not_missing(make_clip, tmp_path: Path) -> None:
    """Recordings of a screen write a frame only when something changes."""
    path, still = make_clip("a.mp4", np.arange(50) / 25), tmp_path / "still.mp4"
    with av.open(str(path)) as source, av.open(str(still), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux() if packet.dts is not None]
        packets[-1].duration = round(10 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            out.mux(packet)
    with av.open(str(still)) as container_:
        assert container_.duration > 11e6
    assert probe(still).missing_s == 0


def test_frames_seconds_apart_are_no_end_that_is_missing(tmp_path: Path) -> None:
    """FFmpeg guesses the start of a Matroska stream by the frames that B-frames hold back: here 15 s."""
    path = tmp_path / "slow.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(1, 3), options={"preset": "veryfast", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    slow = probe(path)
    assert slow.duration_s == pytest.approx(90, abs=0.1)
    assert slow.missing_s == 0


@pytest.mark.parametrize("made_of_it", ["", ".mp4", ".mov"])
def test_times_of_decoding_become_those_of_the_frames(
    make_clip, read_clock, tmp_path: Path, made_of_it: str
) -> None:
    """AVI stores when frames are decoded, and so do files made of it without encoding; a camera had a pause."""
    times_s = np.delete(np.arange(100) / 25, range(30, 75))
    path = make_clip("a.avi", times_s, bframes=2, tick=Fraction(1, 25), options={"preset": "veryfast"})
    if made_of_it:
        copy = tmp_path / f"copy{made_of_it}"
        with av.open(str(path)) as source, av.open(str(copy), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux():
                if packet.dts is not None and packet.size:
                    packet.stream = stream
                    out.mux(packet)
        path = copy
    facts = probe(path)
    assert facts.frame_count == len(times_s)
    held_back_s = 3 / 25  # by so much a pause may move among the frames
    assert np.abs(facts.time_s - times_s).max() <= held_back_s
    assert facts.time_s[-1] == pytest.approx(times_s[-1], abs=0.001)
    grid = decode_grid(path, 25, facts=facts)
    shown_s = list(dict.fromkeys(read_clock(frame.image) for frame in grid))
    assert shown_s == pytest.approx(times_s.tolist(), abs=0.002)
    assert grid.out_of_order == 0
