"""What a static model is shown of a track, cut from the video once, for trainings that pass it many times."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Image
from stages.core.artefacts import Spool, read_facts, write_arrays
from stages.media.jpeg import encode_jpeg
from stages.media.pictures import open_pictures
from stages.vision.crops import shown
from stages.vision.views import View

QUALITY = 95
"""Of their JPEG, as of crops; they are small, and no copies of JPEGs."""


def cut_views(path: Path, frames: Path, video: Path, view: View, size_px: int) -> View:
    """Write the squares that a model is shown of frames, as JPEGs; what an earlier try wrote is kept.

    Args:
        path: of the HDF5 file: `jpeg` and `jpeg_offset`, a picture per step of the view.
        frames: what decode wrote of the video.
        video: the video.
        view: of the steps that are wanted, each of which has a frame, in the order of time.
        size_px: side of the squares.

    Returns:
        The view of the same steps in that file: pictures as they are, whole.
    """
    if not path.is_file():
        boxes = [None] * len(view.picture) if view.box_xyxy is None else list(view.box_xyxy)
        offset = [0]

        def cut(k: int, image: Image | None) -> bytes:
            return encode_jpeg(shown(image, boxes[k], size_px, view.antialias), QUALITY)

        with open_pictures(frames, video) as pictures, Spool(path.parent) as jpeg:
            for batch in pictures.batches(view.picture, cut, 1):
                for data in batch:
                    jpeg.write(data)
                    offset.append(offset[-1] + len(data))
            arrays: dict[str, Any] = {"jpeg": jpeg, "jpeg_offset": np.array(offset, np.int64)}
            write_arrays(path, arrays, fps_hz=read_facts(frames)["fps_hz"])
    return View(np.arange(len(view.picture)), None)
