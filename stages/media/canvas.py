"""The picture as it is meant to be seen: upright, its pixels square, of one size, in SDR."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import av.sidedata.sidedata
import numpy as np
from av.video.reformatter import ColorRange

from stages.core.arrays import Image
from stages.media.colour import BT709, YCGCO, from_ycgco, matrix_instead, range_of, to_sdr

_MAX_ASPECT = 5  # of a pixel; the widest in use is 2 : 1, and some headers hold impossible values
_NEWER_KINDS = 20  # of side data; FFmpeg adds one or two a year
_FEWEST_LINES = 16  # of a picture with fields; FFmpeg's filters refuse some smaller ones
_SQUARE = 0.01  # pixels as square as this are taken for square: encoders round


def upright(image: Image, matrix: bytes | None) -> Image:
    """Turn, and mirror, a coded picture as its display matrix says.

    Shape: (H, W, 3) -> (H, W, 3), or (W, H, 3) for a quarter turn.

    Args:
        image: the coded picture.
        matrix: 9 int32 as in MP4 (ISO/IEC 14496-12, 8.3.2.3): a point (x, y) is shown at
            (a x + c y, b x + d y) for the first entries a, b, -, c, d; None leaves the picture as it is.
    """
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].astype(np.int64)
    if abs(b) > abs(a):  # shown x comes from y
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def display_matrix(frame: Any) -> bytes | None:
    """How a video's pictures are to be turned, see `upright`. Ask its first frame only.

    In PyAV, asking for side data makes a reference cycle with the frame, and a picture in a cycle stays in
    memory until Python's garbage collector runs, hundreds of pictures later.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV gives none at all where one is of a kind that it doesn't know, such as EXIF
        matrix = _with_known_side_data(frame).side_data.get("DISPLAYMATRIX")
    return None if matrix is None else bytes(matrix)


def _with_known_side_data(frame: Any) -> Any:
    """The frame without the kinds of side data that are newer than PyAV's list of them."""
    newest = max(kind.value for kind in av.sidedata.sidedata.Type)
    graph = av.filter.Graph()
    chain = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
        ),
        *(
            graph.add("sidedata", f"mode=delete:type={kind}")
            for kind in range(newest + 1, newest + 1 + _NEWER_KINDS)
        ),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*chain).configure()
    graph.push(frame)
    return graph.pull()


def sensible_aspect(stated: Fraction | None) -> Fraction:
    """A stated pixel aspect, width by height; 1 where none is stated, or an impossible one, or nearly 1."""
    aspect = Fraction(stated or 1)
    sensible = 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT and abs(aspect - 1) > _SQUARE
    return aspect if sensible else Fraction(1)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Size of a picture in square pixels: one side grows, so that nothing gets lost."""
    if aspect >= 1:
        return round(width * aspect), height
    return width, round(height / aspect)


@dataclass(frozen=True)
class Canvas:
    """Draws the frames of one video at one size.

    Args:
        coded: width and height of the first frame as stored.
        aspect: of the first frame's pixels.
        size: width and height that frames are drawn at, before the turn; of the shape of the first frame.
        matrix: how they are turned.
    """

    coded: tuple[int, int]
    aspect: Fraction
    size: tuple[int, int]
    matrix: bytes | None

    def draw(self, frame: Any, aspect: Fraction | None = None) -> Image:
        """A decoded frame of any format and size as upright RGB; one of another shape is padded in black.

        Args:
            frame: from the decoder.
            aspect: of its pixels; None for that of the first frame.

        Shape: -> (height, width, 3) of `size`, or (width, height, 3) after a quarter turn.
        """
        aspect = self.aspect if aspect is None else aspect
        if (frame.width, frame.height) == self.coded and aspect == self.aspect:
            return upright(_scaled(frame, *self.size), self.matrix)
        square = square_size(frame.width, frame.height, aspect)
        width, height = self.size
        scale = min(width / square[0], height / square[1])
        inner = min(width, max(1, round(square[0] * scale))), min(height, max(1, round(square[1] * scale)))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        image = np.zeros((height, width, 3), np.uint8)
        image[top : top + inner[1], left : left + inner[0]] = _scaled(frame, *inner)
        return upright(image, self.matrix)


def _scaled(frame: Any, width: int, height: int) -> Image:
    """RGB of a decoded frame at a size; HDR becomes SDR, two fields become one picture."""
    kind, primaries = range_of(frame), int(frame.color_primaries or 0)
    ycgco = int(frame.colorspace) == YCGCO
    how: dict[str, Any] = {"src_colorspace": matrix_instead(frame)}
    if ycgco:  # the scaler doesn't know it: it scales, and leaves the colours alone
        how = {"src_colorspace": BT709, "dst_colorspace": BT709, "dst_color_range": ColorRange.JPEG}
    smaller = frame.width * frame.height > width * height
    wanted = "yuv444p16le" if ycgco else "rgb24" if kind == "SDR" else "rgb48le"
    woven = frame.interlaced_frame and frame.height >= _FEWEST_LINES
    shown = _of_one_field(frame) if woven else frame
    scaled = shown.reformat(
        width, height, wanted, interpolation="AREA" if smaller else "BILINEAR", threads=1, **how
    ).to_ndarray()
    coded = from_ycgco(scaled) if ycgco else scaled
    if kind != "SDR":
        return to_sdr(coded, kind, primaries)
    return np.asarray(coded >> 8 if ycgco else coded, np.uint8)


def _of_one_field(frame: Any) -> Any:
    """An interlaced frame as it was at the moment of its first field, whose lines are kept.

    The lines between are interpolated, by a filter that takes details, but no motion, from the second field
    (w3fdif: M. Weston, BBC PH-2071). Alone, without the frames before and after, each is drawn on demand.
    """
    graph = av.filter.Graph()
    graph.threads = 1
    buffer = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
    )
    graph.link_nodes(buffer, graph.add("w3fdif", "mode=frame:filter=simple"), graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    graph.push(None)
    shown = graph.pull()
    if not frame.format.is_rgb:  # a packed format becomes planar, and loses these
        shown.colorspace, shown.color_range = frame.colorspace, frame.color_range
    return shown
