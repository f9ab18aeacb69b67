"""Whether there is sound in an audio stream: a muted microphone records silence, or noise near it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Floats

MIN_SOUND_DB = -65.0
"""RMS of a block that counts as sound, dB of full scale: well above dither (-93 dB) and the noise of a muted
input (-75 dB), well below quiet speech (-50 dB). ITU-R BS.1770 calls silent what is below -70 LKFS."""

_BLOCK_S = 0.02
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""NumPy's names of FFmpeg's sample formats."""
_ENOUGH_S = 0.2  # a click is no sound; in a short recording a tenth of it is enough
_ENOUGH_SHARE = 0.1


@dataclass
class SoundLevel:
    """Watches the frames of an audio stream until it is clear that there is sound.

    Args:
        min_db: least RMS of a block of 20 ms in its loudest channel, dB of full scale.
    """

    min_db: float = MIN_SOUND_DB
    heard_s: float = 0.0
    total_s: float = 0.0

    @property
    def clear(self) -> bool:
        """Sound was found; the rest needn't be decoded."""
        return self.heard_s >= _ENOUGH_S

    @property
    def audible(self) -> bool:
        """Whether there was sound in the frames so far."""
        return self.heard_s > 0 and self.heard_s >= min(_ENOUGH_S, _ENOUGH_SHARE * self.total_s)

    def look(self, frame: Any) -> None:
        """Take the next decoded frame."""
        samples, rate_hz = full_scale(frame), frame.sample_rate
        block = max(1, round(_BLOCK_S * rate_hz))
        starts = np.arange(0, len(samples), block)
        if not len(starts) or rate_hz <= 0:
            return
        lengths = np.diff(np.append(starts, len(samples)))
        power = np.add.reduceat(np.square(samples), starts, axis=0) / lengths[:, None]
        loud = np.nan_to_num(power.max(axis=1)) >= 10 ** (self.min_db / 10)
        self.heard_s += float(lengths[loud].sum()) / rate_hz
        self.total_s += len(samples) / rate_hz


def full_scale(frame: Any) -> Floats:
    """The samples of a decoded frame, whatever their format.

    Shape: -> (n, channels) float32, full scale at 1.
    """
    samples: NDArray[Any] = _held(frame)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) / np.float32(-float(np.iinfo(samples.dtype).min))
    return samples.astype(np.float32, copy=False)


def _held(frame: Any) -> NDArray[Any]:
    """Shape: -> (n, channels).

    Not by PyAV's `to_ndarray`, which can end the process (seen with 18.1.0).
    """
    channels, kind = frame.layout.nb_channels, np.dtype(_TYPES[frame.format.name.removesuffix("p")])
    if not frame.format.is_planar:
        return np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels)
    planes = frame.planes[:channels]
    return np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes], axis=1)
