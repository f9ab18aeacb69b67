"""`valaro export-model`: a trained system as one folder to share, with its card."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages import __version__
from stages.core.artefacts import read_json, whole, write_json
from stages.core.errors import ValaroError
from stages.core.former_names import with_present_names
from stages.core.params import PARAMS_FILE
from stages.core.systems import FUSIONS, SYSTEMS
from stages.evaluation.margins import COVERAGE, FILE, to_json
from stages.evaluation.sureness import FOLDER, LANDMARKS, Interval
from stages.exports.card import PROTOCOLS, SYSTEM_OUTPUT, Card, render
from stages.exports.facts import part_of, pretraining_of, splits_of
from stages.exports.origins import Origin
from valaro.commands.terminal import note, result
from valaro.recordings.trained import Trained, find_trained

CARD, CONFIG = "README.md", "config.json"
PROVENANCE_FILE, SCORES = "models/fusion/provenance.json", "metrics/evaluate.json"
MARGINS = f"metrics/{FILE}"
PREPARED, FINISHED = ("decode", "faces"), ("smooth",)


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
    if trained.margin:
        write_json(folder / MARGINS, to_json({trained.system: trained.margin}))
    write_json(folder / CONFIG, config_of(trained))
    (folder / CARD).write_text(render(card), encoding="utf-8")


def config_of(trained: Trained) -> dict[str, Any]:
    """What a program must know of the folder."""
    interval = trained.interval
    return {
        **trained.facts(),
        "library": "valaro",
        "version": __version__,
        "outputs": ["valence", "arousal"],
        "range": [-1, 1],
        "rate": "every native frame",
        "fps_hz": trained.params.decode.fps_hz,
        "notice": trained.notice or None,
        "interval": trained.margin and {"coverage": COVERAGE, **trained.margin._asdict()},
        "adaptive_interval": interval
        and {"coverage": interval.coverage, "calibrated_on_recordings": interval.recordings},
    }


def card_of(trained: Trained) -> Card:
    """The card, filled from the run."""
    scores_file = trained.models.metrics("evaluate.json")
    evaluated = with_present_names(read_json(scores_file)) if scores_file.is_file() else {}
    found = evaluated.get("systems", {}).get(trained.system, {})
    origin = origin_of(trained)
    return Card(
        system=trained.system,
        parts=[part_of(trained.models, name, md5) for name, md5 in trained.models_md5.items()],
        corpus=trained.corpus,
        splits=splits_of(trained.models.root, trained.corpus),
        scores={protocol: found[protocol] for protocol in PROTOCOLS if protocol in found},
        confidence=evaluated.get("confidence", 0.95),
        params=_sections(trained),
        upstream=list(origin.upstream()),
        licence=origin.licence,
        base_models=origin.base_models,
        notice=trained.notice,
        version=__version__,
        output=(*SYSTEM_OUTPUT, *_sureness(trained.interval)),
    )


def _sureness(interval: Interval | None) -> Iterator[str]:
    """What the card says of the interval that follows the difficulty."""
    if interval is None:
        return
    yield ""
    known, landmarks = len(interval.landmarks), f"`models/{FOLDER}/{LANDMARKS}.safetensors`"
    yield f"Low and high of both: an interval that is to hold {interval.coverage:.0%} of the frames of new"
    yield f"recordings like the {interval.recordings} of validation that it was calibrated on, wide where the"
    yield "system is unsure. `--abstain WIDTH` leaves out frames whose interval is wider than WIDTH. To know"
    yield f"what is familiar, {landmarks} holds {known} embeddings of frames of training."


def _sections(trained: Trained) -> dict[str, Any]:
    """The parameters that made the system."""
    made = [section for system in trained.systems for section in SYSTEMS[system].sections]
    fused = ("fuse",) if trained.system in FUSIONS else ()
    weighed = ("intervals",) if trained.system in FUSIONS and FUSIONS[trained.system].by_width else ()
    content = trained.params.model_dump(mode="json")
    return {
        section: content[section]
        for section in dict.fromkeys([*PREPARED, *made, *FINISHED, *fused, *weighed])
    }


def origin_of(trained: Trained) -> Origin:
    """Where the system comes from."""
    params, systems = trained.params, [SYSTEMS[name] for name in trained.systems]
    sees, hears = any(system.sees for system in systems), any(system.hears for system in systems)
    return Origin(
        corpus=trained.corpus,
        faces=params.faces,
        voice=params.voice if hears else None,
        face_backbone=params.finetune.backbones[params.embed.backbone] if sees else None,
        audio_backbone=params.audio.backbone if hears else None,
        pretraining=pretraining_of(trained.models, params.embed.backbone) if sees else (),
    )
