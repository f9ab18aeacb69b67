"""Face detection: the published loop, one frame at a time, against what the stage `faces` does.

    python benchmarks/detection.py [--frames 64] [--rounds 3] [--device cuda --batch 32 --frames 4096]

Both find faces in the same 640 x 480 frames, from JPEG bytes to boxes, with the same RetinaFace weights. The
loop is that of the usual PyTorch RetinaFace: separate batch norms, anchors computed anew for every frame, all
of them decoded. Ours runs two ways: as `valaro predict` (one process), and as the stage (a process per core,
one thread each). The last line is the largest difference of the boxes and scores.
"""

from functools import cache, partial
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import arguments, machine, save, synchronise, table, take_turns
from skimage import data

from stages.core.weights import find_weights
from stages.engine.mapping import cores, map_units
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.media.pictures import KeptPictures
from stages.vision.retinaface import RetinaFace, suppress_overlaps
from stages.vision.retinaface_anchors import ANCHORS_PX, STRIDES
from stages.vision.retinaface_net import BGR_MEAN, RetinaFaceNet
from stages.vision.search import detect_frames

HEIGHT, WIDTH = 480, 640
THRESHOLD, OVERLAP = 0.8, 0.4


def frames(count: int) -> list[np.ndarray]:
    """A portrait that wanders over a wall and changes its size."""
    import cv2

    portrait, shown = data.astronaut(), []
    for k in range(count):
        side = 300 + 20 * (k % 8)
        frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        x = 5 + (37 * k) % (WIDTH - side - 10)
        frame[40 : 40 + min(side, HEIGHT - 40), x : x + side] = cv2.resize(portrait, (side, side))[
            : HEIGHT - 40
        ]
        shown.append(frame)
    return shown


class PublishedLoop:
    """One frame after the other, as the usual implementation does it."""

    def __init__(self, weights: Path, device: str) -> None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.net = RetinaFaceNet()
        self.net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
        self.net.eval().to(device)
        self.device = device

    @torch.no_grad()
    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (F, 4) and scores (F,)."""
        frame = np.float32(image[:, :, ::-1]) - BGR_MEAN
        batch = torch.from_numpy(frame.transpose(2, 0, 1)).float().unsqueeze(0).to(self.device)
        logits, boxes, landmarks = self.net(batch)
        height, width = image.shape[:2]
        anchors = torch.tensor(list(_anchors(height, width))).to(self.device)
        scale = torch.tensor([width, height] * 2).to(self.device)
        centre = anchors[:, :2] + boxes[0, :, :2] * 0.1 * anchors[:, 2:]
        size = anchors[:, 2:] * torch.exp(boxes[0, :, 2:] * 0.2)
        box_xyxy = (torch.cat([centre - size / 2, centre + size / 2], 1) * scale).cpu().numpy()
        moved = [anchors[:, :2] + landmarks[0, :, 2 * k : 2 * k + 2] * 0.1 * anchors[:, 2:] for k in range(5)]
        assert (
            torch.cat(moved, 1).cpu().numpy().shape[1] == 10
        )  # the loop decodes the landmarks of all anchors
        score = torch.stack([-logits[0] / 2, logits[0] / 2], 1).softmax(1)[:, 1].cpu().numpy()
        likely = np.flatnonzero(score > 0.02)
        likely = likely[np.argsort(-score[likely], kind="stable")][:5000]
        kept = likely[suppress_overlaps(box_xyxy[likely], OVERLAP)][:750]
        kept = kept[score[kept] >= THRESHOLD]
        return box_xyxy[kept], score[kept]


def _anchors(height: int, width: int) -> Any:
    for stride, sides in zip(STRIDES, ANCHORS_PX, strict=True):
        for i, j in product(range(ceil(height / stride)), range(ceil(width / stride))):
            for side in sides:
                yield (j + 0.5) * stride / width, (i + 0.5) * stride / height, side / width, side / height


@cache
def detector(weights: Path, device: str, batch: int) -> RetinaFace:
    """Ours; one per process."""
    return RetinaFace(weights, device, THRESHOLD, OVERLAP, batch)


def detect_portion(weights: Path, device: str, batch: int, packed: Path, steps: range) -> list[Any]:
    """What a worker of the stage does with one video."""
    blob = np.load(packed)
    ours = detector(weights, device, batch)
    searched = detect_frames(ours, device, KeptPictures(blob["jpeg"], blob["offset"]), steps, batch)
    return [faces for _, faces in searched]


def main() -> None:
    """Compare, print, and keep."""
    import tempfile

    chosen = arguments(__doc__, frames=64, rounds=3, batch=4, weights="models/pretrained")
    weights = find_weights("retinaface", Path(chosen.weights))
    jpeg, offset = pack_jpegs(frames(chosen.frames))
    packed = Path(tempfile.mkdtemp()) / "frames.npz"
    np.savez(packed, jpeg=jpeg, offset=offset)
    loop = PublishedLoop(weights, chosen.device)
    jobs = 1 if chosen.device != "cpu" else cores()
    share = ceil(chosen.frames / jobs / 2)
    portions = [range(k, min(k + share, chosen.frames)) for k in range(0, chosen.frames, share)]
    ours = partial(detect_portion, weights, chosen.device, chosen.batch, packed)
    timings = take_turns(
        {
            "published loop": lambda: [
                loop.detect(unpack_jpeg(jpeg, offset, k)) for k in range(chosen.frames)
            ],
            "ours, one process": lambda: ours(range(chosen.frames)),
            f"ours, as the stage: {jobs} process(es)": lambda: list(map_units(ours, portions, jobs)),
        },
        chosen.rounds,
        synchronise(chosen.device),
    )
    theirs = [loop.detect(unpack_jpeg(jpeg, offset, k)) for k in range(chosen.frames)]
    found = ours(range(chosen.frames))
    assert all(len(a[1]) == len(b) for a, b in zip(theirs, found, strict=True)), "other faces"
    boxes = max(np.abs(a[0] - b.box_xyxy).max() for a, b in zip(theirs, found, strict=True) if len(b))
    scores = max(np.abs(a[1] - b.score).max() for a, b in zip(theirs, found, strict=True) if len(b))
    published, *both = timings.values()
    ratio = [published.fastest_s / way.fastest_s for way in both]
    effort = min(published.cores_s) / min(both[0].cores_s)
    save(
        chosen,
        "detection",
        "Face detection",
        [
            f"RetinaFace (MobileNet-0.25), {WIDTH} x {HEIGHT}, {chosen.frames} frames, JPEG bytes to boxes, "
            f"batches of {chosen.batch}. {machine(chosen.device)}",
            "",
            *table(timings, chosen.frames, "frames"),
            "",
            f"- ours against the published loop: **{ratio[0]:.2f} x** in one process, "
            f"**{ratio[1]:.2f} x** as the stage; by processor time in one process {effort:.2f} x",
            f"- {sum(map(len, found))} faces in both; they differ by {boxes:.1e} px, {scores:.1e} of score",
        ],
    )


if __name__ == "__main__":
    import detection  # under its own name: `__main__` is something else in a worker process

    detection.main()
