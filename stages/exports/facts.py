"""Facts of a model card that are read from files: weights, corpus, corpora of pre-training."""

from math import prod
from pathlib import Path

from stages.core.artefacts import read_header, read_json
from stages.core.corpus import FITTED_SPLITS, Workspace
from stages.engine.fingerprint import md5_of
from stages.exports.card import Part, Split

SECONDS_PER_HOUR = 3600


def part_of(models: Workspace, name: str, md5: str | None = None) -> Part:
    """Describe one file of weights.

    Args:
        models: workspace of the file.
        name: its path below `models/`.
        md5: its MD5, if known; None: compute it.

    Raises:
        BadInput: it is missing or damaged.
    """
    path = models.model(name)
    numbers = sum(prod(shape) for shape in read_header(path).shapes.values())
    return Part(f"models/{name}", numbers, md5 or md5_of(path))


def splits_of(root: Path, corpus: str) -> dict[str, Split]:
    """Split -> its size, from the index of the corpus; empty if there is no index of this corpus.

    Args:
        root: folder that has `data/index`.
        corpus: name of the corpus that the models were trained on.
    """
    workspace = Workspace(root)
    if not workspace.corpus_file.is_file():
        return {}
    content = read_json(workspace.corpus_file)
    if content.get("source") != corpus:
        return {}
    splits: dict[str, Split] = {}
    for name in FITTED_SPLITS:
        facts = [content["facts"][one["name"]] for one in content["subjects"] if one["split"] == name]
        hours = sum(fact["duration_s"] for fact in facts) / SECONDS_PER_HOUR
        splits[name] = Split(len(facts), hours, sum(fact["labelled_frames"] for fact in facts))
    return splits


def pretraining_of(models: Workspace, backbone: str) -> tuple[str, ...]:
    """The corpora that a static model was pre-trained on; empty without the metrics of pre-training."""
    figures = models.metrics(f"pretrain/{backbone}/metrics.json")
    return tuple(read_json(figures).get("corpora", {})) if figures.is_file() else ()
