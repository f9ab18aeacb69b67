"""Embeddings: from JPEG crops to numbers, against the bare forward pass on random images.

    python benchmarks/embedding.py [--architecture efficientnet_b1] [--size 240] [--images 96]
                                   [--device cuda --precision fp16 --compile 1 --batch 256 --images 4096]

Both use the same model in the same batches, precision and, on a GPU, compiled form; the bare pass starts from
tensors on the device. Peak memory is that of all.
"""

import numpy as np
import torch
from measure import arguments, machine, save, synchronise, table, take_turns
from mesh import crops

from stages.engine.runlog import peak_mb
from stages.media.jpeg import pack_jpegs
from stages.media.pictures import KeptPictures
from stages.vision.embedding import HALF, TorchNetwork, embed_track
from stages.vision.static_model import StaticModel
from stages.vision.views import View


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(
        __doc__,
        architecture="efficientnet_b1",
        size=240,
        images=96,
        batch=16,
        rounds=3,
        precision="no",
        compile=0,
    )
    on_gpu = chosen.device != "cpu"
    if not on_gpu and (chosen.precision != "no" or chosen.compile):
        raise SystemExit("--precision and --compile are for a GPU: add --device cuda")
    torch.manual_seed(0)
    model = StaticModel(chosen.architecture, image_size=chosen.size).eval().to(chosen.device)
    if chosen.compile:
        model.compile()
    jpeg, offset = pack_jpegs(crops(chosen.images))
    view = View(np.arange(chosen.images), None)
    noise = torch.randint(0, 256, (chosen.batch, 3, chosen.size, chosen.size), dtype=torch.uint8)
    noise = noise.to(chosen.device)
    passes = -(-chosen.images // chosen.batch)

    @torch.no_grad()
    def bare() -> None:
        half = getattr(torch, HALF[chosen.precision]) if chosen.precision in HALF else None
        for _ in range(passes):
            with torch.autocast("cuda" if on_gpu else "cpu", half, enabled=half is not None):
                model(noise)

    timings = take_turns(
        {
            "bare forward pass": bare,
            "ours": lambda: embed_track(
                TorchNetwork(model, chosen.precision), KeptPictures(jpeg, offset), view, chosen.batch
            ),
        },
        chosen.rounds,
        synchronise(chosen.device),
    )
    limit, ours = timings.values()
    share = (limit.fastest_s / passes / chosen.batch) / (ours.fastest_s / chosen.images)
    effort = min(limit.cores_s) / passes / chosen.batch / (min(ours.cores_s) / chosen.images)
    save(
        chosen,
        "embedding",
        "Embeddings",
        [
            f"{chosen.architecture} at {chosen.size} px, {chosen.images} crops of 256 px, batches of "
            f"{chosen.batch}, {'float32' if chosen.precision == 'no' else chosen.precision}"
            f"{', compiled' if chosen.compile else ''}; "
            f"peak memory {peak_mb():.0f} MB. {machine(chosen.device)}",
            "",
            *table(timings, chosen.images, "images"),
            "",
            f"- ours reaches **{share:.0%}** of the bare forward pass; by processor time {effort:.0%}",
        ],
    )


if __name__ == "__main__":
    main()
