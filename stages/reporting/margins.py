"""The band around a trace, and its description."""

from dataclasses import replace

import numpy as np

from stages.evaluation.margins import COVERAGE, Margin
from stages.evaluation.sureness import Interval
from stages.reporting.timeline import Curve


def interval_in_words(interval: Interval) -> str:
    """Description of an adaptive interval, for the facts of a page."""
    return (
        f"wide where the system is less confident; contains the truth in {interval.coverage:.0%} of the "
        f"frames of new recordings (calibrated on {interval.recordings})"
    )


def band_in_words(curve: Curve, truth: Curve) -> str:
    """Description of the band of a validation recording, with its coverage there."""
    words = "wide where the system is less confident; fitted and calibrated on other recordings"
    band, labels = curve.interval, truth.valence_arousal
    labelled = ~np.isnan(labels).any(axis=1)
    if band is None or not labelled.any():
        return words
    valence, arousal = ((labels >= band[:, :, 0]) & (labels <= band[:, :, 1]))[labelled].mean(axis=0)
    return (
        f"{words}; contains the truth in {valence:.0%} (valence), {arousal:.0%} (arousal) of the frames here"
    )


def with_band(curve: Curve, margin: Margin, truth: Curve | None = None) -> tuple[Curve, dict[str, str]]:
    """The curve with a band of constant width, and the description of the band.

    Args:
        curve: the trace.
        margin: from other videos than this one.
        truth: labels at the same times, if known.
    """
    band = margin.around(curve.valence_arousal)
    others = f"{margin.videos} other video{'s' if margin.videos > 1 else ''}"
    words = f"contains the truth in {COVERAGE:.0%} of the frames of {others}"
    if truth is not None:
        inside = (truth.valence_arousal >= band[:, :, 0]) & (truth.valence_arousal <= band[:, :, 1])
        labelled = ~np.isnan(truth.valence_arousal).any(axis=1)
        if labelled.any():
            valence, arousal = inside[labelled].mean(axis=0)
            words += f"; here in {valence:.0%} (valence) and {arousal:.0%} (arousal)"
    return replace(curve, interval=band), {f"band around {curve.name}": words}
