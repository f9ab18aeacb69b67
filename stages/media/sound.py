"""The waveform beside the frames: sample 0 is at the first video frame; and 16-bit files of it."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from stages.core.arrays import Floats
from stages.core.errors import BadInput
from stages.engine.lazy_imports import slim_signal
from stages.engine.machine import disk_error, disk_named
from stages.media.audio_runs import Mix, Samples, audio_runs
from stages.media.container import ContainerFacts, probe
from stages.media.level import MIN_SOUND_DB
from stages.media.limits import Limits
from stages.media.polarity import Mending, mend, mended, mending_for
from stages.media.source import Decoder, open_media

_FULL_SCALE = 32_768
_SILENT = 10 ** (MIN_SOUND_DB / 20)
_BLOCK = 1 << 20
_AGAIN = "Remove it, so that it is made again"


@dataclass(frozen=True)
class Sound:
    """A video's waveform.

    Args:
        samples: (n, 2) float32, mostly within [-1, 1].
        rate_hz: samples per second.
        undecodable: packets that couldn't be decoded; they are silence.
        mending: what was done to channels that cancel each other, see `stages.media.polarity`.
        bass: the only sound is on the channel for bass (LFE), which is taken.
    """

    samples: Samples
    rate_hz: int
    undecodable: int
    mending: Mending = "none"
    bass: bool = False


class Heard(NamedTuple):
    """What was noticed while decoding a sound: see `Sound`."""

    undecodable: int
    mending: Mending = "none"
    bass: bool = False


def decode_sound(
    path: Path, rate_hz: int = 44_100, facts: ContainerFacts | None = None, limits: Limits | None = None
) -> Sound | None:
    """The waveform from the first video frame to the end of the last one; None without any sound.

    Always two channels, as the voice separation wants: mono is doubled, more channels are mixed down, without
    the one for bass unless it is the only one with sound; of two that cancel each other, one is turned round
    or left out.
    Sound from before the first frame is cut; silence stands where sound starts late, ends early or is missing
    in between, so that sample n is at n / rate_hz seconds of video time, to within 10 ms.

    Args:
        path: the video.
        rate_hz: rate of the result; the default is what the voice separation works at.
        facts: from `probe`, to save a pass over the packets.
        limits: what to refuse; None for the defaults.

    Raises:
        BadInput: as `probe`, or the waveform is over the limits.
    """
    limits = limits or Limits()
    facts = facts or probe(path, limits=limits)
    length = round(facts.duration_s * rate_hz)
    limits.check_sound(path, length)
    if facts.audio_index is None:
        return None
    samples = np.zeros((length, 2), dtype=np.float32)
    undecodable, bass = _fill(samples, path, rate_hz, facts)
    if (facts.audio_channels or 0) < 2:
        return Sound(samples, rate_hz, undecodable)
    samples, mending = mend(samples, rate_hz)
    return Sound(samples, rate_hz, undecodable, mending, bass)


def write_sound(
    path: Path, video: Path, rate_hz: int, facts: ContainerFacts, limits: Limits | None = None
) -> Heard | None:
    """Write what `decode_sound` gives as FLAC, silence where that is None; in memory is a block at a time.

    The samples wait on the disk beside `path`, 8 bytes each, since only the whole says what is to be mended.

    Args:
        path: of the FLAC file.
        video: where the sound is from.
        rate_hz: samples per second.
        facts: of the video.
        limits: what to refuse; None for the defaults.

    Raises:
        BadInput: as `decode_sound`.
        OSError: the disk is full, or fails.
    """
    with spooled_sound(video, path.parent, rate_hz, facts, limits) as (samples, heard):
        _write_flac(path, (samples[k : k + _BLOCK] for k in range(0, len(samples), _BLOCK)), rate_hz)
    return heard


@contextmanager
def spooled_sound(
    video: Path, folder: Path, rate_hz: int, facts: ContainerFacts, limits: Limits | None = None
) -> Iterator[tuple["SpooledSamples", Heard | None]]:
    """What `decode_sound` gives, on the disk: silence, and None, where that is None.

    Args:
        video: where the sound is from.
        folder: on whose disk the samples lie.
        rate_hz: samples per second.
        facts: of the video.
        limits: what to refuse; None for the defaults.

    Raises:
        BadInput: as `decode_sound`.
        OSError: the disk is full, or fails.
    """
    length = round(facts.duration_s * rate_hz)
    (limits or Limits()).check_sound(video, length)
    with SpooledSamples(folder, length) as samples:
        heard = None
        if facts.audio_index is not None:
            undecodable, bass = _fill(samples, video, rate_hz, facts)
            if (facts.audio_channels or 0) >= 2:
                samples.mending = mending_for(samples, rate_hz)
            heard = Heard(undecodable, samples.mending, bass)
        yield samples, heard


def _fill(
    samples: "Samples | SpooledSamples", path: Path, rate_hz: int, facts: ContainerFacts
) -> tuple[int, bool]:
    """Put the sound into samples that are zero. -> undecodable packets; whether it is bass alone."""
    mix = Mix()
    undecodable = _fill_by(mix, samples, path, rate_hz, facts)
    bass = mix.loudest < _SILENT <= mix.loudest_bass
    if bass:
        undecodable = _fill_by(Mix(bass=True), samples, path, rate_hz, facts)
    return undecodable, bass


def _fill_by(
    mix: Mix, samples: "Samples | SpooledSamples", path: Path, rate_hz: int, facts: ContainerFacts
) -> int:
    with open_media(path) as container:
        decoder = Decoder(container, container.streams[facts.audio_index], clock=facts.clock)
        origin_s = float(facts.origin_pts * facts.time_base)
        for first, block in audio_runs(decoder, rate_hz, origin_s, mix):
            start, end = max(first, 0), min(first + len(block), len(samples))
            if start < end:
                samples[start:end] = block[start - first : end - first]
        return decoder.undecodable


class SpooledSamples:
    """Stereo samples on the disk, in a file without a name: zero where nothing was written.

    Args:
        folder: where the file lies, made if need be.
        length: how many, per channel.
    """

    _BYTES = 8

    def __init__(self, folder: Path, length: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._file.truncate(length * self._BYTES)
        self._length = length
        self.mending: Mending = "none"
        """Done to samples as they are read."""

    def __enter__(self) -> "SpooledSamples":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __setitem__(self, part: slice, block: Samples) -> None:
        self._file.seek(part.start * self._BYTES)
        self._file.write(np.ascontiguousarray(block, np.float32).tobytes())

    def __getitem__(self, part: slice) -> Samples:
        start, end, _ = part.indices(self._length)
        self._file.seek(start * self._BYTES)
        data = self._file.read(max(0, end - start) * self._BYTES)
        return mended(np.frombuffer(data, np.float32).reshape(-1, 2), self.mending)


def write_wav(path: Path, samples: Floats, rate_hz: int) -> None:
    """Write PCM16; what is beyond full scale is clipped. The same samples give the same bytes.

    Shape: (n,) or (n, channels), full scale at 1.

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples), _BLOCK))
    with (
        disk_named(path),
        soundfile.SoundFile(path, "w", rate_hz, channels, "PCM_16", format="WAV") as file,
    ):
        _fill_pcm(file, blocks)


def write_flac(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write PCM16 without loss, a third of the size of a WAV file; what is beyond full scale is clipped.

    Shape: (n, 2), full scale at 1. FLAC has no empty files: no samples are written as one of silence.

    Raises:
        ValueError: a sample is NaN or infinite.
        OSError: the disk is full, or fails.
    """
    _write_flac(path, (samples[k : k + _BLOCK] for k in range(0, len(samples), _BLOCK)), rate_hz)


def _write_flac(path: Path, blocks: Iterable[Floats], rate_hz: int) -> None:
    try:
        with soundfile.SoundFile(path, "w", rate_hz, 2, "PCM_16", format="FLAC") as file:
            count = _fill_pcm(file, blocks) or _fill_pcm(file, [np.zeros((1, 2))])
        # Closing writes the last block and the count of samples; if that fails, libsndfile reports nothing.
        finished = soundfile.info(path).frames == count
    except soundfile.SoundFileError as error:  # the format is valid, so only the disk can be the cause
        raise disk_error(path) from error
    if not finished:
        raise disk_error(path)


def _fill_pcm(file: soundfile.SoundFile, blocks: Iterable[Floats]) -> int:
    """Write 16-bit samples. -> how many, per channel."""
    start = 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise ValueError(f"samples {start} to {start + len(block)} hold a NaN or an infinity")
        file.write(np.clip(np.rint(block * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))
        start += len(block)
    return start


class OpenWav:
    """A WAV file as one channel: `[first:stop]` reads those samples, (k,) float32, and `len()` counts all.

    Args:
        path: of the file.
        file: that file, open.
    """

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self._path, self._file = path, file
        self.rate_hz = int(file.samplerate)

    def __len__(self) -> int:
        return int(self._file.frames)

    def __getitem__(self, part: slice) -> Samples:
        """Raises BadInput where the file can't be read."""
        first, stop, _ = part.indices(len(self))
        with _readable(self._path):
            self._file.seek(first)
            return to_mono(self._file.read(max(stop - first, 0), dtype="float32", always_2d=True))


@contextmanager
def open_wav(path: Path) -> Iterator[OpenWav]:
    """A WAV file whose samples are read as they are asked for, however long it is.

    Raises:
        BadInput: not a WAV file that can be read.
    """
    with ExitStack() as stack:
        with _readable(path):
            file = stack.enter_context(_checked_wav(path))
        yield OpenWav(path, file)


def read_wav(path: Path) -> tuple[Samples, int]:
    """Samples (n, channels) float32 and rate of a WAV file.

    Raises:
        BadInput: not a WAV file that can be read.
    """
    with _readable(path), _checked_wav(path) as file:
        return file.read(dtype="float32", always_2d=True), int(file.samplerate)


def _checked_wav(path: Path) -> soundfile.SoundFile:
    file = soundfile.SoundFile(path)
    # libsndfile reads compressed files under any name; a kilobyte of FLAC can be an hour of silence
    if file.format in ("WAV", "WAVEX") and file.frames * file.channels <= path.stat().st_size:
        return file
    problem = f"{file.frames} samples of {file.format}, {file.subtype}, in {path.stat().st_size} bytes"
    file.close()
    raise BadInput(path, f"not an uncompressed WAV file: {problem}", _AGAIN)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.SoundFileError) as error:
        raise BadInput(path, "not a readable WAV file", _AGAIN) from error


def to_mono(samples: Floats) -> Samples:
    """Mean of the channels: no speaker on one side gets lost.

    Shape: (n, channels) or (n,) -> (n,).
    """
    # Channel by channel: NumPy's mean over an axis as short as this takes twenty times as long.
    mono = samples if samples.ndim == 1 else sum(samples.T) / np.float32(samples.shape[1])
    return np.asarray(mono, np.float32)


def resample(samples: Floats, from_hz: int, to_hz: int) -> Samples:
    """Polyphase resampling; sample k of the result is at k / to_hz.

    Shape: (n,) or (n, channels) -> (round(n to_hz / from_hz), …).

    Raises:
        ValueError: a rate is not positive.
    """
    with slim_signal():
        from scipy.signal import resample_poly  # a fifth of a second

    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"rates {from_hz} and {to_hz} Hz must be positive")
    samples = samples.astype(np.float32, copy=False)
    if from_hz == to_hz or not len(samples):
        return samples
    common = gcd(from_hz, to_hz)
    longer: Samples = resample_poly(samples, to_hz // common, from_hz // common, axis=0)
    return longer[: round(len(samples) * to_hz / from_hz)].astype(np.float32, copy=False)
