"""Traces to export: plain ones, and ones whose names and times are as odd as data get."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.exports.trace import Trace

MakeTrace = Callable[..., Trace]


def trace_of(
    name: str = "talk", time_s: np.ndarray | None = None, *, notice: str = "", seed: int = 0
) -> Trace:
    """A trace of random values; the face is lost in the second half, the voice heard in the middle."""
    time_s = np.arange(130) / 25 if time_s is None else np.asarray(time_s, np.float64)
    rng, share = np.random.default_rng(seed), np.linspace(0, 1, len(time_s))
    return Trace(
        name=name,
        video=Path(f"{name}.mp4"),
        time_s=time_s,
        valence_arousal=rng.uniform(-1, 1, (len(time_s), 2)).astype(np.float32),
        detected=share < 0.5,
        speaking=(share > 0.25) & (share < 0.75),
        duration_s=float(time_s[-1]) + 0.04,
        summary={
            "file": f"{name}.mp4",
            "duration_s": float(time_s[-1]) + 0.04,
            "system": "dynamic",
            "notice": notice or None,
        },
        notice=notice,
    )


@pytest.fixture(scope="session", name="trace_of")
def trace_of_fixture() -> MakeTrace:
    """Make a trace by name, times and notice."""
    return trace_of


ODD: dict[str, Trace] = {
    "plain": trace_of(),
    "one frame": trace_of(time_s=np.zeros(1)),
    "variable rate": trace_of(time_s=np.cumsum(np.tile([0.02, 0.06, 0.4], 30)) - 0.02),
    "a gap of minutes": trace_of(time_s=np.array([0.0, 0.04, 200.0, 200.04])),
    "over an hour": trace_of(time_s=np.array([0.0, 3599.98, 3600.02, 7261.5])),
    "unicode": trace_of("Zoë 微笑 🙂"),
    "markup": trace_of('<b>&amp; --> "x" ]]>\'', notice="a <i>notice</i> --> & more"),
    "formula": trace_of("=HYPERLINK(1)", notice="=1+1"),
    "control characters": trace_of("two\nlines\x00\x0b\u2028end", notice="a\nb"),
    "bytes that are no text": trace_of("caf\udce9", notice="n"),
}


@pytest.fixture(params=ODD)
def trace(request: pytest.FixtureRequest) -> Trace:
    """Each of them."""
    return ODD[request.param]
