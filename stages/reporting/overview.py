"""The report of a run: scores, corpus, training and pipeline on one page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from stages.core.artefacts import read_json
from stages.core.corpus import SPLITS, Subject, Workspace, is_sample
from stages.core.measures import TARGETS
from stages.core.systems import SYSTEMS
from stages.evaluation.headline import unscored
from stages.reporting import charts, gathered, pipeline, results
from stages.reporting.cards import CARDS, cards_in
from stages.reporting.gathered import VideoScore
from stages.reporting.pages import link, write_page
from stages.reporting.published import figures_without, is_affwild2, tables_without
from stages.reporting.svg import element, plain

SAMPLE_NOTICE = (
    "This run is on the sample corpus, whose faces and voices are generated. Its figures show that the "
    "pipeline works; they say nothing about people and can't be compared with the paper's."
)
WINDOWS = "dynamic.window_s"
EXTREMES = 3  # videos listed with the largest gain and loss by audio


@dataclass(frozen=True)
class Live:
    """The current state of the pipeline, which isn't part of the page that DVC tracks.

    Args:
        states: stage -> `current`, `changed` or `never`.
        times: stage -> duration of its last run, in words; the sum over the entries of a matrix.
        facts: commit, profile and date, in words.
    """

    states: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def notice_of(workspace: Workspace) -> str:
    """The notice that every page must carry; "" for a real corpus."""
    return SAMPLE_NOTICE if is_sample(read_json(workspace.corpus_file)["source"]) else ""


def video_page(folder: Path, subject: str) -> Path:
    """Path of a subject's timeline in the folder of the report."""
    return folder / "videos" / f"{subject}.html"


def write_overview(
    page: Path, workspace: Workspace, definition: Path, folder: Path, live: Live | None
) -> None:
    """Write the page.

    Args:
        page: the file.
        workspace: of a run in which every stage before the report is done.
        definition: the dvc.yaml.
        folder: folder of the timelines and the model cards.
        live: states and times to draw; None: draw none.
    """
    evaluated = read_json(workspace.metrics("evaluate.json"))
    best = evaluated["best"]
    corpus = workspace.corpus()
    scores, agreement = gathered.gather(workspace, corpus.of("validation"), best)
    rivals, means = results.read_rivals(workspace.metrics("per_video_all.csv"), without=best)
    facts = gathered.corpus_rows(workspace, corpus)
    notes = read_json(workspace.metrics("notes.json"))
    names = results.read_names(workspace.metrics("tables/table_5.csv"))
    nodes, tables = pipeline.read_nodes(definition), results.read_tables(workspace.metrics("tables"))
    source = read_json(workspace.corpus_file)["source"]
    published = is_affwild2(source)
    write_page(
        page,
        "report",
        notice=notice_of(workspace),
        source=source,
        headline=_headline(evaluated, names, facts, notes),
        best=names.get(best, best),
        highest=names.get(evaluated["highest"], evaluated["highest"]),
        within=[names.get(name, name) for name in evaluated["within_noise"]],
        unscored=(missing := unscored(evaluated)),
        heard=any(system.hears and name not in missing for name, system in SYSTEMS.items()),
        pairs=_pairs(workspace, names),
        intervals=results.read_intervals(workspace.metrics(f"intervals/{best}.json")),
        confidence=evaluated["confidence"],
        systems=_systems(workspace, published),
        published=published,
        optimism=results.read_optimism(workspace.metrics("tables/table_5.csv")),
        sweeps=_sweeps(workspace),
        windows=WINDOWS,
        tables=tables if published else tables_without(tables),
        scores=scores,
        rivals=[names.get(name, name) for name in rivals],
        means=means,
        pages={score.name: _address(page, folder, score.name) for score in scores},
        bars={score.name: charts.bar(score.mean, f"{score.mean:.3f}") for score in scores},
        gain=_gain(scores),
        extremes=_extremes(scores),
        agreement=_agreement(agreement),
        trainings=_trainings(workspace),
        cards={name: link(card, page) for name, card in cards_in(folder / CARDS).items()},
        splits=(*SPLITS, "all"),
        facts=facts,
        planes=[_plane(workspace, corpus.of(split), split) for split in ("train", "validation")],
        notes=sorted(notes, key=lambda note: (not note["quarantined"], note["stage"], note["file"])),
        dag=pipeline.drawing(nodes, live.states if live else {}, live.times if live else {}),
        nodes=nodes,
        live=live,
        figure=figure,
        coded=coded,
    )


def figure(value: float | None, decimals: int = 3) -> str:
    """A formatted number: a Unicode minus sign, a dash for None and NaN."""
    if value is None or not np.isfinite(value):
        return "—"
    return f"{value:.{decimals}f}".replace("-", "−")


def coded(text: str) -> Markup:
    """A sentence in which `words` between backticks become code, as in Markdown; all is escaped."""
    parts = text.split("`")
    return Markup("").join(element("code", part) if k % 2 else part for k, part in enumerate(parts))


def _headline(
    evaluated: dict[str, Any],
    names: dict[str, str],
    facts: list[tuple[str, list[str]]],
    notes: list[dict[str, Any]],
) -> list[tuple[str, str, str]]:
    """The main figures: (name, value, remark)."""
    found = evaluated["systems"][evaluated["best"]]["out_of_fold"]
    by_name = dict(facts)
    aside = sum(note["quarantined"] for note in notes)
    return [
        ("mean CCC", _value(found, "mean"), names.get(evaluated["best"], evaluated["best"])),
        *((f"{target} CCC", _value(found, target), _interval(found, target)) for target in TARGETS),
        ("subjects", by_name["subjects"][-1], f"{by_name['subjects'][1]} in validation"),
        ("video", by_name["length"][-1], f"{by_name['videos'][-1]} files"),
        ("set aside", str(aside), f"and {len(notes) - aside} warnings"),
    ]


def _value(found: dict[str, Any], target: str) -> str:
    return figure(found["ccc"][target]["value"])


def _interval(found: dict[str, Any], target: str) -> str:
    bounds = found["ccc"][target]
    return (
        f"{figure(bounds['low'])} to {figure(bounds['high'])}"
        if "low" in bounds
        else "one video: no interval"
    )


def _pairs(workspace: Workspace, names: dict[str, str]) -> list[dict[str, str]]:
    """All pairs of systems, with the names of table 5."""
    found = results.read_pairs(workspace.metrics("pairs.csv"))
    sides = ("better", "worse")
    return [pair | {side: names.get(pair[side], pair[side]) for side in sides} for pair in found]


def _systems(workspace: Workspace, published: bool) -> Markup:
    rows = results.read_figures(workspace.metrics("tables/table_5.csv"))
    rows = rows if published else figures_without(rows)
    return charts.whiskers(
        "CCC of systems and fusions on validation", rows, "CCC, mean of valence and arousal"
    )


def _sweeps(workspace: Workspace) -> list[tuple[str, Markup]]:
    return [
        (
            sweep.parameter,
            charts.curves(f"CCC against {sweep.x_label}", sweep.lines, sweep.x_label, "CCC", marks=True),
        )
        for sweep in results.read_sweeps(workspace.metrics("sweeps"))
    ]


def _address(page: Path, folder: Path, subject: str) -> str:
    target = video_page(folder, subject)
    return link(target, page) if target.is_file() else ""


def _gain(scores: list[VideoScore]) -> Markup | None:
    known = [s for s in scores if np.isfinite(s.gain) and np.isfinite(s.speaking)]
    points = [charts.Point(score.name, score.speaking, score.gain) for score in known]
    labels = ("share of the time in which the person speaks", "gain over face alone, mean CCC")
    return charts.scatter("Gain by audio, per video", points, *labels) if points else None


def _extremes(scores: list[VideoScore]) -> list[tuple[str, list[VideoScore]]]:
    """The subjects with the largest gain and the largest loss by audio."""
    ranked = sorted((s for s in scores if np.isfinite(s.gain)), key=lambda s: (s.gain, s.name))
    helped = [score for score in ranked[::-1] if score.gain > 0][:EXTREMES]
    hurt = [score for score in ranked if score.gain < 0][:EXTREMES]
    return [("helps most", helped), ("hurts most", hurt)]


def _agreement(agreement: gathered.Agreement) -> list[Markup]:
    planes = [
        charts.density(f"{target}: predicted and true", counts, "predicted", "true", diagonal=True)
        for target, counts in agreement.counts.items()
    ]
    return [*planes, charts.calibration("Calibration", agreement.calibration())]


def _trainings(workspace: Workspace) -> list[tuple[str, Markup]]:
    return [
        (found.title, charts.curves(found.title, found.lines, "epoch", found.y_label))
        for found in results.read_trainings(workspace.metrics(""))
    ]


def _plane(workspace: Workspace, subjects: list[Subject], split: str) -> tuple[str, str, Markup]:
    counts = gathered.va_counts(workspace, workspace.having(subjects, "index"))
    frames = f"{plain(counts.sum()) if counts.sum() < 1e5 else f'{counts.sum():,.0f}'} labelled frames"
    return split, frames, charts.density(f"Labels of {split}", counts, "valence", "arousal")
