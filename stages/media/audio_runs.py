"""Decoded sound as runs of samples without a gap, in two channels, each at its place in time."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Floats
from stages.media.level import full_scale
from stages.media.source import Decoder

Samples = NDArray[np.float32]

_GAP_S = 0.01  # shorter than the shortest lost packet (MP3: 26 ms), longer than a container's rounding (1 ms)
_JITTER_S = 0.1  # by so much a stamp may be off
_STEADY_S = 0.002  # stamps that are off by less, usually, don't jitter: containers round
_AHEAD, _AHEAD_S = 32, 2.0  # frames that are looked at, some .6 s; and no more of long ones
_LONGEST_FRAME_S = 300  # some programs write minutes of PCM into one packet, none writes hours
_BASS = "LFE"
_FRONT, _BEHIND = {"FL", "FR"}, {"BL", "BR", "BC", "SL", "SR"}
_PLACED = _FRONT | _BEHIND | {"FC", _BASS, "FLC", "FRC", "TFL", "TFR"}
"""Loudspeakers that FFmpeg's matrix for stereo has a place for: left and right, those behind, others."""


@dataclass
class Mix:
    """How more than two channels become two, and what was heard of them.

    Args:
        bass: take the channel for bass (LFE) alone; otherwise it is left out, as FFmpeg does.
    """

    bass: bool = False
    loudest: float = 0.0
    """Of the result so far."""
    loudest_bass: float = 0.0
    """Of the bass that was left out."""


def audio_runs(decoder: Decoder, rate_hz: int, origin_s: float, mix: Mix) -> Iterator[tuple[int, Samples]]:
    """Resampled blocks (n, 2) with the number of their first sample, counted from origin_s.

    A run of frames that follow each other goes through one resampler; where the stamps jump by more than
    _GAP_S and stay there, or the format changes, a new run starts at its own stamp.

    Args:
        decoder: of the sound; frames that can't be used are added to its `undecodable`.
        rate_hz: samples per second of the blocks.
        origin_s: the time of sample 0; numbers before it are negative.
        mix: what becomes of more than two channels; told what was heard.
    """
    run: _Run | None = None
    frames = _Frames(decoder, origin_s)
    for frame in frames:
        if _too_long(frame):
            decoder.undecodable += 1
            continue
        start_s = frames.start_s(frame, run)
        if run is None or start_s is not None:
            if run is not None:
                yield from run.feed(None)
                decoder.undecodable += run.damaged
            run = _Run(frame, start_s or 0.0, rate_hz, mix)
        yield from run.feed(frame)
    if run is not None:
        yield from run.feed(None)
        decoder.undecodable += run.damaged


def _too_long(frame: Any) -> bool:
    """A rate of 1 Hz would fill the memory."""
    return bool(frame.samples > _LONGEST_FRAME_S * frame.sample_rate)


class _Frames:
    """Decoded frames, some of them ahead of time: what follows tells a gap from a stamp that jitters.

    Programs that stamp packets as they arrive (browsers, recorders of calls and of network cameras) are off
    by up to some 50 ms, this way and that. If every such frame lay where its stamp says, the sound would be
    cut to pieces.
    """

    def __init__(self, decoder: Decoder, origin_s: float) -> None:
        self._source, self._ahead, self._origin_s = iter(decoder), deque[Any](), origin_s
        self._past_s = deque[float](maxlen=_AHEAD)
        """How far the last frames of the run were from its clock."""

    def __iter__(self) -> Iterator[Any]:
        while self._ahead or self._fill(1):
            yield self._ahead.popleft()

    def _fill(self, count: int) -> bool:
        """Have so many frames ahead, fewer if they are long or the last ones; whether there is any."""
        ahead_s = sum(frame.samples / max(frame.sample_rate, 1) for frame in self._ahead)
        while len(self._ahead) < count and ahead_s < _AHEAD_S:
            if (frame := next(self._source, None)) is None:
                break
            self._ahead.append(frame)
            ahead_s += frame.samples / max(frame.sample_rate, 1)
        return bool(self._ahead)

    def _stamp_s(self, frame: Any) -> float | None:
        return None if frame.pts is None else float(frame.pts * frame.time_base) - self._origin_s

    def start_s(self, frame: Any, run: "_Run | None") -> float | None:
        """Where a new run starts with this frame; None where it goes on with the last one."""
        stamp_s = self._stamp_s(frame)
        if run is None or run.kind != _kind(frame):
            self._past_s.clear()
            before_s = run.end_s if run else 0.0
            return before_s if stamp_s is None else self._steadied(frame, stamp_s)
        if stamp_s is None:
            return None
        early_s = stamp_s - run.end_s
        if abs(early_s) > _GAP_S and not self._jitters(frame, run.end_s, early_s):
            self._past_s.clear()
            return self._steadied(frame, stamp_s)
        self._past_s.append(early_s)
        return None

    def _jitters(self, frame: Any, end_s: float, early_s: float) -> bool:
        """Whether the frame follows the last one, although its stamp is off by more than a gap."""
        off_s, spread_s = self._offset(frame, end_s)
        return abs(early_s) <= _JITTER_S and abs(off_s) <= _GAP_S + spread_s

    def _steadied(self, frame: Any, stamp_s: float) -> float:
        """The stamp of a run's first frame; where stamps jitter, what most of the following ones say."""
        off_s, spread_s = self._offset(frame, stamp_s)
        return stamp_s + (off_s if spread_s > _STEADY_S else 0.0)

    def _offset(self, frame: Any, start_s: float) -> tuple[float, float]:
        """How far this frame and its neighbours are from a clock, and how much that differs (medians)."""
        self._fill(_AHEAD)
        off_s: list[float] = []
        for one in (frame, *self._ahead):
            stamp_s = self._stamp_s(one)
            if _kind(one) != _kind(frame) or _too_long(one):
                break
            if stamp_s is not None:
                if off_s and abs(stamp_s - start_s - off_s[0]) > _JITTER_S:
                    break  # a gap
                off_s.append(stamp_s - start_s)
            start_s += one.samples / one.sample_rate
        if len(off_s) >= _AHEAD // 4:
            return _middle(off_s)
        # Too few to tell, at the end: those before tell whether stamps jitter.
        if len(self._past_s) > len(off_s) and _middle(self._past_s)[1] > _STEADY_S:
            return _middle([*off_s, *self._past_s])
        return off_s[0], 0.0


def _middle(values: Iterable[float]) -> tuple[float, float]:
    """Median, and median distance from it."""
    held = np.array([*values])
    middle = float(np.median(held))
    return middle, float(np.median(np.abs(held - middle)))


class _Run:
    """Frames without a gap between them, and the resampler they share."""

    def __init__(self, frame: Any, start_s: float, rate_hz: int, mix: Mix) -> None:
        self.kind, self.damaged = _kind(frame), 0
        self.end_s, self.position = start_s, round(start_s * rate_hz)
        many = frame.layout.nb_channels > 2
        self.by_mean = many and not _mixed_by_ffmpeg(frame.layout)
        names = [channel.name for channel in frame.layout.channels]
        self.mix = mix
        self.bass = names.index(_BASS) if many and not self.by_mean and _BASS in names else None
        mixed: Any = "mono" if self.by_mean or self._only_bass else "stereo"
        self.resampler = av.AudioResampler(
            "fltp",
            mixed if many else frame.layout,
            rate_hz,
            options={"rematrix_maxval": "1"} if many else None,  # six channels in phase mustn't clip
        )

    @property
    def _only_bass(self) -> bool:
        return self.mix.bass and self.bass is not None

    def feed(self, frame: Any | None) -> Iterator[tuple[int, Samples]]:
        if frame is not None:
            self.end_s += frame.samples / frame.sample_rate
            if self.by_mean:
                frame = _one_channel(frame, full_scale(frame).mean(axis=1, dtype=np.float32))
            elif self.bass is not None:
                bass = full_scale(frame)[:, self.bass]
                self.mix.loudest_bass = max(self.mix.loudest_bass, _loudest(bass))
                frame = _one_channel(frame, bass) if self.mix.bass else frame
        for part in self.resampler.resample(frame):
            block = part.to_ndarray().T
            if not np.isfinite(block).all():  # float samples can be anything
                self.damaged += 1
                block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            self.mix.loudest = max(self.mix.loudest, _loudest(block))
            yield self.position, np.broadcast_to(block, (len(block), 2))
            self.position += len(block)


def _mixed_by_ffmpeg(layout: Any) -> bool:
    """Whether FFmpeg makes stereo of all channels of a layout but bass.

    It takes channels without a meaning, as recorders with several microphones have them, for loudspeakers:
    the third of three for bass, which it leaves out. Of loudspeakers it leaves out those that it has no place
    for, without a word, or refuses the layout. A bass without any loudspeakers behind is hardly one, but the
    third or fourth microphone under the name of the layout with as many channels.
    """
    names = {channel.name for channel in layout.channels}
    return names >= _FRONT and names <= _PLACED and not (_BASS in names and names.isdisjoint(_BEHIND))


def _loudest(samples: Samples) -> float:
    """The largest distance from zero; infinite and missing samples are silence."""
    return float(np.abs(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)).max(initial=0.0))


def _one_channel(frame: Any, samples: Floats) -> Any:
    """A frame at the same place of these samples (n,)."""
    mixed = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], "fltp", "mono")
    mixed.sample_rate, mixed.pts, mixed.time_base = frame.sample_rate, frame.pts, frame.time_base
    return mixed


def _kind(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
