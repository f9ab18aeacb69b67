"""The data of a validation subject's timeline, from the artefacts of the run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats, Image
from stages.core.artefacts import open_arrays, read_arrays, read_facts
from stages.core.measures import ccc_per_target
from stages.core.systems import FUSIONS, OUT_OF_FOLD
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.media.playable import Media, obstacle
from stages.reporting.timeline import (
    LOOKS,
    MAX_CROPS,
    Band,
    Boxes,
    Crop,
    Curve,
    Look,
    evenly,
    missing_spans,
)

CROP_PX = 64


def curves_of(index: Path, traces: Mapping[str, Path], shown: str) -> list[Curve]:
    """The labels, and the trace of every system; at first the labels, `shown` and its parts are visible.

    Args:
        index: the subject's file of labels.
        traces: name of a folder of traces (`dynamic`, `dwf_dynamic_audio.out_of_fold`) -> the subject's file.
        shown: the system or fusion that the report calls best.
    """
    labels = read_arrays(index, "time_s", "valence_arousal")
    visible = {shown, *(FUSIONS[shown].systems if shown in FUSIONS else ())}
    curves = [Curve("truth", labels["time_s"], labels["valence_arousal"], "truth")]
    named = {name.removesuffix(OUT_OF_FOLD): path for name, path in traces.items()}
    for system in sorted(named, key=lambda name: (name != shown, name in FUSIONS, name)):
        values = read_arrays(named[system], "valence_arousal")["valence_arousal"]
        curves.append(Curve(system, labels["time_s"], values, look_of(system), shown=system in visible))
    return curves


def look_of(system: str) -> Look:
    """Colour and line style of a system's curve."""
    if system in FUSIONS:
        return "fused"
    return next((look for look in LOOKS if look == system), "other")


def bands_of(index: Path, faces: Path, speech: Path | None, duration_s: float) -> list[Band]:
    """Times without a face, with other faces, with a possible change of person, without speech or label."""
    seen = read_arrays(faces, "time_s", "detected", "others", "jump")
    time_s = seen["time_s"]
    bands = [Band("no face", missing_spans(time_s, seen["detected"], duration_s))]
    if seen["others"].any():
        bands.append(Band("other faces", missing_spans(time_s, seen["others"] == 0, duration_s)))
    if seen["jump"].any():
        bands.append(Band("someone else?", missing_spans(time_s, ~seen["jump"], duration_s)))
    if speech:
        heard = read_arrays(speech, "time_s", "speaking")
        bands.append(Band("not speaking", missing_spans(heard["time_s"], heard["speaking"], duration_s)))
    labels = read_arrays(index, "time_s", "labelled")
    bands.append(Band("unlabelled", missing_spans(labels["time_s"], labels["labelled"], duration_s)))
    return bands


def crops_of(faces: Path) -> list[Crop]:
    """Thumbnails of detected faces, evenly spaced in time; one image at a time is in memory."""
    with open_arrays(faces) as file:
        seen = np.flatnonzero(file["detected"][()])
        chosen = seen[evenly(len(seen), MAX_CROPS)] if len(seen) else seen
        offset, crop_index, times_s = file["jpeg_offset"][()], file["crop_index"][()], file["time_s"][()]
        return [
            Crop(float(times_s[k]), _small(unpack_jpeg(file["jpeg"], offset, int(crop_index[k]))))
            for k in chosen
            if crop_index[k] >= 0
        ]


def boxes_of(faces: Path, decode: Path) -> Boxes:
    """Face boxes, relative to the size of the picture."""
    found, facts = read_arrays(faces, "time_s", "box_xyxy", "detected"), read_facts(decode)
    size = np.array([facts["width"], facts["height"]] * 2, dtype=np.float64)
    return Boxes(found["time_s"], np.where(found["detected"][:, None], found["box_xyxy"] / size, np.nan))


def facts_of(curves: list[Curve], index: Path, bands: list[Band], duration_s: float) -> dict[str, str]:
    """Facts of the video: CCC of the first trace, length, picture size, rates, and times of the bands."""
    facts = read_facts(index)
    truth = curves[0].valence_arousal
    words = {}
    if len(curves) > 1 and not np.isnan(truth).any(axis=1).all():
        valence, arousal = ccc_per_target(truth, curves[1].valence_arousal)
        words[f"CCC of {curves[1].name}"] = f"valence {valence:.3f}, arousal {arousal:.3f}"
    words["length"] = f"{duration_s:.1f} s, {facts['frames']} frames"
    rate = f"{facts['average_rate_hz']:.2f}".rstrip("0").rstrip(".")
    words["picture"] = f"{facts['width']} × {facts['height']}, {rate} frames/s"
    words |= {band.name: share_of(band.spans_s, duration_s) for band in bands}
    return words


def obstacle_of(index: Path, suffix: str) -> str:
    """Why some browsers can't play a subject's video, from the facts in the index; "" if all can."""
    facts = read_facts(index)
    kinds = {name: str(facts.get(name, "")) for name in ("video_codec", "pixel_format", "audio_codec")}
    return obstacle(Media(suffix, **kinds))


def share_of(spans_s: Floats, duration_s: float) -> str:
    """Total time of some spans in words, e.g. `1.2 s (4%)`."""
    total_s = float(np.diff(spans_s, axis=1).sum())
    return f"{total_s:.1f} s ({total_s / duration_s:.0%})" if total_s > 0 else "never"


def _small(image: Image) -> bytes:
    """A JPEG of about 2 kB with a shorter side of CROP_PX."""
    import cv2

    scale = CROP_PX / min(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return pack_jpegs([np.asarray(shrunk, np.uint8)], quality=78)[0].tobytes()
