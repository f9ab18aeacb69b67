"""The paper's tables 2 to 6: ours beside the published values.

    python -m stages.tables          (dvc repro tables)

Reads   data/index/corpus.json                              which corpus it is
        metrics/audio/<version>/metrics.json                table 2
        metrics/finetune/<backbone>/{metrics.json,plots}    table 3, the epoch best by the mean RMSE
        metrics/kelm/<functionals>.json                     table 4
        metrics/evaluate.json                               table 5, and the HRNet figures of section 5
Writes  metrics/tables/table_<2 to 6>.{csv,md}
Params  audio.compare, audio.version, finetune.compare, finetune.backbones, kelm.compare, embed.backbone

A row stands beside the paper's if it is the same thing: the version, the architecture, the functionals, the
system. Others are rows of their own. Every system has the paper's protocol (picked and scored on all of
validation), the out-of-fold figure with its interval, and the difference, its optimism.
"""

import csv
from pathlib import Path
from typing import Any

from stages.core.artefacts import read_json, whole
from stages.core.corpus import Workspace, is_sample
from stages.core.measures import SCORED
from stages.core.optimisation import OptimSettings
from stages.core.params import (
    AudioParams,
    BackboneParams,
    EmbedParams,
    FinetuneParams,
    KelmParams,
    load_params,
)
from stages.core.systems import FUSIONS, SYSTEMS
from stages.engine.stage import Stage, main
from stages.evaluation import published
from stages.evaluation.headline import unscored
from stages.evaluation.published import Published
from stages.evaluation.tables import ABSENT, Cell, Table

POSE = "pose_hrnet"
SAMPLE_MARK = "sample corpus: generated faces and voices; says nothing about people"
OURS_AND_THEIRS = ["valence", "arousal", "mean", "paper_valence", "paper_arousal", "paper_mean"]


def audio_table(metrics: Path, settings: AudioParams, mark: str) -> Table:
    """Table 2: the versions over gated windows."""
    rows: list[list[Cell]] = []
    untrained = []
    for version in settings.compare:
        figures = _json(metrics / "audio" / version / "metrics.json")
        found = figures.get("speaking_window_ccc", {})
        theirs = published.AUDIO[version]
        rows.append([theirs.name, version, *(found.get(target) for target in SCORED), *_figures(theirs)])
        if "reason" in figures:
            untrained.append(f"{version} isn't trained: {figures['reason']}.")
    notes = (
        "CCC over 4 s windows of speaking, labelled time, each window by itself (`speaking_window_ccc`).",
        f"Not comparable with table 5: there `audio` ({settings.version}) is scored over whole videos, "
        "silence included.",
        "Early stopping has seen validation.",
        *untrained,
    )
    columns = ["model", "version", *OURS_AND_THEIRS]
    return Table("Table 2: audio models, validation CCC", columns, rows, notes, mark)


def static_table(metrics: Path, settings: FinetuneParams, mark: str) -> Table:
    """Table 3: the static models over single images."""
    rows: list[list[Cell]] = []
    for backbone in settings.compare:
        described = settings.backbones[backbone]
        architecture = described.architecture
        theirs = published.STATIC.get(architecture) if as_published(described) else None
        ours = at_best_epoch(metrics / "finetune" / backbone, "mean_rmse", "valence_rmse", "arousal_rmse")
        name = theirs.name if theirs else architecture
        how = [backbone, described.input, *techniques(architecture, settings.optimisation)]
        rows.append([name, *how, *ours, *_figures(theirs)])
    notes = (
        "RMSE over labelled grid frames, at the epoch best by the mean. Lower is better.",
        "DL: discriminative learning, GU: gradual unfreezing, in this run of ours. The paper's best is + + "
        "for each of its models; HRNet's trunk is frozen, so that neither applies.",
        "Early stopping has seen validation.",
    )
    columns = ["model", "backbone", "input", "DL", "GU", *OURS_AND_THEIRS]
    return Table("Table 3: static models, validation RMSE", columns, rows, notes, mark, decimals=4)


def as_published(described: BackboneParams) -> bool:
    """Whether a backbone is the architecture itself; with options (narrower, say) it is another one."""
    return not described.options


def techniques(architecture: str, settings: OptimSettings) -> list[Cell]:
    """Discriminative learning and gradual unfreezing, as table 3 writes them."""
    if architecture == POSE:
        return ["N/A", "N/A"]
    return ["+" if settings.layer_decay < 1 else "-", "+" if settings.unfrozen_groups is not None else "-"]


def functionals_table(metrics: Path, settings: KelmParams, mark: str) -> Table:
    """Table 4: the functionals, whole videos at native rate."""
    rows: list[list[Cell]] = []
    for functionals in settings.compare:
        found = _json(metrics / "kelm" / f"{functionals}.json")
        theirs = published.FUNCTIONALS.get(functionals)
        name = theirs.name if theirs else functionals.replace("_", "+")
        ours = [found.get("validation", {}).get(f"{target}_ccc") for target in SCORED]
        grid = [f"{found[key]:.3g}" if key in found else None for key in ("c", "gamma")]
        rows.append([name, *ours, *_figures(theirs), *grid, found.get("choice", {}).get("on")])
    notes = (
        "CCC over all labelled native frames, after interpolation and smoothing.",
        "Where C and gamma were chosen on validation, as in the paper, the figure is optimistic.",
    )
    columns = ["functionals", *OURS_AND_THEIRS, "C", "gamma", "chosen_on"]
    return Table("Table 4: functionals and KELM, validation CCC", columns, rows, notes, mark)


def systems_table(metrics: Path, finetune: FinetuneParams, embed: EmbedParams, mark: str) -> Table:
    """Table 5: every system and fusion over whole videos, out-of-fold figures beside the paper's protocol."""
    evaluated = _json(metrics / "evaluate.json")
    scores = evaluated.get("systems", {})
    names = [*published.SYSTEMS, *(name for name in (*SYSTEMS, *FUSIONS) if name not in published.SYSTEMS)]
    rows = [_system_row(name, scores.get(name, {})) for name in names]
    described = finetune.backbones[embed.backbone]
    architecture = described.architecture
    missing = unscored(evaluated)
    theirs = published.HRNET_DYNAMIC
    pose = architecture == POSE and as_published(described)
    on_pose = scores.get("dynamic", {}) if pose else {}
    rows.append([theirs.name, "dynamic", *_ours(on_pose), *_figures(theirs), *_figures(None)])
    notes = (
        "CCC over all labelled native frames of validation, silence included; intervals "
        f"({evaluated.get('confidence', 0.95):.0%}) by a bootstrap over recordings.",
        "as published: whatever is picked (epoch, C, weights, trees) is picked by the recordings that are "
        "scored: optimistic.",
        "out of fold: picked by other recordings than the one that is scored: what a test would say, but for "
        "the luck of the draw. optimism: the first less the second.",
        f"Default for test and for `valaro predict`: {evaluated.get('best', ABSENT)}, the simplest system "
        f"within the noise of {evaluated.get('highest', ABSENT)}, the highest out of fold "
        "(metrics/pairs.csv).",
        *(
            [f"No score, since they predict no validation video: {', '.join(missing)} (metrics/notes.json)."]
            if missing
            else []
        ),
        f"Ours stand on embeddings of {architecture}; the paper's rows 1 to 4 on those of EN-B1.",
        "The test split has no labels here: ours is a submission to the organisers (data/submission).",
    )
    return Table("Table 5: systems and fusions, CCC of whole videos", SYSTEM_COLUMNS, rows, notes, mark)


SYSTEM_COLUMNS = [
    "row",
    "system",
    *(f"as_published_{name}" for name in (*SCORED, "mean_low", "mean_high")),
    *(f"out_of_fold_{name}" for name in (*SCORED, "mean_low", "mean_high")),
    "optimism",
    *(f"paper_dev_{name}" for name in SCORED),
    *(f"paper_test_{name}" for name in SCORED),
]


def _system_row(name: str, scores: dict[str, Any]) -> list[Cell]:
    dev, test = published.SYSTEMS.get(name), published.SYSTEMS_TEST.get(name)
    return [
        dev.name if dev else (FUSIONS.get(name) or SYSTEMS[name]).title,
        name,
        *_ours(scores),
        *_figures(dev),
        *_figures(test),
    ]


def _ours(scores: dict[str, Any]) -> list[Cell]:
    """As published, out of fold, and the difference."""
    protocols = (_protocol(scores, name) for name in ("as_published", "out_of_fold"))
    return [*(cell for ccc in protocols for cell in _scored(ccc)), scores.get("optimism")]


def _protocol(scores: dict[str, Any], protocol: str) -> dict[str, Any]:
    figures: dict[str, Any] = scores.get(protocol, {}).get("ccc", {})
    return figures


def _scored(ccc: dict[str, Any]) -> list[Cell]:
    """Valence, arousal, mean, and the bounds of the mean."""
    figures = [ccc.get(target, {}).get("value") for target in SCORED]
    return [*figures, *(ccc.get("mean", {}).get(bound) for bound in ("low", "high"))]


def compact(table: Table) -> Table:
    """Table 5 for people: valence, arousal and mean in one cell."""
    rows = []
    for row in table.rows:
        cell = dict(zip(table.columns, row, strict=True))
        groups = {name: _triple(cell, name) for name in ("as_published", "out_of_fold", "paper_dev")}
        low, high = cell["out_of_fold_mean_low"], cell["out_of_fold_mean_high"]
        interval = f"[{low:.3f}, {high:.3f}]" if isinstance(low, float) and isinstance(high, float) else None
        ours = [groups["out_of_fold"], interval, groups["as_published"], cell["optimism"]]
        rows.append([cell["row"], *ours, groups["paper_dev"], _triple(cell, "paper_test", decimals=4)])
    columns = ["system", "out of fold", "interval", "as published", "optimism", "paper, dev", "paper, test"]
    notes = (
        "Three figures: valence, arousal, mean. The interval is that of the out-of-fold mean.",
        *table.notes,
    )
    return Table(table.title, columns, rows, notes, table.mark)


def _triple(cell: dict[str, Cell], name: str, decimals: int = 3) -> str | None:
    figures = [cell[f"{name}_{target}"] for target in SCORED]
    if all(figure is None for figure in figures):
        return None
    return " ".join(f"{figure:.{decimals}f}" if isinstance(figure, float) else ABSENT for figure in figures)


def teams_table(mark: str) -> Table:
    """Table 6: the challenge's teams. Ours has no test labels."""
    rows: list[list[Cell]] = [[team.name, None, *_figures(team)] for team in published.TEAMS]
    notes = (
        "The labels of the test split were never published, so that nothing can stand in `ours`: "
        "send the organisers data/submission for a figure.",
    )
    columns = ["team", "ours", *OURS_AND_THEIRS[3:]]
    return Table("Table 6: teams, test CCC", columns, rows, notes, mark, decimals=4)


def at_best_epoch(folder: Path, best: str, *further: str) -> list[float | None]:
    """Further scores at the epoch that is best by one score, and that score last; None where there is no run.

    Args:
        folder: with metrics.json and plots/validation/<score>.tsv, as `training.curves` writes them.
        best: the score whose best epoch counts.
        further: other curves.
    """
    record = _json(folder / "metrics.json").get("best", {}).get(best)
    if record is None:
        return [None] * (len(further) + 1)
    return [*(_curve(folder, score).get(record["epoch"]) for score in further), record["value"]]


def _curve(folder: Path, score: str) -> dict[int, float]:
    """Epoch, from 1, -> value."""
    path = folder / "plots" / "validation" / f"{score}.tsv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {int(row["step"]) + 1: float(row[score]) for row in csv.DictReader(file, delimiter="\t")}


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content


def _figures(row: Published | None) -> list[Cell]:
    return [row.valence, row.arousal, row.mean] if row else [None, None, None]


def mark_of(workspace: Workspace) -> str:
    """What every table must say about the corpus its figures come from."""
    source = str(_json(workspace.corpus_file).get("source", ""))
    return SAMPLE_MARK if is_sample(source) else f"corpus: {source or 'unknown'}"


def tables() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    metrics, mark = workspace.metrics(""), mark_of(workspace)
    with Stage("tables"):
        rendered = {
            2: audio_table(metrics, params.audio, mark),
            3: static_table(metrics, params.finetune, mark),
            4: functionals_table(metrics, params.kelm, mark),
            5: systems_table(metrics, params.finetune, params.embed, mark),
            6: teams_table(mark),
        }
        with whole(workspace.metrics("tables")) as folder:
            folder.mkdir()
            for number, table in rendered.items():
                shown = compact(table) if number == 5 else table
                (folder / f"table_{number}.md").write_text(shown.markdown(), encoding="utf-8")
                (folder / f"table_{number}.csv").write_text(table.csv(), encoding="utf-8")


if __name__ == "__main__":
    main("tables")
