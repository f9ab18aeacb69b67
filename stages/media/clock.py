"""One clock for a file whose time stamps start anew: joined takes, DVDs, dashcams, browser recordings.

A *joint* is the place where the stamps of a file jump to another clock. Sound and picture get the same shift
there, so that they stay as far apart as their stamps say.

1. Find the jumps of each stream: backward in any container, forward by over 10 s in MPEG streams (FFmpeg's
   own limit). A jump lasts; a single damaged stamp doesn't.
2. Pair the jumps of sound and picture. A jump forward in one stream only is a gap and no joint.
3. The picture goes on without a gap: its first new frame follows the last old one. Where sound of the old
   take would be lost for that, the new take begins after that sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats

_BACK_S = 0.1  # more than the rounding and the jitter of any container, less than any take
_FORWARD_S = 10.0  # FFmpeg's dts_delta_threshold
_OVERLAP_S = 0.25  # so much sound at the end of a take may be lost; encoders' delay is some 0.08 s
_AFTER = 4  # stamps that must lie on the new clock
_REORDERED = 16  # pictures that a decoder holds back at most (H.264, A.3.1)
_REORDERED_S = 1.0  # and by how much their stamps step back
_PAIRED_S = 2.0  # by how much the jumps of sound and picture may differ
_PAIRED_PACKETS = 200  # or how far apart they may be in the file
DISCONTINUOUS = {"mpegts", "mpeg"}
"""FFmpeg's names of the containers whose clock may jump forward."""


@dataclass
class Track:
    """The stamps of one stream as they come from the file.

    Args:
        tick: seconds per unit of the stamps.
        pts: stamp of every packet, in file order; None where it has none.
        key: whether decoding can begin there.
        place: number of the packet in the file, counted over all streams.
        discarded: whether it is decoded but not shown. Where an edit list takes pieces of a file, each piece
            begins and ends with such packets, whose stamps overlap those of its neighbours.
    """

    tick: Fraction
    pts: list[int | None] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    discarded: list[bool] = field(default_factory=list)

    def add(self, packet: Any, place: int) -> None:
        """Take the next packet of the stream."""
        self.pts.append(packet.pts)
        self.key.append(packet.is_keyframe)
        self.place.append(place)
        self.discarded.append(packet.is_discard)

    def start_s(self) -> float:
        """The first stamp; infinite where there is none."""
        return next((float(stamp * self.tick) for stamp in self.pts if stamp is not None), np.inf)

    def times_s(self) -> Floats:
        """(N,) seconds; NaN where there is no stamp, or nothing is shown."""
        stamps = np.array([np.nan if stamp is None else stamp for stamp in self.pts], np.float64)
        if any(self.discarded):
            stamps[np.flatnonzero(self.discarded)] = np.nan
        return stamps * (self.tick.numerator / self.tick.denominator)


class Jump(NamedTuple):
    """Where a stream's stamps jump: packet number, its place in the file, old clock's last time, new time."""

    packet: int
    place: int
    before_s: float
    after_s: float

    @property
    def size_s(self) -> float:
        """By how much; negative for a jump back."""
        return self.after_s - self.before_s


@dataclass(frozen=True)
class Shift:
    """What is added to a stream's stamps from a packet on."""

    packet: int
    shift_s: float


@dataclass(frozen=True)
class Clock:
    """One continuous clock: the shifts of each stream, by its index in the file.

    Args:
        shifts: in the order of the packets; none for a file with one clock.
        joints_s: where the stamps start anew, on the continuous clock (seconds of the container).
    """

    shifts: dict[int, tuple[Shift, ...]] = field(default_factory=dict)
    joints_s: tuple[float, ...] = ()

    def ticks(self, stream: int, tick: Fraction) -> list[tuple[int, int]]:
        """Packet numbers of a stream, and what is added to its stamps from there on."""
        return [
            (shift.packet, round(shift.shift_s * tick.denominator / tick.numerator))
            for shift in self.shifts.get(stream, ())
        ]


def shifted(pts: Sequence[int | None], ticks: Sequence[tuple[int, int]]) -> list[int | None]:
    """Stamps on the continuous clock."""
    if not ticks:
        return list(pts)
    added, changes = 0, dict(ticks)
    moved: list[int | None] = []
    for number, stamp in enumerate(pts):
        added = changes.get(number, added)
        moved.append(None if stamp is None else stamp + added)
    return moved


def find_clock(picture: int, sound: int | None, tracks: dict[int, Track], container: set[str]) -> Clock:
    """The continuous clock of a file.

    Args:
        picture: index of the video stream.
        sound: index of the audio stream; None without one.
        tracks: the stamps of both.
        container: FFmpeg's names of it.
    """
    forward = bool(container & DISCONTINUOUS)
    seen, heard = tracks[picture], tracks[sound] if sound is not None else Track(Fraction(1))
    seen_s, heard_s = seen.times_s(), heard.times_s()
    jumps = find_jumps(seen_s, seen, forward), find_jumps(heard_s, heard, forward)
    if not any(jumps):
        return Clock()
    streams = (_Stream(seen, seen_s), _Stream(heard, heard_s))
    joints_s = []
    for pair in _pairs(*jumps):
        joint_s = _join(streams, pair)
        if joint_s is not None:
            joints_s.append(joint_s)
    shifts = {
        index: tuple(stream.shifts)
        for index, stream in zip((picture, sound), streams, strict=True)
        if index is not None and stream.shifts
    }
    return Clock(shifts, tuple(joints_s))


def find_jumps(time_s: Floats, track: Track, forward: bool) -> list[Jump]:
    """Where the stamps of one stream leave their clock for good.

    Args:
        time_s: (N,) seconds in file order, NaN where unknown.
        track: the stream.
        forward: whether a jump ahead counts.
    """
    known = np.flatnonzero(np.isfinite(time_s))
    stamps_s, key = time_s[known], np.array(track.key, bool)[known]
    if not _odd(stamps_s, key, forward).any():
        return []
    jumps, latest_s = [], float(stamps_s[0])
    for i in range(1, len(stamps_s)):
        now_s = float(stamps_s[i])
        back, ahead = now_s < latest_s - _BACK_S, now_s > latest_s + _FORWARD_S
        if back or ahead:
            following = stamps_s[i + 1 : i + 1 + _REORDERED]
            if not _lasts(following, latest_s, now_s, bool(key[i])):
                continue  # one damaged stamp, or pictures that are merely reordered
            if back or forward:
                packet, after_s = int(known[i]), float(stamps_s[i : i + _AFTER].min())
                jumps.append(Jump(packet, track.place[packet], latest_s, after_s))
            latest_s = now_s
        latest_s = max(latest_s, now_s)
    return jumps


def _odd(stamps_s: Floats, key: Flags, forward: bool) -> Flags:
    """Stamps to look at: far behind what was before, or far ahead of it."""
    if len(stamps_s) < 2:
        return np.zeros(0, bool)
    lead_s = stamps_s[1:] - np.maximum.accumulate(stamps_s)[:-1]
    behind = (lead_s < -_BACK_S) & (key[1:] | (lead_s < -_REORDERED_S))
    return np.asarray(behind | (lead_s > _FORWARD_S) if forward else behind)


def _lasts(following_s: Floats, latest_s: float, now_s: float, key: bool) -> bool:
    """Whether the stamps after a jump stay on the new clock; those of reordered pictures return."""
    next_s = following_s[:_AFTER]
    if not len(next_s):
        return False
    if now_s > latest_s:
        return float(np.median(next_s)) > latest_s + _FORWARD_S / 2
    if key:
        return float(np.median(next_s)) < latest_s - _BACK_S / 2
    starts = latest_s - now_s > _REORDERED_S and now_s - float(following_s.min()) < _REORDERED_S
    return starts and len(following_s) == _REORDERED and float(following_s.max()) < latest_s


def _pairs(seen: list[Jump], heard: list[Jump]) -> list[tuple[Jump | None, Jump | None]]:
    """Jumps of picture and sound that are one event, in file order."""
    pairs: list[tuple[Jump | None, Jump | None]] = []
    left, right = list(seen), list(heard)
    while left and right:
        if _together(left[0], right[0]):
            pairs.append((left.pop(0), right.pop(0)))
        elif left[0].place < right[0].place:
            pairs.append((left.pop(0), None))
        else:
            pairs.append((None, right.pop(0)))
    return [*pairs, *((jump, None) for jump in left), *((None, jump) for jump in right)]


def _together(one: Jump, other: Jump) -> bool:
    near = abs(one.place - other.place) <= _PAIRED_PACKETS
    alike = abs(one.size_s - other.size_s) <= _PAIRED_S
    return (one.size_s < 0) == (other.size_s < 0) and (near or alike)


@dataclass
class _Stream:
    """A stream while its takes are joined."""

    track: Track
    time_s: Floats
    shifts: list[Shift] = field(default_factory=list)

    def goes_on(self, jump: Jump) -> bool:
        """Whether its old clock holds where the other jumps: beyond that place, or up to the new time."""
        places = self.track.place
        if not places or places[0] > jump.place:
            return False
        before_s = self.time_s[: self.first_after(jump.place)]
        reaches = jump.size_s > 0 and np.nanmax(before_s, initial=-np.inf) >= jump.after_s - _FORWARD_S
        return jump.place < places[-1] or bool(reaches)

    def first_after(self, place: int) -> int:
        """Number of its first packet from a place in the file on."""
        return int(np.searchsorted(np.array(self.track.place), place))

    def end_s(self, jump: Jump | None, packet: int) -> float:
        """End of its last frame before a packet, on the continuous clock; -inf where nothing came before."""
        start = self.shifts[-1].packet if self.shifts else 0
        take_s = np.unique(self.time_s[start:packet])
        take_s = take_s[np.isfinite(take_s)]
        if not len(take_s):
            return -np.inf
        latest_s = jump.before_s if jump else float(take_s[-1])
        lasting_s = float(np.median(np.diff(take_s))) if len(take_s) > 1 else 0.0
        return latest_s + lasting_s + (self.shifts[-1].shift_s if self.shifts else 0.0)

    def start_s(self, jump: Jump | None, packet: int) -> float:
        """Its first time from a packet on; inf where nothing follows."""
        if jump:
            return jump.after_s
        following_s = self.time_s[packet : packet + _REORDERED]
        following_s = following_s[np.isfinite(following_s)]
        return float(following_s.min()) if len(following_s) else np.inf


def _join(streams: tuple[_Stream, _Stream], pair: tuple[Jump | None, Jump | None]) -> float | None:
    """Shift what follows a jump; its place on the continuous clock, None where it is no joint."""
    jumped = min((jump for jump in pair if jump), key=lambda jump: jump.place)
    place = jumped.place
    alone = [jump is None and stream.goes_on(jumped) for jump, stream in zip(pair, streams, strict=True)]
    if any(alone) and any(jump and jump.size_s > 0 for jump in pair):
        return None  # the other stream's clock goes on: a gap
    moved = [stream for stream, steady in zip(streams, alone, strict=True) if not steady]
    jumps = [jump for jump, steady in zip(pair, alone, strict=True) if not steady]
    packets = [
        jump.packet if jump else stream.first_after(place) for jump, stream in zip(jumps, moved, strict=True)
    ]
    starts = [s.start_s(j, p) for s, j, p in zip(moved, jumps, packets, strict=True)]
    ends = [s.end_s(j, p) for s, j, p in zip(moved, jumps, packets, strict=True)]
    shift_s = _shift(starts, ends)
    for stream, packet in zip(moved, packets, strict=True):
        stream.shifts.append(Shift(packet, shift_s))
    return shift_s + min(starts)


def _shift(starts: list[float], ends: list[float]) -> float:
    """The first stream goes on without a gap, unless too much of the others would overlap."""
    first = ends[0] - starts[0]
    if np.isfinite(first) and max(ends) - (min(starts) + first) <= _OVERLAP_S:
        return first
    return max(ends) - min(starts)
