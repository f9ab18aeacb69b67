"""FaceMesh: what `mouth` measures, against MediaPipe alone on the same crops.

    python benchmarks/mesh.py [--crops 200] [--rounds 3]

Ours starts from JPEG bytes and ends with areas; MediaPipe alone gets decoded crops and gives landmarks: the
limit. `tracking` is its video mode, faster, but what it says of a crop depends on the crops before.
"""

import cv2
import numpy as np
from measure import arguments, machine, save, table, take_turns
from mediapipe.python.solutions.face_mesh import FaceMesh
from skimage import data

from stages.audio.mouth import MouthMeter
from stages.engine.native_stderr import quiet_native_stderr
from stages.media.jpeg import pack_jpegs, unpack_jpeg


def crops(count: int) -> list[np.ndarray]:
    """A face, 256 px, that nods and turns a little."""
    portrait, shown = data.astronaut()[0:256, 96:352], []
    for k in range(count):
        turn = cv2.getRotationMatrix2D((128, 128), 8 * np.sin(k / 9), 1 + 0.05 * np.cos(k / 7))
        shown.append(cv2.warpAffine(portrait, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    return shown


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, crops=200, rounds=3)
    shown = crops(chosen.crops)
    jpeg, offset = pack_jpegs(shown)
    decoded = [unpack_jpeg(jpeg, offset, k) for k in range(len(shown))]
    with quiet_native_stderr():
        static = FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
        tracking = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
    meter = MouthMeter()
    timings = take_turns(
        {
            "MediaPipe alone": lambda: [static.process(crop) for crop in decoded],
            "MediaPipe alone, tracking": lambda: [tracking.process(crop) for crop in decoded],
            "ours": lambda: meter.areas([unpack_jpeg(jpeg, offset, k) for k in range(len(shown))]),
        },
        chosen.rounds,
    )
    alone, _, ours = timings.values()
    seen = int(np.isfinite(meter.areas(decoded)).sum())
    save(
        chosen,
        "mesh",
        "FaceMesh",
        [
            f"{len(shown)} crops of 256 px, a mesh found in {seen}, one process. {machine()}",
            "",
            *table(timings, len(shown), "crops"),
            "",
            f"- ours reaches **{alone.fastest_s / ours.fastest_s:.0%}** of MediaPipe alone, static as ours; "
            f"by processor time {min(alone.cores_s) / min(ours.cores_s):.0%}",
        ],
    )


if __name__ == "__main__":
    main()
