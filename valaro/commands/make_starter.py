"""Make `valaro/starter/` of the model that the stage `pretrain` left under profile ferplus.

    valaro profile ferplus && dvc repro pretrain && python -m valaro.commands.make_starter

Halves the precision, calibrates the interval on FER+'s validation part (as it is, and scaled down), measures
the result on the test part, and writes a folder as `valaro export-model` does, with its card. For
maintainers.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages import __version__
from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_config, read_json, whole, write_json
from stages.core.measures import ccc_per_target
from stages.core.params import load_params
from stages.corpora.emotion_scores import emotion_scores
from stages.corpora.labelled_faces import LabelledFaces, gathered
from stages.corpora.table import EMOTIONS, NO_EMOTION
from stages.engine.fingerprint import md5_of
from stages.vision.doubt import COVERAGE, FULL_PX, Doubt, Seen, features_of, fit_doubt, halvings
from valaro.recordings.starter import STARTER_NOTICE, STARTER_SYSTEM

CORPUS, NAME = "FER+", "starter"
SIDES_PX = (48, 36, 24, 18, 12)
"""To which pictures of 48 px are scaled down, and up again: faces in FULL_PX x side / 48."""
EVERY = 3
"""Of scaled pictures every third is enough."""
FILE = f"static/{NAME}.safetensors"


class Answers(NamedTuple):
    """The model's output for some pictures, and their labels."""

    embedding: Floats
    valence_arousal: Floats
    logits: Floats
    truth: Floats
    emotion: Integers

    def of(self, chosen: Flags) -> "Answers":
        """Of some of the pictures."""
        return Answers(
            self.embedding[chosen],
            self.valence_arousal[chosen],
            self.logits[chosen],
            self.truth[chosen],
            self.emotion[chosen],
        )


def make_starter(root: Path, out: Path) -> dict[str, Any]:
    """Write the folder; the figures that stand in its card.

    Args:
        root: the repository in which the stages gather and pretrain ran.
        out: the folder, replaced.
    """
    from stages.training.checkpoints import load_model, save_state
    from stages.vision.architectures import build_static

    source = root / "models" / "pretrained_static" / f"{NAME}.safetensors"
    config = read_config(source) | {"mirror": True}
    state = load_model(source, build_static).state_dict()
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    shards = sorted((root / "data" / "gather" / "ferplus").glob("*.h5"))
    faces = gathered({"ferplus": shards}, 0.2, 0, derive_valence_arousal=True)
    with whole(out) as partial:
        model_file = partial / "models" / FILE
        save_state(model_file, halved, config)
        model = load_model(model_file, build_static)
        doubt = _calibrate(model, faces)
        save_state(model_file, halved, config | {"doubt": doubt})
        figures = _figures(model, faces, doubt)
        figures |= _training(root, out, partial) | {"weights": _size(model, model_file)}
        _write_beside(partial, root, figures, md5_of(model_file))
    return figures


def _answers(model: Any, faces: LabelledFaces, chosen: Flags, side_px: int) -> Answers:
    """Of pictures that were scaled down to side_px and up again."""
    import torch
    from torch.nn import functional as F  # noqa: N812  (its customary name)

    from stages.vision.batches import scoring_batches
    from stages.vision.cached_images import CachedImages

    size_px = model.image_size
    rows = (faces.file_index[chosen], faces.crop_index[chosen], faces.target[chosen])
    said: list[Any] = []
    for batch in scoring_batches(CachedImages(faces.files, *rows, size_px, True), 256):
        image = batch.image.float()
        if side_px < size_px:
            small = F.interpolate(image, (side_px, side_px), mode="area")
            image = F.interpolate(small, (size_px, size_px), mode="bilinear", align_corners=False)
        with torch.no_grad():
            said.append([part.numpy() for part in model(image.round().to(torch.uint8))])
    embedding, valence_arousal, logits = (np.concatenate(parts) for parts in zip(*said, strict=True))
    target = faces.target[chosen]
    return Answers(embedding, valence_arousal, logits, target[:, :2], target[:, 2].astype(int))


def _thinned(chosen: Flags) -> Flags:
    """Every third of them."""
    thinned = np.zeros(len(chosen), bool)
    thinned[np.flatnonzero(chosen)[::EVERY]] = True
    return thinned


def _calibrate(model: Any, faces: LabelledFaces) -> dict[str, Any]:
    """The interval, for the header: regression on half of the validation pictures, factor on the others."""
    rated = faces.of("validation") & ~np.isnan(faces.target[:, 0])
    features, errors, held_out = [], [], []
    half = np.random.default_rng(0).random(len(rated)) < 0.5
    for side_px in SIDES_PX:
        chosen = rated if side_px == SIDES_PX[0] else _thinned(rated)
        said = _answers(model, faces, chosen, side_px)
        small = np.full(len(said.truth), halvings(np.array([FULL_PX * side_px / SIDES_PX[0]]))[0])
        features.append(features_of(said.logits, said.valence_arousal, small))
        errors.append(np.abs(said.truth - said.valence_arousal))
        held_out.append(half[chosen])
    coefficients, factor = fit_doubt(*(np.concatenate(part) for part in (features, errors, held_out)))
    return {"coefficients": coefficients.round(5).tolist(), "factor": factor.round(5).tolist()}


def _figures(model: Any, faces: LabelledFaces, doubt: Mapping[str, Any]) -> dict[str, Any]:
    """On the test part: all of it, without copies, by emotion, by size; and how often the interval holds."""
    official = faces.of("test")
    emotion = model.head.emotion
    interval = Doubt(
        np.array(doubt["coefficients"]),
        np.array(doubt["factor"]),
        emotion.weight.detach().numpy(),
        emotion.bias.detach().numpy(),
    )
    found: dict[str, Any] = {"by_size": {}}
    for side_px in SIDES_PX:
        said = _answers(model, faces, official if side_px == SIDES_PX[0] else _thinned(official), side_px)
        face_px = FULL_PX * side_px / SIDES_PX[0]
        plain = np.ones(len(said.truth))  # to the detector, and nobody turned
        seen = Seen(np.array([0.0, 0.0, face_px, face_px]) * plain[:, None], plain, 0 * plain, (0.5, 1.0))
        half = interval.half_width(said.embedding, said.valence_arousal, seen)
        rated = ~np.isnan(said.truth[:, 0])
        inside = np.abs(said.truth - said.valence_arousal)[rated] <= half[rated]
        covered = {"covered": inside.mean(axis=0).tolist(), "half_width": half.mean(axis=0).tolist()}
        found["by_size"][str(round(face_px))] = _scores(said) | covered
        if side_px == SIDES_PX[0]:
            clean = ~faces.repeated[official]
            found |= {"official": _scores(said), "by_emotion": _by_emotion(said)}
            found["without_copies"] = _scores(said.of(clean))
    return found


def _scores(said: Answers) -> dict[str, Any]:
    rated, named = ~np.isnan(said.truth[:, 0]), said.emotion != NO_EMOTION
    ccc = ccc_per_target(said.truth[rated], said.valence_arousal[rated])
    emotions = emotion_scores(said.emotion[named], said.logits[named].argmax(axis=1))
    counts = {"rated": int(rated.sum()), "named": int(named.sum())}
    return emotions | {"valence_ccc": float(ccc[0]), "arousal_ccc": float(ccc[1])} | counts


def _by_emotion(said: Answers) -> dict[str, dict[str, float]]:
    """Recall and precision of each, and how many pictures have it."""
    named = said.emotion != NO_EMOTION
    truth, chosen = said.emotion[named], said.logits[named].argmax(axis=1)
    found: dict[str, dict[str, float]] = {}
    for k, name in enumerate(EMOTIONS):
        hits, true, claimed = int(((truth == k) & (chosen == k)).sum()), truth == k, chosen == k
        found[name] = {
            "pictures": int(true.sum()),
            "recall": hits / max(int(true.sum()), 1),
            "precision": hits / max(int(claimed.sum()), 1),
        }
    return found


def _training(root: Path, before: Path, folder: Path) -> dict[str, Any]:
    """What the training says of itself; of one that went on from the starter there is, that one's too.

    Copies the curves: of the last training into metrics/plots, of the one before into metrics/first_plots.
    """
    trained = read_json(root / "metrics" / "pretrain" / NAME / "metrics.json")
    plots = root / "metrics" / "pretrain" / NAME / "plots"
    shutil.copytree(plots, folder / "metrics" / "plots")
    params = load_params(root / "params.yaml").pretrain
    if params.start is None:
        return {"training": trained}
    shutil.copytree(before / "metrics" / "plots", folder / "metrics" / "first_plots")
    first = read_json(before / "metrics" / "ferplus.json")["training"]
    profile = load_params(root / "profiles" / "ferplus.yaml").pretrain
    changed = differences(profile.model_dump(mode="json"), params.model_dump(mode="json"))
    return {"training": trained | {"changed": changed}, "first_training": first}


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "pretrain"
) -> dict[str, Any]:
    """Every key whose value another one has, dotted, with the new value.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    {'pretrain.a.c': 3}
    """
    found: dict[str, Any] = {}
    for key, value in after.items():
        if isinstance(value, dict) and isinstance(before[key], dict):
            found |= differences(before[key], value, f"{prefix}.{key}")
        elif value != before[key]:
            found[f"{prefix}.{key}"] = value
    return found


def _size(model: Any, file: Path) -> dict[str, int]:
    return {"parameters": sum(part.numel() for part in model.parameters()), "bytes": file.stat().st_size}


def _write_beside(folder: Path, root: Path, figures: dict[str, Any], md5: str) -> None:
    profile = (root / "profiles" / "ferplus.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(starter_params(profile), encoding="utf-8")
    write_json(folder / "models" / "fusion" / "provenance.json", {"corpus": CORPUS, "notice": STARTER_NOTICE})
    write_json(
        folder / "metrics" / "evaluate.json", {"best": STARTER_SYSTEM, "confidence": 0.95, "systems": {}}
    )
    write_json(folder / "metrics" / "ferplus.json", figures)
    config = {
        "system": STARTER_SYSTEM,
        "trained_on": CORPUS,
        "models_md5": {FILE: md5},
        "library": "valaro",
        "version": __version__,
        "outputs": ["valence", "arousal"],
        "range": [-1, 1],
        "notice": STARTER_NOTICE,
        "interval": {"coverage": COVERAGE, "calibrated_on": "FER+ validation, as it is and scaled down"},
    }
    write_json(folder / "config.json", config)
    from valaro.commands.starter_card import render_card

    (folder / "README.md").write_text(render_card(figures), encoding="utf-8")


def starter_params(profile: str) -> str:
    """The parameters of the starter: profile ferplus, but for what faces it looks for, and the corpus' name.

    Still pictures come cut out; a film's faces may be near or far, or turned away.
    """
    for before, after in (
        ("  corpus: data/sample/corpus", f"  corpus: {CORPUS}"),
        (
            "  detector: blazeface_short                 # ships with MediaPipe",
            "  detector: centerface_or_blazeface         # small, turned and close faces",
        ),
    ):
        profile, count = re.subn(rf"(?m)^{before}", after, profile)
        if count != 1:
            raise ValueError(f"profiles/ferplus.yaml: wanted one line that begins with {before.strip()}")
    return profile


if __name__ == "__main__":
    print(json.dumps(make_starter(Path(), Path("valaro/starter")), indent=1))
