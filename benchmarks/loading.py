"""Images for training: a crop's JPEG to an augmented square, against decoding it.

    python benchmarks/loading.py [--crops 60] [--rounds 3]

What a process that reads images beside a GPU does: decode, letterbox, augment as profiles/affwild2.yaml says.
One thread. A row of random forests' growth is here too, for `valaro plan`.
"""

import cv2
import numpy as np
import torch
from corpus import CHECKOUT
from measure import arguments, machine, save, table, take_turns
from skimage import data

from stages.core.params import load_params
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.vision.augmentation import build_augmentation
from stages.vision.crops import shown

SIZES = (224, 240, 380)
ROWS, TREES = 20_000, 5


def grow() -> None:
    """A small forest of the kind that fusion grows: six traces, leaves of a row."""
    from sklearn.ensemble import RandomForestRegressor

    draw = np.random.default_rng(0)
    stack = draw.normal(size=(ROWS, 6))
    RandomForestRegressor(TREES, n_jobs=1, random_state=0).fit(stack, stack[:, 0] + draw.normal(size=ROWS))


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, crops=60, rounds=3)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    crop = cv2.resize(data.astronaut()[:400, :400], (300, 360))
    jpeg, offset = pack_jpegs([crop] * chosen.crops)
    settings = load_params(CHECKOUT / "profiles/affwild2.yaml").finetune.augmentation
    augment = build_augmentation(settings.names, settings.probability)

    def load(size: int) -> None:
        for k in range(chosen.crops):
            torch.manual_seed(k)
            picture = shown(unpack_jpeg(jpeg, offset, k), None, size)
            augment(torch.from_numpy(picture).permute(2, 0, 1))

    timings = take_turns(
        {
            "decoding alone": lambda: [unpack_jpeg(jpeg, offset, k) for k in range(chosen.crops)],
            **{f"ours, {size} px": lambda size=size: load(size) for size in SIZES},  # type: ignore[misc]
        },
        chosen.rounds,
    )
    forest = take_turns({"forest": grow}, chosen.rounds)["forest"]
    slowest = timings[f"ours, {SIZES[-1]} px"].fastest_s / timings["decoding alone"].fastest_s
    save(
        chosen,
        "loading",
        "Images for training",
        [
            f"{chosen.crops} crops of 300 x 360 px, {len(jpeg) // chosen.crops:,} bytes each, one thread. "
            f"{machine()}",
            "",
            *table(timings, chosen.crops, "images"),
            "",
            f"- **{slowest:.1f} x** decoding alone, at {SIZES[-1]} px",
            f"- a row of a tree of a random forest takes {min(forest.cores_s) / ROWS / TREES * 1e6:.1f} µs",
        ],
    )


if __name__ == "__main__":
    main()
