"""The report of a run: one page to look at, and one for each validation subject.

    python -m stages.report          (dvc repro report)

Reads   metrics/tables, metrics/evaluate.json, metrics/pairs.csv, metrics/per_video_all.csv
        metrics/notes.json
        metrics/<training>/metrics.json, models/  for the models' cards
        metrics/<training>/plots                  training curves
        metrics/sweeps/<parameter>.csv            what `valaro sweep` wrote, if anything
        data/{index,decode,faces,speech}/<subject or video>.h5, data/intervals/<system>/<subject>.h5
        metrics/intervals/<system>.json
        data/traces/<system>.out_of_fold/<subject>.h5, data/fused/<fusion>.out_of_fold/<subject>.h5
        dvc.yaml                                  for the picture of the pipeline; DVC refuses it as a
                                                  dependency: a stage renamed alone shows later
Writes  metrics/report/index.html                 charts and tables inside: it needs no other file, no network
        metrics/report/videos/<subject>.html      timeline of a validation subject; links the video
        metrics/report/models/<model>.md          card of every model trained, in Hugging Face's format
        metrics/plots/systems.csv                 CCC and interval by system and protocol, for `dvc plots`
        metrics/plots/windows.csv                 CCC by the length of the temporal model's window, as swept
Params  the sections that models are made by, for the cards

The pages are the same for the same run: no date, no time, no machine. What a stage took and whether it is up
to date are facts of the moment; `valaro report` draws the page with them, outside what DVC tracks.
"""

import csv
import io
import os
from dataclasses import replace
from pathlib import Path

from stages.core.artefacts import read_arrays, read_facts, read_json, whole
from stages.core.corpus import Subject, Workspace
from stages.core.measures import SCORED
from stages.core.notes import Note
from stages.core.params import load_params
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS, out_of_fold_folder
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.evaluation.margins import Margin, margins_of
from stages.reporting.cards import CARDS, write_cards
from stages.reporting.inventory import Made
from stages.reporting.margins import band_in_words, with_band
from stages.reporting.overview import WINDOWS, notice_of, video_page, write_overview
from stages.reporting.pages import assets_of
from stages.reporting.recorded import bands_of, boxes_of, crops_of, curves_of, facts_of, obstacle_of
from stages.reporting.results import PROTOCOLS, read_sweeps
from stages.reporting.timeline import TimelinePage, write_timeline

DEFINITION, INDEX = Path("dvc.yaml"), "index.html"
TRACES = {f"{name}{OUT_OF_FOLD}": out_of_fold_folder(name) for name in (*SYSTEMS, *FUSIONS)}
"""Curve of a timeline -> its folder: out-of-fold traces."""


def draw_video(unit: Unit, _settings: None) -> list[Note]:
    """Write the timeline of one subject; wherever it is written, it links from its place."""
    index, faces = unit.reads["index"], unit.reads["faces"]
    traces = {name: unit.reads[name] for name in TRACES if name in unit.reads}
    curves = curves_of(index, traces, unit.facts["best"])
    about = read_facts(index)
    duration_s = float(about["duration_s"])
    bands = bands_of(index, faces, unit.reads.get("speech"), duration_s)
    facts = facts_of(curves, index, bands, duration_s)
    if "interval" in unit.reads and curves[1].name == unit.facts["best"]:
        band = read_arrays(unit.reads["interval"], "low_high")["low_high"]
        curves[1] = replace(curves[1], interval=band)
        facts[f"band around {curves[1].name}"] = band_in_words(curves[1], curves[0])
    elif unit.facts["margin"] and curves[1].name == unit.facts["best"]:
        curves[1], words = with_band(curves[1], Margin(*unit.facts["margin"]), curves[0])
        facts |= words
    beside = unit.writes["page"].parent
    page = TimelinePage(
        title=unit.name,
        video=beside / unit.facts["video"],
        duration_s=duration_s,
        curves=curves,
        bands=bands,
        crops=crops_of(faces),
        boxes=boxes_of(faces, unit.reads["decode"]),
        facts=facts,
        notice=unit.facts["notice"],
        obstacle=obstacle_of(index, Path(unit.facts["video"]).suffix),
        home=(beside / ".." / INDEX, "Report of the run"),
        beside=[(Path(unit.facts["video"]).name, False)],
        video_start_s=float(about.get("video_start_s", 0.0)),
    )
    write_timeline(unit.writes["page"], page)
    return []


def unit_of(
    workspace: Workspace, subject: Subject, video: str, folder: Path, best: str, margin: Margin | None = None
) -> Unit:
    """What the page of a subject is made of; systems without a trace of the subject are left out.

    Args:
        workspace: of the run.
        subject: of validation, with a face.
        video: the file.
        folder: of the report.
        best: the system shown first.
        margin: of its band; None draws none.
    """
    page = video_page(folder, subject.name)
    reads = {name: workspace.artefact(traces, subject.name) for name, traces in TRACES.items()}
    reads["speech"] = workspace.artefact("speech", subject.name)
    reads["interval"] = workspace.artefact(f"intervals/{best}", subject.name)
    reads = {role: path for role, path in reads.items() if path.is_file()}
    reads |= {stage: workspace.artefact(stage, subject.name) for stage in ("index", "faces")}
    reads["decode"] = workspace.artefact("decode", subject.video)
    facts = {
        "best": best,
        "video": os.path.relpath(video, page.parent),
        "margin": margin,
        "notice": notice_of(workspace),
    }
    return Unit(subject.name, reads | assets_of("timeline"), {"page": page}, facts)


def system_rows(workspace: Workspace) -> list[list[str]]:
    """CCC and its interval by system and protocol."""
    rows = [["system", "protocol", "valence_ccc", "arousal_ccc", "mean_ccc", "low", "high"]]
    for system, scores in read_json(workspace.metrics("evaluate.json"))["systems"].items():
        for protocol, words in PROTOCOLS.items():
            if protocol in scores:
                ccc = scores[protocol]["ccc"]
                figures = [ccc[target]["value"] for target in SCORED]
                bounds = [ccc["mean"].get(bound, figures[-1]) for bound in ("low", "high")]
                rows.append([system, words, *(f"{number:.4f}" for number in (*figures, *bounds))])
    return rows


def window_rows(workspace: Workspace) -> list[list[str]]:
    """Mean CCC by the length of the temporal model's window; the header alone where it wasn't measured."""
    rows = [["window_s", "valence_ccc", "arousal_ccc", "mean_ccc"]]
    for sweep in read_sweeps(workspace.metrics("sweeps")):
        lines = {line.name: dict(zip(line.x, line.y, strict=True)) for line in sweep.lines}
        if sweep.parameter == WINDOWS and lines.keys() >= set(SCORED):
            common = sorted(set.intersection(*(set(lines[target]) for target in SCORED)))
            rows += [[f"{x:g}", *(f"{lines[target][x]:.4f}" for target in SCORED)] for x in common]
    return rows


def write_rows(path: Path, rows: list[list[str]]) -> None:
    """A CSV as DVC's plots take it."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    with whole(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def made() -> Made:
    """The parameters that the models were made by."""
    params = load_params()
    return Made(
        decode=params.decode,
        faces=params.faces,
        voice=params.voice,
        speech=params.speech,
        pretrain=params.pretrain,
        finetune=params.finetune,
        embed=params.embed,
        dynamic=params.dynamic,
        kelm=params.kelm,
        audio=params.audio,
        cross_attention=params.cross_attention,
        smooth=params.smooth,
        fuse=params.fuse,
    )


def report() -> None:
    """Run the stage."""
    workspace = Workspace()
    folder, corpus = workspace.metrics("report"), workspace.corpus()
    best = read_json(workspace.metrics("evaluate.json"))["best"]
    with Stage("report", folder) as stage:
        shown = workspace.having(corpus.of("validation"), "index", "faces")
        margins = margins_of(workspace, shown, out_of_fold_folder(best))
        units = [
            unit_of(workspace, each, corpus.videos[each.video], folder, best, margins.get(each.recording))
            for each in shown
        ]
        stage.run(draw_video, units, jobs=1)  # a second or less each: a worker takes longer to start
        cards = folder / CARDS
        write_cards(cards, workspace, made())
        stage.claim(cards)
        page = folder / INDEX
        write_overview(page, workspace, DEFINITION, folder, None)
        stage.claim(page)
        write_rows(workspace.metrics("plots/systems.csv"), system_rows(workspace))
        write_rows(workspace.metrics("plots/windows.csv"), window_rows(workspace))


if __name__ == "__main__":
    main("report")
