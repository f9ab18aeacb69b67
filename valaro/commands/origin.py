"""Whether the figures in this repository are of the corpus and the parameters that are active now."""

from pathlib import Path

from stages.core.artefacts import read_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.params import PARAMS_FILE, load_params
from stages.core.profiles import active_profile, find_profiles
from stages.evaluation.upstream import PARAMS, flat
from valaro.runs import Stages, listed, locked_stages, newer_than

FIGURES = "metrics/evaluate.json"


def other_origin(workspace: Workspace) -> list[str]:
    """What makes the figures here others than those of the active parameters, a sentence each.

    Nothing where they belong together, or where that can't be known: without params.yaml or dvc.lock.
    """
    try:
        params = load_params(workspace.root / PARAMS_FILE)
    except ValaroError:
        return []
    stages = locked_stages(workspace.root)
    recorded = _recorded(stages)
    corpus, now = _corpus_of_figures(workspace, recorded), params.index.corpus
    if corpus and corpus != now:
        named = f"params.yaml{_profile(workspace.root)} now names {now}"
        return [f"these figures are of the corpus {corpus}; {named}: run `dvc repro`"]
    if newer := newer_than(stages, [FIGURES]):
        return [f"these figures are of an earlier run: {listed(newer)} ran since then: run `dvc repro`"]
    active = dict(flat(params.model_dump(mode="json")))
    changed = sorted(key for key, value in recorded.items() if key in active and active[key] != value)
    if not changed:
        return []
    return [
        f"these figures were made with other parameters than params.yaml{_profile(workspace.root)} holds now "
        f"({listed(changed)}): run `dvc repro`"
    ]


def _recorded(stages: Stages) -> dict[str, object]:
    """Every parameter as the stages were last run with it."""
    found: dict[str, object] = {}
    for stage in stages.values():
        found |= dict(flat((stage.get("params") or {}).get(PARAMS) or {}))
    return found


def _corpus_of_figures(workspace: Workspace, recorded: dict[str, object]) -> str | None:
    """Where the scored models learnt: as the fusion stage wrote it down, or the index, or dvc.lock."""
    for file, key in (
        (workspace.model("fusion/provenance.json"), "corpus"),
        (workspace.corpus_file, "source"),
    ):
        if file.is_file() and isinstance(found := read_json(file).get(key), str):
            return found
    found = recorded.get("index.corpus")
    return found if isinstance(found, str) else None


def _profile(root: Path) -> str:
    """The active profile in brackets; "" where params.yaml is edited, or there are none."""
    try:
        find_profiles(root)
    except ValaroError:
        return ""
    name = active_profile(root)
    return f" (profile {name})" if name else ""
