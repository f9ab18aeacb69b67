"""The few figures of a run that people compare, `metrics/scores.json`: what `dvc metrics diff` prints."""

from collections.abc import Mapping
from typing import Any

from stages.core.systems import SYSTEMS

PROTOCOLS = ("out_of_fold", "validation_grouped", "validation")
"""Of a system in evaluate.json, the most trustworthy one first: what its figure here comes from."""
DECIMALS = 4


def headline(scores: Mapping[str, Any]) -> dict[str, float]:
    """Eight figures of an evaluation: as many as `dvc exp show` can print in 160 columns.

    Args:
        scores: as evaluate.json holds them.

    Returns:
        valence, arousal, mean: CCC of the best system; optimism: its CCC as published minus out of
            fold; then every single system's mean CCC. Figures that don't exist are left out.
    """
    systems = scores["systems"]
    best = systems[scores["best"]]
    ccc = _figures(best)
    found = {target: figure["value"] for target, figure in ccc.items()}
    if "optimism" in best:
        found["optimism"] = best["optimism"]
    for name in SYSTEMS:
        if single := _figures(systems.get(name, {})):
            found[name] = single["mean"]["value"]
    return {name: round(float(value), DECIMALS) for name, value in found.items()}


def unscored(scores: Mapping[str, Any]) -> list[str]:
    """The systems and fusions without a score, since they predict no labelled recording of validation.

    Args:
        scores: as evaluate.json holds them.
    """
    measured = {"as_published", *PROTOCOLS}
    return [name for name, found in scores.get("systems", {}).items() if measured.isdisjoint(found)]


def _figures(protocols: Mapping[str, Any]) -> Mapping[str, Any]:
    """CCC under the most trustworthy protocol; {} where the system wasn't scored."""
    scored: Mapping[str, Any] = next((protocols[name] for name in PROTOCOLS if name in protocols), {})
    figures: Mapping[str, Any] = scored.get("ccc", {})
    return figures
