"""The band around a trace, and what it means in words."""

from dataclasses import replace

import numpy as np

from stages.evaluation.margins import COVERAGE, Margin
from stages.evaluation.sureness import Interval
from stages.reporting.timeline import Curve


def interval_in_words(interval: Interval) -> str:
    """What an interval that follows the difficulty means, for the facts of a page."""
    return (
        f"wide where the system is unsure; holds the truth in {interval.coverage:.0%} of the frames of new "
        f"recordings (calibrated on {interval.recordings})"
    )


def band_in_words(curve: Curve, truth: Curve) -> str:
    """What the band of a validation recording means, and how it did there."""
    words = "wide where the system is unsure; fitted and calibrated on other recordings"
    band, labels = curve.interval, truth.valence_arousal
    labelled = ~np.isnan(labels).any(axis=1)
    if band is None or not labelled.any():
        return words
    valence, arousal = ((labels >= band[:, :, 0]) & (labels <= band[:, :, 1]))[labelled].mean(axis=0)
    return (
        f"{words}; holds the truth here in {valence:.0%} (valence) and {arousal:.0%} (arousal) of the frames"
    )


def with_band(curve: Curve, margin: Margin, truth: Curve | None = None) -> tuple[Curve, dict[str, str]]:
    """The curve with its band, and what the band means, for the facts of a page.

    Args:
        curve: the trace.
        margin: from videos other than this one.
        truth: at the same times, where it is known.
    """
    band = margin.around(curve.valence_arousal)
    others = f"{margin.videos} other video{'s' if margin.videos > 1 else ''}"
    words = f"holds the truth in {COVERAGE:.0%} of the frames of {others}"
    if truth is not None:
        inside = (truth.valence_arousal >= band[:, :, 0]) & (truth.valence_arousal <= band[:, :, 1])
        labelled = ~np.isnan(truth.valence_arousal).any(axis=1)
        if labelled.any():
            valence, arousal = inside[labelled].mean(axis=0)
            words += f"; here in {valence:.0%} (valence) and {arousal:.0%} (arousal)"
    return replace(curve, interval=band), {f"band around {curve.name}": words}
