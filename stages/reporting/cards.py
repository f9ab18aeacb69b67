"""A model card for every model of the run, from the results of its stages and the evaluation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages import __version__
from stages.core.artefacts import read_json, whole
from stages.core.corpus import Workspace, is_sample
from stages.exports.card import PROTOCOLS, Card, code, render
from stages.exports.facts import part_of, pretraining_of, splits_of
from stages.exports.origins import SAMPLE_NOTICE, Origin
from stages.reporting.inventory import Made, Model, models_of

CARDS = "models"
"""Their folder in that of the report; names in it follow those of the weights in `models/`."""
PRETRAINED = "pretrained_static"
SELECTED_BY = {"static": "embed.backbone", "kelm": "kelm.functionals", "audio": "audio.version"}
"""Kind of model -> the parameter that selects the one that later stages use."""
SHARED = ("backbones", "dropout", "tanh_output")
"""Keys of the section `finetune` that pre-training uses."""


def write_cards(folder: Path, workspace: Workspace, made: Made) -> None:
    """Write every card, `<folder>/<name>.md`; earlier content of the folder is removed.

    Args:
        folder: folder of the cards.
        workspace: models, metrics and index of the run.
        made: parameters of the run.
    """
    with whole(folder) as partial:
        for model in models_of(workspace, made):
            path = partial / f"{model.name}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(card_of(model, workspace, made)), encoding="utf-8")


def cards_in(folder: Path) -> dict[str, Path]:
    """Name -> card, for the cards in a folder of `write_cards`."""
    found = sorted(folder.rglob("*.md"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def card_of(model: Model, workspace: Workspace, made: Made) -> Card:
    """The card of one model."""
    corpus = read_json(workspace.corpus_file)["source"]
    evaluated = read_json(workspace.metrics("evaluate.json"))
    scores = evaluated["systems"].get(model.system, {})
    pretrained = model.name.startswith(f"{PRETRAINED}/")  # on other corpora than that of the run
    origin = _origin(model, "" if pretrained else corpus, workspace, made)
    return Card(
        system=model.name,
        parts=[part_of(workspace, name) for name in model.files],
        corpus=corpus,
        splits={} if pretrained else splits_of(workspace.root, corpus),
        scores={protocol: scores[protocol] for protocol in PROTOCOLS if protocol in scores},
        confidence=evaluated["confidence"],
        params=_parameters(model, made),
        upstream=list(origin.upstream()),
        licence=origin.licence,
        base_models=origin.base_models,
        notice=SAMPLE_NOTICE if is_sample(corpus) and not pretrained else "",
        version=__version__,
        learnt=model.learnt.format(corpus=code(corpus)),
        seen=model.seen,
        measured=model.measured,
        chosen=model.chosen,
        use=[*_use(model)],
        output=model.output,
        task=model.task,
        complete=False,
    )


def _origin(model: Model, corpus: str, workspace: Workspace, made: Made) -> Origin:
    return Origin(
        corpus=corpus,
        faces=made.faces,
        voice=made.voice if model.hears else None,
        face_backbone=made.finetune.backbones[model.sees] if model.sees else None,
        audio_backbone=made.audio.backbone if model.hears else None,
        pretraining=pretraining_of(workspace, model.sees) if model.sees else (),
        within=model.within,
        mouth=model.hears,
    )


def _parameters(model: Model, made: Made) -> dict[str, Any]:
    """The sections of parameters of one model, without the alternatives that were compared."""
    content = {section: getattr(made, section).model_dump(mode="json") for section in model.sections}
    kind, _, variant = model.name.partition("/")
    for compared in content.keys() & {"finetune", "kelm", "audio"}:
        del content[compared]["compare"]
    if "finetune" in content:
        content["finetune"]["backbones"] = {model.sees: content["finetune"]["backbones"][model.sees]}
    if kind == PRETRAINED:
        content["finetune"] = {name: content["finetune"][name] for name in SHARED}
    if kind == "kelm":
        content["kelm"]["functionals"] = variant
    if "audio" in content:
        version = variant if kind == "audio" else made.audio.version
        versions = {version: content["audio"]["versions"][version]}
        content["audio"] |= {"version": version, "versions": versions}
    return content


def _use(model: Model) -> Iterator[str]:
    kind, _, variant = model.name.partition("/")
    if model.system:
        yield f"`valaro export-model --system {model.system} --out FOLDER` exports it with all it needs;"
        yield "`valaro predict VIDEO --model FOLDER --out traces` applies it."
    elif kind == PRETRAINED:
        yield f"The stage `finetune` trains `static/{variant}` from it."
    else:
        yield f"Later stages use it if `{SELECTED_BY[kind]}` in `params.yaml` is `{variant}`."
