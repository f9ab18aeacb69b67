"""`valaro export-model`: a trained system as one folder to share, with its card."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages import __version__
from stages.audio.audio_backbone import PDEM, PDEM_LICENCE
from stages.commands.terminal import note, result
from stages.core.artefacts import read_json, whole, write_json
from stages.core.corpus import Workspace, is_sample
from stages.core.errors import ValaroError
from stages.core.params import PARAMS_FILE
from stages.core.systems import FUSIONS
from stages.core.weights import WEIGHTS
from stages.exports.card import PROTOCOLS, Card, Part, Split, Upstream, render
from stages.recordings.published import PROVENANCE
from stages.recordings.trained import Trained, find_trained

CARD, CONFIG = "README.md", "config.json"
PROVENANCE_FILE, SCORES = "models/fusion/provenance.json", "metrics/evaluate.json"
SECTIONS = {
    "dynamic": ("finetune", "embed", "dynamic"),
    "kelm": ("finetune", "embed", "kelm"),
    "audio": ("voice", "speech", "audio"),
    "cross_attention": ("cross_attention",),
}
"""Sections of the parameters that make each system."""
PREPARED, FINISHED = ("decode", "faces"), ("smooth",)
SECONDS_PER_HOUR = 3600


def export_model(out: Path, *, models: Path, system: str, force: bool = False) -> None:
    """Write weights, parameters, scores and card to a folder that `valaro predict --model` takes.

    Args:
        out: the folder; it appears whole or not at all.
        models: folder of trained models.
        system: a system, a fusion, or `best`.
        force: replace an earlier export.

    Raises:
        ValaroError: the system isn't complete, or `out` is there and no earlier export, or `force` isn't set.
    """
    trained = find_trained(models, system)
    _require_replaceable(out, force)
    card = card_of(trained)
    with whole(out) as partial:
        _write(partial, trained, card)
    for name in trained.models_md5:
        result(f"{out / 'models' / name}")
    result(f"{out / CARD}: {trained.system}, licence {card.licence}")
    for remark in filter(None, [*trained.notes, trained.notice]):
        note(f"note: {remark}")


def _require_replaceable(out: Path, force: bool) -> None:
    if not out.exists():
        return
    ours = {CARD, CONFIG, str(PARAMS_FILE), "models", "metrics"}
    foreign = [path.name for path in out.iterdir() if path.name not in ours] if out.is_dir() else [out.name]
    if foreign:
        problem = f"{out} holds what isn't of an earlier export: {sorted(foreign)[0]!r}"
        raise ValaroError(f"{problem}. Choose another --out.")
    if any(out.iterdir()) and not (force and (out / CONFIG).is_file()):
        raise ValaroError(f"{out} exists already. Use --force to replace it, or choose another --out.")


def _write(folder: Path, trained: Trained, card: Card) -> None:
    for name in trained.models_md5:
        target = folder / "models" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trained.models.model(name), target)
    (folder / PARAMS_FILE).write_bytes((trained.models.root / PARAMS_FILE).read_bytes())
    write_json(folder / PROVENANCE_FILE, {"corpus": trained.corpus})
    scores = {"best": trained.system, "confidence": card.confidence, "systems": {trained.system: card.scores}}
    write_json(folder / SCORES, scores)
    write_json(folder / CONFIG, config_of(trained))
    (folder / CARD).write_text(render(card), encoding="utf-8")


def config_of(trained: Trained) -> dict[str, Any]:
    """What a program must know of the folder."""
    return {
        **trained.facts(),
        "library": "valaro",
        "version": __version__,
        "outputs": ["valence", "arousal"],
        "range": [-1, 1],
        "rate": "every native frame",
        "fps_hz": trained.params.decode.fps_hz,
        "notice": trained.notice or None,
    }


def card_of(trained: Trained) -> Card:
    """The card, filled from the run."""
    scores_file = trained.models.metrics("evaluate.json")
    evaluated = read_json(scores_file) if scores_file.is_file() else {}
    found = evaluated.get("systems", {}).get(trained.system, {})
    return Card(
        system=trained.system,
        parts=[_part(trained, name, md5) for name, md5 in trained.models_md5.items()],
        corpus=trained.corpus,
        splits=_splits(trained),
        scores={protocol: found[protocol] for protocol in PROTOCOLS if protocol in found},
        confidence=evaluated.get("confidence", 0.95),
        params=_sections(trained),
        upstream=list(_upstream(trained)),
        licence=_licence(trained),
        base_models=[PDEM] if _uses_pdem(trained) else [],
        notice=trained.notice,
        version=__version__,
    )


def _part(trained: Trained, name: str, md5: str) -> Part:
    from math import prod

    from safetensors import safe_open

    with safe_open(trained.models.model(name), "numpy") as file:
        numbers = sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return Part(f"models/{name}", numbers, md5)


def _splits(trained: Trained) -> dict[str, Split]:
    """Size of the corpus's splits, where the index of the same corpus lies beside the models."""
    workspace = Workspace(trained.models.root)
    if not workspace.corpus_file.is_file():
        return {}
    content = read_json(workspace.corpus_file)
    if content.get("source") != trained.corpus:
        return {}
    splits: dict[str, Split] = {}
    for name in ("train", "validation"):
        facts = [content["facts"][one["name"]] for one in content["subjects"] if one["split"] == name]
        hours = sum(fact["duration_s"] for fact in facts) / SECONDS_PER_HOUR
        splits[name] = Split(len(facts), hours, sum(fact["labelled_frames"] for fact in facts))
    return splits


def _sections(trained: Trained) -> dict[str, Any]:
    """The parameters that made the system."""
    made = [section for system in trained.systems for section in SECTIONS[system]]
    fused = ("fuse",) if trained.system in FUSIONS else ()
    content = trained.params.model_dump(mode="json")
    return {section: content[section] for section in dict.fromkeys([*PREPARED, *made, *FINISHED, *fused])}


def _uses_pdem(trained: Trained) -> bool:
    return "audio" in trained.systems and trained.params.audio.backbone == PDEM


def _licence(trained: Trained) -> str:
    """The strictest of the terms that the weights come under."""
    if _uses_pdem(trained):
        return PDEM_LICENCE.lower()
    return "mit" if is_sample(trained.corpus) and not _starts_elsewhere(trained) else "other"


def _starts_elsewhere(trained: Trained) -> bool:
    """Whether the face backbone began with published weights."""
    backbone = trained.params.finetune.backbones[trained.params.embed.backbone]
    return bool({"dynamic", "kelm"} & set(trained.systems)) and backbone.weights is not None


def _upstream(trained: Trained) -> Iterator[Upstream]:
    params = trained.params
    if is_sample(trained.corpus):
        yield Upstream(trained.corpus, "public domain (drawn from a NASA portrait)", "labels and pictures")
    elif trained.corpus == PROVENANCE:
        yield Upstream(trained.corpus, "their authors'", "the weights")
    else:
        yield Upstream(trained.corpus, "its organisers': research only, by agreement", "labels and videos")
    if _uses_pdem(trained):
        yield Upstream(PDEM, f"{PDEM_LICENCE}: no commercial use", "audio backbone, in the weights")
    if {"dynamic", "kelm"} & set(trained.systems):
        described = params.finetune.backbones[params.embed.backbone]
        if described.weights is not None:
            terms = (
                "MIT; COCO"
                if described.architecture == "pose_hrnet"
                else "Apache-2.0; ImageNet: research only"
            )
            yield Upstream(f"{described.architecture}, pre-trained", terms, "face backbone, in the weights")
    if params.faces.detector == "retinaface":
        yield Upstream(
            WEIGHTS["retinaface"].source, WEIGHTS["retinaface"].licence, "face detector, not in here"
        )
    if params.voice.backend.startswith("spleeter") and "audio" in trained.systems:
        spleeter = WEIGHTS[f"spleeter_{params.voice.spleeter_model}"]
        yield Upstream(spleeter.source, spleeter.licence, "separation of the voice, not in here")
    yield Upstream("MediaPipe", "Apache-2.0", "landmarks of the mouth, not in here")
