"""Train the temporal model with several seeds: how much a figure varies by chance alone.

    python -m stages.seeds          (dvc repro seeds)

Reads   data/index/<subject>.h5, data/embeddings/<subject>.h5      as train_dynamic
Writes  metrics/seeds.json        mean CCC on validation of every seed, as published and out of fold; mean and
                                  standard deviation. Empty where evaluate.seeds is 1
Params  evaluate.seeds, dynamic, crossfit, smooth

Two systems whose figures differ by less than the spread over seeds can't be told apart: the
paper's rows 1 and 2, .574 and .591, come from one run each. The seeds are dynamic.optimisation.seed and those
that follow; the first is the run that goes on. (What the paired bootstrap of evaluate tells is another
uncertainty, that of the recordings.)
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_facts, read_json, write_json
from stages.core.corpus import Workspace
from stages.core.measures import merge_all, moments_per_target
from stages.core.notes import Note
from stages.core.params import DynamicParams, load_params
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.fusion.postprocessing import smooth_to_native
from stages.train_dynamic import train, unit_of


def train_seed(unit: Unit, settings: DynamicParams) -> list[Note]:
    """One seed's run, of which nothing but its figures is kept."""
    places = {role: unit.scratch / "run" / role for role in ("model", "plots", "metrics", "out_of_fold")}
    inner = replace(unit, writes=places, scratch=unit.scratch / "state")
    train(inner, settings)
    best = read_json(places["metrics"])["best"]
    published = (best["valence_ccc"]["value"] + best["arousal_ccc"]["value"]) / 2
    held_out = _out_of_fold(unit, places["out_of_fold"])
    write_json(unit.writes["figures"], {"as_published": published, "out_of_fold": held_out})
    return []


def _out_of_fold(unit: Unit, folder: Path) -> float | None:
    """Mean CCC of the out-of-fold predictions; None without folds."""
    parts = []
    for path in sorted(folder.glob("*.h5")):
        found, fold = read_arrays(path, "by_fold", "time_s"), read_facts(path)["fold"]
        index = read_arrays(unit.reads[f"index/{path.stem}"], "valence_arousal", "time_s")
        own = found["by_fold"][fold]
        trace = smooth_to_native(own, found["time_s"], index["time_s"], unit.facts["smooth_s"])
        parts.append(moments_per_target(index["valence_arousal"], trace))
    counted = [both for both in parts if both[0].count]
    if not counted:
        return None
    return float(np.mean([merge_all(column).ccc() for column in zip(*counted, strict=True)]))


def spread(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (of the sample) of every figure that all seeds have."""
    found: dict[str, Any] = {}
    for name in ("as_published", "out_of_fold"):
        values = [each[name] for each in figures if each[name] is not None]
        if len(values) > 1:
            found[name] = {"values": values, "mean": np.mean(values), "sd": np.std(values, ddof=1)}
    return found


def seeds() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    first = params.dynamic.optimisation.seed
    figures = []
    with Stage("seeds", workspace.folder("seeds")) as stage:
        wanted = range(first, first + params.evaluate.seeds) if params.evaluate.seeds > 1 else ()
        for seed in wanted:
            unit = unit_of(workspace, workspace.corpus(), params.crossfit)
            place = workspace.folder("seeds") / f"{seed}.json"
            facts = unit.facts | {"smooth_s": params.smooth.window_s}
            optimisation = params.dynamic.optimisation.model_copy(update={"seed": seed})
            own = params.dynamic.model_copy(update={"optimisation": optimisation})
            stage.run(train_seed, [Unit(f"seed {seed}", unit.reads, {"figures": place}, facts)], own, jobs=1)
            figures.append(read_json(place))
    write_json(workspace.metrics("seeds.json"), {"dynamic": spread(figures)})


if __name__ == "__main__":
    main("seeds")
