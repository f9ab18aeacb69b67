"""The page of a validation subject: the video, the truth, and every system's trace beside it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.core.artefacts import read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.systems import FUSIONS, GROUPED, SYSTEMS
from stages.reporting.margins import COVERAGE, Margins, covered
from stages.reporting.recorded import bands_of, boxes_of, crops_of, curves_of, facts_of
from stages.reporting.timeline import Curve, TimelinePage, write_timeline


def write_subject_page(
    path: Path,
    workspace: Workspace,
    corpus: Corpus,
    subject: Subject,
    *,
    shown: str,
    margins: Margins | None = None,
    home: tuple[Path, str] | None = None,
    notice: str = "",
) -> None:
    """Write the page of one subject from the artefacts of the run; one video's are in memory.

    Args:
        path: the page.
        workspace: holds data/{index,decode,faces}, and what there is of data/{speech,traces,fused}.
        corpus: where the videos lie, relative to the workspace.
        subject: labelled, with faces.
        shown: the system that the reader sees first, with its parts; of a fusion the honest traces are drawn.
        margins: of `shown`; draws a band around it.
        home: the report, and its name.
        notice: a sentence that the page must carry.
    """
    index, faces = workspace.artefact("index", subject.name), workspace.artefact("faces", subject.name)
    speech = workspace.artefact("speech", subject.name)
    duration_s = read_facts(index)["duration_s"]
    curves = curves_of(index, dict(_traces(workspace, subject)), shown)
    bands = bands_of(index, faces, speech if speech.is_file() else None, duration_s)
    facts = facts_of(curves, index, bands, duration_s)
    if margins and len(curves) > 1:
        curves[1], words = _banded(curves[0], curves[1], margins, subject.video)
        facts |= words
    page = TimelinePage(
        title=subject.name,
        video=workspace.root / corpus.videos[subject.video],
        duration_s=duration_s,
        curves=curves,
        bands=bands,
        crops=crops_of(faces),
        boxes=boxes_of(faces, workspace.artefact("decode", subject.video)),
        facts=facts,
        notice=notice,
        home=home,
    )
    write_timeline(path, page)


def _traces(workspace: Workspace, subject: Subject) -> Iterator[tuple[str, Path]]:
    """The traces there are of one subject, by folder; of a fusion the one that other videos taught."""
    folders = {system: f"traces/{system}" for system in SYSTEMS}
    folders |= {f"{fusion}{GROUPED}": f"fused/{fusion}{GROUPED}" for fusion in FUSIONS}
    for name, folder in folders.items():
        trace = workspace.artefact(folder, subject.name)
        if trace.is_file():
            yield name, trace


def _banded(truth: Curve, curve: Curve, margins: Margins, video: str) -> tuple[Curve, dict[str, str]]:
    """The curve with its band, and the band in words."""
    band = margins.around(video, curve.valence_arousal)
    if band is None or np.isnan(truth.valence_arousal).any(axis=1).all():
        return curve, {}
    valence, arousal = covered(truth.valence_arousal, band)
    others = margins.others(video)
    words = (
        f"holds the truth in {COVERAGE:.0%} of the frames of the {others} other "
        f"video{'s' if others > 1 else ''}; here in {valence:.0%} (valence), {arousal:.0%} (arousal)"
    )
    return replace(curve, interval=band), {f"band around {curve.name}": words}
