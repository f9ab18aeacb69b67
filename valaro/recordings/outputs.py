"""What the user gets for a recording: a table, a summary, a picture, a film, and other programs' formats.

A notice (see `Trained.notice`) is in the summary, and in every format that has a place for it beside the
frames; CSV has none.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import __version__
from stages.core.arrays import Floats
from stages.core.artefacts import write_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.measures import TARGETS
from stages.core.times import nearest
from stages.evaluation.margins import Margin
from stages.exports.formats import FORMATS
from stages.exports.trace import BOUNDS, COLUMNS, moments, one_line
from stages.exports.whose import source_of
from valaro.recordings.chain import Findings
from valaro.recordings.formats import FILM, PAGE, PICTURE, formats_of
from valaro.recordings.resume import keep_trace
from valaro.recordings.trained import Trained
from valaro.trace import Faces, Trace, no_faces

if TYPE_CHECKING:
    from stages.media.container import ContainerFacts

LIBRARIES = ("av", "mediapipe", "numpy", "timm", "torch", "transformers")


def write_outputs(
    folder: Path,
    place: Path,
    video: Path,
    workspace: Workspace,
    found: Findings,
    trained: Trained,
    *,
    formats: Sequence[str],
    abstain: float | None = None,
    made_with: Mapping[str, Any],
) -> Trace:
    """Write the summary `<name>.json`, a file for each of `formats`, and the trace in full into a new folder.

    Args:
        folder: it must not exist.
        place: where the folder goes once it is finished; its name is that of the files.
        video: the recording.
        workspace: what the steps left, for the page.
        found: what the system found in the recording.
        trained: the system.
        formats: of `formats.KNOWN_FORMATS`; json adds the frames to the summary.
        abstain: leave out frames whose interval is wider than this; None keeps all.
        made_with: what determines the values, see `resume`.

    Returns:
        The trace, with the summary in it.
    """
    name = place.name
    folder.mkdir()
    identity = {"source": source_of(video, place), "made_with": made_with}
    summary = summarise(video, found, trained) | identity
    write_json(folder / f"{name}.json", summary)
    trace = trace_of(name, video, found, trained.notice, summary, trained.margin, place)
    if abstain is not None:
        trace = _abstaining(trace, abstain)
        write_json(folder / f"{name}.json", trace.summary)
    for wanted in formats_of(found.kind, formats):
        path = folder / f"{name}.{wanted}"
        if wanted == FILM:
            _film(path, video, found, trained)
        elif wanted == PAGE:
            _page(path, place, video, workspace, found, trained, filmed=FILM in formats)
        else:
            write_trace(path, wanted, trace)
    keep_trace(folder, trace)
    return trace


def write_trace(path: Path, wanted: str, trace: Trace) -> None:
    """Write one of the formats that show nothing but the trace, `formats.OF_TRACE`."""
    if wanted == PICTURE:
        trace.save(path)
    else:
        FORMATS[wanted].write(path, trace)


class SureOfNoFrame(ValaroError):
    """Every frame would be left out."""


def _abstaining(trace: Trace, widest: float) -> Trace:
    """The frames that the system is sure of, and a note on how many those are.

    Raises:
        SureOfNoFrame: there is none.
        ValaroError: the system has no interval.
    """
    if trace.interval is None:
        raise ValaroError("--abstain needs a system with an interval: `dvc repro intervals` fits it")
    kept = trace.confident(widest)
    if not len(kept):
        widths = np.diff(trace.interval, axis=2).max(axis=1)
        known = widths[np.isfinite(widths)]  # none where nobody is there
        narrowest = f"the narrowest is {known.min():.2f} wide" if len(known) else "nobody is there"
        raise SureOfNoFrame(f"no interval is as narrow as --abstain {widest:g}: {narrowest}")
    left_out = len(trace) - len(kept)
    share = f"{left_out} of {len(trace)} frames left out: their interval is wider than {widest:g}"
    seen = kept.detected | (kept.summary["kind"] == "sound")
    means = {
        name: moments(values, seen) for name, values in zip(TARGETS, kept.valence_arousal.T, strict=True)
    }
    facts = {"mean_over": f"{kept.summary['mean_over']} that aren't left out", "abstained_beyond": widest}
    notes = {"notes": [*kept.summary["notes"], share]}
    return replace(kept, summary=kept.summary | means | facts | notes)


def trace_of(
    name: str,
    video: Path,
    found: Findings,
    notice: str,
    summary: dict[str, Any],
    margin: Margin | None = None,
    folder: Path | None = None,
) -> Trace:
    """The findings as the user gets them: the flags of the time grid carried to the native frames."""
    k = nearest(found.grid_time_s, found.time_s)
    return Trace(
        name=name,
        video=video,
        time_s=found.time_s,
        valence_arousal=found.valence_arousal,
        detected=found.detected[k],
        speaking=found.speaking[k],
        duration_s=summary.get("duration_s", found.facts["duration_s"]),
        video_start_s=found.facts.get("video_start_s", 0.0),
        folder=folder,
        summary=summary,
        notice=notice,
        person=found.person,
        every_frame=found.every_frame,
        interval=_interval_of(found, margin),
        faces=no_faces() if found.kind == "sound" else _faces_of(found),
    )


def _faces_of(found: Findings) -> Faces:
    return Faces(found.grid_time_s, found.detected, found.box_xyxy, found.face_score, found.faces_in_frame)


def summarise(video: Path, found: Findings, trained: Trained) -> dict[str, Any]:
    """The recording in figures. Means are over the frames whose face was really seen, of a sound over all."""
    heard_only = found.kind == "sound"
    seen = found.detected[nearest(found.grid_time_s, found.time_s)] | heard_only
    facts = {
        name: found.facts[name]
        for name in ("duration_s", "video_start_s", "width", "height", "has_audio", "variable_rate")
    }
    if found.kind == "sound":
        facts |= {"width": None, "height": None}
    if found.kind == "picture":
        facts |= {"duration_s": 0.0}
    return {
        "file": one_line(str(video)),
        "kind": found.kind,
        **facts,
        "frames": len(found.time_s),
        "rate_hz": found.facts["average_rate_hz"],
        "detected_share": float(found.detected.mean()),
        "no_value_share": float(np.isnan(found.valence_arousal).any(axis=1).mean()),
        "speaking_share": float(found.speaking.mean()),
        "valence": moments(found.valence_arousal[:, 0], seen),
        "arousal": moments(found.valence_arousal[:, 1], seen),
        "mean_over": "all times" if heard_only else "frames with a face",
        "notes": _notes(found, trained),
        "person": found.person or None,
        "people": found.company.people if found.company else [],
        "notice": trained.notice or None,
        **trained.facts(),
        "columns": COLUMNS | (BOUNDS if found.interval is not None or trained.margin else {}),
        "interval": _interval_facts(found, trained),
        "versions": dict(_versions()),
    }


@cache
def _versions() -> dict[str, str]:
    return {"valaro": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def _notes(found: Findings, trained: Trained) -> list[str]:
    return [*trained.notes, *found.notes, *([] if found.kind == "sound" else _missing(found))]


def _missing(found: Findings) -> list[str]:
    share, nothing = float(found.detected.mean()), float(np.isnan(found.valence_arousal).any(axis=1).mean())
    notes = [f"a face in {share:.0%} of the time only"] if share < 0.5 else []
    return notes + ([f"no value in {nothing:.0%} of the frames: nobody is there"] if nothing else [])


def _interval_of(found: Findings, margin: Margin | None) -> Floats | None:
    """The interval that follows the difficulty; where there is none, the one that is equally wide."""
    if found.interval is not None:
        return found.interval
    return margin.around(found.valence_arousal) if margin else None


def _interval_facts(found: Findings, trained: Trained) -> dict[str, Any] | None:
    """What the columns of the interval mean; None without."""
    if found.interval is None or trained.interval is None:
        return None
    known = found.interval[np.isfinite(found.interval).all(axis=(1, 2))]
    width = np.diff(known, axis=2)[:, :, 0].mean(axis=0).tolist() if len(known) else [None, None]
    return {
        "coverage": trained.interval.coverage,
        "calibrated_on_recordings": trained.interval.recordings,
        "mean_width": dict(zip(TARGETS, width, strict=True)),
    }


def _film(path: Path, video: Path, found: Findings, trained: Trained) -> None:
    from stages.media.overlay import render_overlay
    from stages.media.panel import Findings as Drawn

    notice = ", ".join(filter(None, [found.person and f"person {found.person}", trained.notice]))
    drawn = Drawn(
        found.time_s, found.valence_arousal, found.grid_time_s, found.box_xyxy, found.detected, notice
    )
    render_overlay(video, path, drawn, facts=_facts_of(video, trained))


def _facts_of(video: Path, trained: Trained) -> "ContainerFacts":
    from stages.media.container import probe
    from stages.media.limits import Limits
    from stages.media.scan import Hearing

    decode = trained.params.decode
    return probe(video, limits=Limits(**decode.limits()), hearing=Hearing(**decode.hearing()))


def _page(
    path: Path,
    place: Path,
    video: Path,
    workspace: Workspace,
    found: Findings,
    trained: Trained,
    *,
    filmed: bool,
) -> None:
    from valaro.recordings.page import write_recording_page

    film = place / path.with_suffix(f".{FILM}").name if filmed else None
    facts = _facts_of(video, trained)
    notes = _notes(found, trained)
    write_recording_page(path, workspace, video, place, found, trained, facts=facts, film=film, notes=notes)
