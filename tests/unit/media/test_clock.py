"""Clocks that start anew: takes end to end in one file, of any container that can hold them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stages.media.clock import Track, find_clock, shifted
from stages.media.container import ContainerFacts, probe
from stages.media.frames import decode_grid
from stages.media.sound import decode_sound

MS = Fraction(1, 1000)
BEEP_S, TAKE_S, RATE_HZ = 0.7, 1.6, 44_100
TAKES = {
    "ts": {"codec": "libx264", "tick": Fraction(1, 90_000)},
    "ts with B-frames": {"codec": "libx264", "bframes": 3, "tick": Fraction(1, 90_000)},
    "mpg": {"codec": "mpeg2video", "bframes": 2, "tick": Fraction(1, 25), "sound_codec": "mp2"},
    "webm": {"codec": "libvpx", "sound_codec": "libopus", "options": {"lag-in-frames": "0"}},
    "mkv": {"codec": "libx264", "bframes": 2},
}


def beep() -> np.ndarray:
    """A take's sound: a tone of 0.1 s at BEEP_S."""
    time_s = np.arange(round(TAKE_S * RATE_HZ)) / RATE_HZ
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time_s) * ((time_s >= BEEP_S) & (time_s < BEEP_S + 0.1))
    return np.repeat(tone[:, None], 2, axis=1)


@pytest.fixture
def join(make_clip, draw_clock, tmp_path):
    """Takes of TAKE_S end to end; the clock in the picture goes on from take to take."""

    def joined(kind: str, starts_s: list[float], *, sound: bool = True) -> Path:
        options, ending = TAKES[kind], kind.split()[0]
        rate_hz = 48_000 if ending == "webm" else RATE_HZ
        parts = []
        for number, start_s in enumerate(starts_s):
            shown_s = number * TAKE_S - start_s
            parts.append(
                make_clip(
                    f"take{number}.{ending}",
                    start_s + np.arange(round(TAKE_S * 25)) / 25,
                    draw=lambda t, shown_s=shown_s: draw_clock(t + shown_s),
                    sound=_at_rate(beep(), rate_hz) if sound else None,
                    sound_rate_hz=rate_hz,
                    sound_start_s=start_s,
                    **options,
                ).read_bytes()
            )
        path = tmp_path / f"joined.{ending}"
        path.write_bytes(b"".join(parts))
        return path

    return joined


def _at_rate(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    places = np.arange(round(len(sound) * rate_hz / RATE_HZ)) * RATE_HZ // rate_hz
    return sound[places]


def beeps_s(path: Path, facts: ContainerFacts) -> np.ndarray:
    """Where the tones begin, seconds from the first frame."""
    heard = decode_sound(path, 16_000, facts)
    assert heard is not None
    loud = np.abs(heard.samples[:, 0]) > 0.15
    begins = np.flatnonzero(loud)
    return begins[np.diff(begins, prepend=-16_000) > 4000] / 16_000


@pytest.mark.parametrize(
    ("kind", "starts_s"),
    [
        ("ts", [0.0, 0.0]),
        ("ts", [0.0, 0.0, 0.0, 0.0]),
        ("ts", [0.0, 500.0]),  # forward
        ("ts", [500.0, 0.0, 900.0]),  # backward and forward
        ("ts", [95_442.5, 95_000.0]),  # the first take passes the end of MPEG's 33 bits
        ("ts with B-frames", [0.0, 0.0]),
        ("ts with B-frames", [7.0, 0.0, 300.0]),
        ("mpg", [0.0, 0.0]),
        ("webm", [0.0, 0.0]),
        ("mkv", [0.0, 0.0]),
    ],
    ids=str,
)
def test_takes_follow_each_other_and_their_sound_stays_in_step(
    join, read_clock, kind: str, starts_s: list
) -> None:
    path = join(kind, starts_s)
    facts = probe(path)
    assert len(facts.joints_s) == len(starts_s) - 1
    assert facts.average_rate_hz == pytest.approx(25, rel=0.05)
    begins_s = np.full(len(starts_s), np.nan)
    for frame in decode_grid(path, 25, facts=facts):
        shown_s = read_clock(frame.image)
        take = int(round(shown_s * 25) // round(TAKE_S * 25))
        assert frame.frame_time_s == pytest.approx(shown_s, abs=0.03 + 0.1 * take)
        if np.isnan(begins_s[take]):
            begins_s[take] = frame.frame_time_s - (shown_s - take * TAKE_S)
    np.testing.assert_allclose(beeps_s(path, facts) - begins_s, BEEP_S, atol=0.02)


@pytest.mark.parametrize(("kind", "takes", "share"), [("webm", 2, 0.0), ("webm", 4, 0.5), ("ts", 3, 0.0)])
def test_what_is_not_read_of_a_joined_file_is_known(join, kind: str, takes: int, share: float) -> None:
    assert probe(join(kind, [0.0] * takes)).unread_share == pytest.approx(share, abs=0.05)


def test_without_sound_the_picture_alone_tells(join, read_clock) -> None:
    path = join("ts with B-frames", [3.0, 1.0, 400.0], sound=False)
    facts = probe(path)
    np.testing.assert_allclose(facts.joints_s, [TAKE_S, 2 * TAKE_S], atol=1e-3)
    np.testing.assert_allclose(facts.time_s, np.arange(3 * round(TAKE_S * 25)) / 25, atol=1e-3)
    for frame in decode_grid(path, 5, facts=facts):
        assert read_clock(frame.image) == pytest.approx(frame.frame_time_s, abs=2e-3)


def test_one_clock_past_the_end_of_33_bits_has_no_joint(make_clip) -> None:
    start_s = 2**33 / 90_000 - 1.0
    facts = probe(make_clip("wrap.ts", start_s + np.arange(50) / 25, tick=Fraction(1, 90_000)))
    assert facts.joints_s == ()
    np.testing.assert_allclose(facts.time_s, np.arange(50) / 25, atol=1e-4)


def track(stamps_ms: list[int | None], places: list[int] | None = None, *, key_every: int = 1) -> Track:
    keys = [number % key_every == 0 for number in range(len(stamps_ms))]
    return Track(MS, list(stamps_ms), keys, places or list(range(len(stamps_ms))))


def picture_and_sound(order: str, seen: list[int], heard: list[int]) -> dict[int, Track]:
    """Packets in the order of the letters: p of the picture, s of the sound."""
    places = {letter: [k for k, other in enumerate(order) if other == letter] for letter in "ps"}
    return {0: track(seen, places["p"]), 1: track(heard, places["s"])}


TAKE = [40 * k for k in range(25)]
"""A second of either stream."""


@pytest.mark.parametrize(
    ("order", "seen", "heard", "joints_ms"),
    [
        ("ps" * 50, [*TAKE, *TAKE], [*TAKE, *TAKE], [1000]),
        (
            "ps" * 20 + "p" * 5 + "pppp" + "s" * 5 + "ps" * 21 + "s" * 4,
            [*TAKE, *TAKE],
            [*TAKE, *TAKE],
            [1000],
        ),
        (
            "ps" * 20 + "s" * 5 + "ssss" + "p" * 5 + "ps" * 21 + "p" * 4,
            [*TAKE, *TAKE],
            [*TAKE, *TAKE],
            [1000],
        ),
        # Only one take has sound, and the other stream says nothing of the joint.
        ("ps" * 25 + "p" * 25, [*TAKE, *TAKE], TAKE, [1000]),
        ("p" * 25 + "ps" * 25, [*TAKE, *TAKE], TAKE, [1000]),
        # The picture freezes while the sound goes on: a gap.
        (
            "ps" * 25 + "s" * 400 + "p" * 25,
            [*TAKE, *(16_000 + t for t in TAKE)],
            [40 * k for k in range(425)],
            [],
        ),
        # Both jump ahead: a joint.
        ("ps" * 50, [*TAKE, *(90_000 + t for t in TAKE)], [*TAKE, *(90_000 + t for t in TAKE)], [1000]),
    ],
)
def test_joints(order: str, seen: list, heard: list, joints_ms: list) -> None:
    assert (order.count("p"), order.count("s")) == (len(seen), len(heard))
    tracks = picture_and_sound(order, seen, heard)
    clock = find_clock(0, 1, tracks, {"mpegts"})
    assert [round(1000 * joint_s) for joint_s in clock.joints_s] == joints_ms
    if joints_ms:
        for index, stamps in tracks.items():
            moved = shifted(stamps.pts, clock.ticks(index, MS))
            assert np.diff([stamp or 0 for stamp in moved]).min() >= 40 - 1
    if joints_ms and len(seen) == len(heard):
        both = [shifted(tracks[index].pts, clock.ticks(index, MS)) for index in (0, 1)]
        assert both[0] == both[1]


@pytest.mark.parametrize(
    "stamps",
    [
        [*TAKE[:12], 9_000_000, *TAKE[13:]],
        [*TAKE[:12], -9_000_000, *TAKE[13:]],
        [*TAKE[:12], None, *TAKE[13:]],
        [*TAKE[:-1], 0],
        [t + (7 * k) % 23 for k, t in enumerate(TAKE)],  # jitter
        [0, 0, *TAKE],
    ],
)
def test_single_odd_stamps_and_jitter_are_no_joint(stamps: list) -> None:
    assert find_clock(0, None, {0: track(stamps)}, {"mpegts"}).joints_s == ()


def test_reordered_pictures_at_a_low_rate_are_no_joint() -> None:
    """Seven B-frames in a pyramid at 2 pictures a second step back by up to 3.5 s."""
    order = [0, 8, 4, 2, 1, 3, 6, 5, 7]
    stamps = [500 * (8 * group + k) for group in range(6) for k in (order if group == 0 else order[1:])]
    assert find_clock(0, None, {0: track(stamps, key_every=1000)}, {"mpegts"}).joints_s == ()


def test_more_sound_than_picture_in_a_take_is_kept() -> None:
    """The sound of take 1 is a second longer: take 2 begins after it."""
    longer = [40 * k for k in range(50)]
    tracks = picture_and_sound("ps" * 25 + "s" * 25 + "ps" * 25, [*TAKE, *TAKE], [*longer, *TAKE])
    clock = find_clock(0, 1, tracks, {"matroska"})
    assert clock.joints_s == pytest.approx((2.0,))


def test_a_jump_ahead_in_a_container_with_one_clock_is_a_gap() -> None:
    assert find_clock(0, None, {0: track([*TAKE, *(90_000 + t for t in TAKE)])}, {"matroska"}).joints_s == ()
