"""The page of one recording, from what the steps left in its workspace."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.core.corpus import Workspace
from stages.core.errors import BadInput
from stages.core.systems import FUSIONS, SYSTEMS
from stages.media.container import ContainerFacts
from stages.media.playable import Media, obstacle
from stages.media.playable_copy import write_playable_copy
from stages.media.source import choose_audio, choose_video, open_media
from stages.reporting.margins import interval_in_words, with_band
from stages.reporting.recorded import bands_of, boxes_of, crops_of, curves_of, share_of
from stages.reporting.timeline import Band, Curve, TimelinePage, write_timeline
from valaro.recordings.chain import RECORDING, Findings
from valaro.recordings.formats import COPY
from valaro.recordings.trained import Trained

FILM_HELPS = ". With --overlay, valaro predict writes a film beside the page that every browser plays"


def obstacle_of(video: Path) -> str:
    """Why some browser won't play a video, by what is in the file; "" if all do. See `media.playable`.

    Raises:
        BadInput: as `open_media` and `choose_video`.
    """
    with open_media(video) as container:
        picture, sound = choose_video(video, container), choose_audio(container)
        return obstacle(
            Media(
                suffix=video.suffix,
                video_codec=picture.codec_context.name,
                pixel_format=picture.codec_context.pix_fmt or "",
                audio_codec=sound.codec_context.name if sound else "",
                container=container.format.name,
                brand=container.metadata.get("major_brand", ""),
            )
        )


def write_recording_page(
    path: Path,
    workspace: Workspace,
    video: Path,
    place: Path,
    found: Findings,
    trained: Trained,
    *,
    facts: ContainerFacts,
    film: Path | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page of the recording; it links the video from where the page will lie.

    A video that some browser won't play is replaced by the film, or else by a copy made for browsers.

    Args:
        path: the page, for now.
        workspace: of the recording.
        video: the recording.
        place: the folder that the page goes to once it is finished.
        found: what the system found.
        trained: the system.
        facts: from `probe`.
        film: of the findings, beside the page.
        notes: of the summary.
    """
    hindered = obstacle_of(video)
    copy = _copy_beside(path, video, place, facts) if hindered and not film else None
    stands_in = film if hindered else None
    played = stands_in or copy or video
    index, faces = workspace.artefact("index", found.subject), workspace.artefact("faces", found.subject)
    speech, duration_s = workspace.artefact("speech", found.subject), found.facts["duration_s"]
    curves, words = _curves(workspace, trained, found), dict[str, str]()
    curves[0] = replace(curves[0], look="fused")  # the colours of valence and arousal, whichever system it is
    if found.interval is not None and trained.interval:
        curves[0] = replace(curves[0], interval=found.interval)
        words = {f"band around {curves[0].name}": interval_in_words(trained.interval)}
    elif trained.margin:
        curves[0], words = with_band(curves[0], trained.margin)
    bands = [band for band in bands_of(index, faces, speech, duration_s) if band.name != "unlabelled"]
    page = TimelinePage(
        title=path.stem,
        video=path.parent / os.path.relpath(played.absolute(), place.absolute()),
        duration_s=duration_s,
        curves=curves,
        bands=bands,
        crops=crops_of(faces),
        # The film has its boxes in the picture, and a panel above it.
        boxes=None if stands_in else boxes_of(faces, workspace.artefact("decode", RECORDING)),
        facts=_facts(found, trained, bands) | words,
        notice=trained.notice,
        notes=notes,
        obstacle=f"{hindered}{FILM_HELPS}" if hindered and not film else "",
        beside=[(video.name, False), (f"{path.stem}.mp4", True)],
        video_start_s=0.0 if stands_in else found.facts.get("video_start_s", 0.0),
    )
    write_timeline(path, page)


def _copy_beside(path: Path, video: Path, place: Path, facts: ContainerFacts) -> Path | None:
    """Where a copy for browsers will lie; None where none can be made: the page then says what helps."""
    made = path.with_suffix(f".{COPY}")
    try:
        write_playable_copy(video, made, facts)
    except BadInput:
        made.unlink(missing_ok=True)
        return None
    return place / made.name


def _curves(workspace: Workspace, trained: Trained, found: Findings) -> list[Curve]:
    """The system's trace first, then those that it is made of; there is no truth to draw."""
    system = trained.system
    traces = {name: workspace.artefact(f"traces/{name}", found.subject) for name in SYSTEMS}
    if system in FUSIONS:
        traces[system] = workspace.artefact(f"fused/{system}", found.subject)
    present = {name: trace for name, trace in traces.items() if trace.is_file()}
    curves = curves_of(workspace.artefact("index", found.subject), present, system)[1:]
    nobody = np.isnan(found.valence_arousal)
    return [replace(one, valence_arousal=np.where(nobody, np.nan, one.valence_arousal)) for one in curves]


def _facts(found: Findings, trained: Trained, bands: list[Band]) -> dict[str, str]:
    facts = found.facts
    words = {"person": found.person} if found.person else {}
    words |= {
        "system": trained.system,
        "trained on": trained.corpus,
        "length": f"{facts['duration_s']:.1f} s, {len(found.time_s)} frames",
        "picture": f"{facts['width']} × {facts['height']}, {facts['average_rate_hz']:.4g} frames/s",
    }
    return words | {band.name: share_of(band.spans_s, facts["duration_s"]) for band in bands}
