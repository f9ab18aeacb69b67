"""A picture as a video of one frame, so that it is processed like every video."""

from pathlib import Path
from typing import Any

import av
import numpy as np

from stages.core.arrays import Image
from stages.core.errors import BadInput
from stages.media.limits import Limits

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats that are read; of an animation the first picture, see `pictures_in`."""
_WIDE_MODES = frozenset(["I;16", "I;16L", "I;16B", "I"])
"""Of Pillow: grey values up to 65535."""


def read_still(path: Path, limits: Limits | None = None) -> Image:
    """An upright picture, its EXIF turn applied. Shape: -> (H, W, 3) uint8 RGB.

    Raises:
        BadInput: it can't be read, or has more pixels than the limits allow.
    """
    from PIL import Image as Pictures
    from PIL import ImageOps

    limits = limits or Limits()
    try:
        with Pictures.open(path, formats=FORMATS) as picture:
            limits.check_size(path, picture.width, picture.height)
            return _rgb(ImageOps.exif_transpose(picture))
    except BadInput:
        raise
    except Pictures.DecompressionBombError:
        raise BadInput(path, "a picture of too many pixels", "Scale it down") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        problem = f"not a picture that can be read ({said})"
        raise BadInput(path, problem, "Copy it again, or convert it to PNG or JPEG") from None


def pictures_in(path: Path) -> int:
    """How many pictures the file of a picture holds, which can be read: more than one in an animation.

    The previews that cameras put into their JPEG files (MPO) don't count.
    """
    from PIL import Image as Pictures

    with Pictures.open(path, formats=FORMATS) as picture:
        return 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)


def _rgb(picture: Any) -> Image:
    if picture.mode in _WIDE_MODES:
        grey = np.asarray(picture, np.float64) / 257
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(picture.convert("RGB"), np.uint8)


def write_as_video(path: Path, out: Path, limits: Limits | None = None) -> None:
    """Write the picture as the only frame of a video, without loss.

    Args:
        path: the picture.
        out: the file to write, as QuickTime whatever its name ends in.
        limits: what to refuse; None for the defaults.

    Raises:
        BadInput: as `read_still`.
    """
    image = read_still(path, limits)
    with av.open(str(out), "w", format="mov") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
