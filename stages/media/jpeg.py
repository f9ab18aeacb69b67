"""Many images in two arrays: JPEG bytes end to end, and where each begins.

One blob per video is one data set in one file; an image is read without touching its neighbours.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Image, Integers

Blob = NDArray[np.uint8]


def pack_jpegs(
    images: Iterable[Image], quality: int = 95, check: Callable[[int], None] | None = None
) -> tuple[Blob, Integers]:
    """Encode images one after the other; an iterable is consumed one image at a time.

    Shape: N images (H, W, 3) uint8 RGB, of any sizes -> blob (bytes,) uint8, offset (N + 1,) int64.

    Args:
        images: RGB images.
        quality: of the JPEG, 1 to 100. At 95 a face crop loses about as much as one re-encoding of the
            video at high quality; colour is stored at half resolution, as in the video itself.
        check: told after every image how many bytes there are so far; what it raises ends the encoding.

    Raises:
        ValueError: quality is out of range, or an image is not RGB in 8 bits.
    """
    blob = bytearray()
    offset = spool_jpegs(images, blob.extend, quality, check)
    return np.frombuffer(blob, np.uint8), offset


def spool_jpegs(
    images: Iterable[Image],
    write: Callable[[bytes], object],
    quality: int = 95,
    check: Callable[[int], None] | None = None,
) -> Integers:
    """As `pack_jpegs`, but each image's bytes are handed on: in memory is one image at a time.

    Shape: -> offset (N + 1,) int64.

    Args:
        images: RGB images.
        write: takes the bytes of every image, e.g. `artefacts.Spool.write`.
        quality: as for `pack_jpegs`.
        check: likewise.

    Raises:
        ValueError: as `pack_jpegs`.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; wanted 1 to 100")
    offset = [0]
    for image in images:
        data = encode_jpeg(image, quality)
        write(data)
        offset.append(offset[-1] + len(data))
        if check:
            check(offset[-1])
    return np.array(offset, np.int64)


def unpack_jpeg(blob: Blob, offset: Integers, i: int) -> Image:
    """Image number i of a packed blob.

    Shape: -> (H, W, 3) uint8 RGB.

    Args:
        blob: from `pack_jpegs`; anything that slices into uint8 arrays, such as an open HDF5 data set.
        offset: from `pack_jpegs`.
        i: 0 … N − 1.

    Raises:
        ValueError: there is no such image, or its bytes are no JPEG.
    """
    import cv2

    if not 0 <= i < len(offset) - 1:
        raise ValueError(f"image {i} asked for; there are {len(offset) - 1}, from 0")
    data = np.asarray(blob[int(offset[i]) : int(offset[i + 1])])
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise ValueError(f"image {i} ({data.size} bytes) is not a JPEG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


class Jpegs:
    """The images of a packed blob, in order, decoded one at a time as they are asked for.

    Args:
        blob: as `unpack_jpeg` takes it; an open HDF5 data set is read image by image.
        offset: from `pack_jpegs`.
    """

    def __init__(self, blob: Blob, offset: Integers) -> None:
        self._blob, self._offset = blob, offset

    def __len__(self) -> int:
        return len(self._offset) - 1

    def __iter__(self) -> Iterator[Image]:
        return (unpack_jpeg(self._blob, self._offset, i) for i in range(len(self)))


def encode_jpeg(image: Image, quality: int) -> bytes:
    """One RGB image as a JPEG.

    Raises:
        ValueError: it is not RGB in 8 bits.
    """
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image has shape {image.shape} and type {image.dtype}; wanted (H, W, 3) uint8, RGB")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
