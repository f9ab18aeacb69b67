"""WebVTT subtitles: valence and arousal of every second, on the clock of a video player."""

from pathlib import Path

import numpy as np

from stages.exports.trace import Trace, one_line, seconds_of


def write_vtt(path: Path, trace: Trace) -> None:
    """Write one cue per second, "valence +0.31 arousal -0.12"; consecutive equal texts share a cue.

    Seconds without a value have no cue. The person, if there are several, is the voice of the cues. A notice
    is a cue of its own at the top of the picture, as long as the recording. Source: W3C, WebVTT: The Web
    Video Text Tracks Format.
    """
    who = f" (person {trace.person})" if trace.person else ""
    blocks = ["WEBVTT", f"NOTE\n{_text(trace.name)}{who}: means over one second, each from -1 to 1"]
    if trace.notice:
        end_s = max(trace.duration_s, float(trace.time_s[-1]))
        span = _span(0.0, trace.player_time_s(end_s))
        blocks.append(f"{span} line:0\n{_text(trace.notice)}")
    voice = f"<v person {trace.person}>" if trace.person else ""
    blocks += [f"{_span(begin_s, end_s)}\n{voice}{text}" for begin_s, end_s, text in cues(trace)]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def cues(trace: Trace) -> list[tuple[float, float, str]]:
    """Begin, end (seconds on a video player's clock) and text of each cue, in order of time."""
    seconds = seconds_of(trace)
    texts = [
        f"valence {signed(valence)} arousal {signed(arousal)}" for valence, arousal in seconds.valence_arousal
    ]
    found: list[tuple[float, float, str]] = []
    spans = zip(seconds.begin_s.tolist(), seconds.end_s.tolist(), strict=True)
    for span, text in zip(spans, texts, strict=True):
        begin_s, end_s = map(trace.player_time_s, span)
        if found and found[-1][1:] == (begin_s, text):
            found[-1] = (found[-1][0], end_s, text)
        elif stamp(begin_s) != stamp(end_s):  # a cue must end after its begin
            found.append((begin_s, end_s, text))
    return found


def signed(value: float) -> str:
    """A number with sign and two decimals; zero is +0.00."""
    return f"{np.round(value, 2) + 0.0:+.2f}"


def stamp(time_s: float) -> str:
    """A WebVTT time stamp with hours: 01:02:03.004."""
    thousandths = round(time_s * 1000)
    minutes, milliseconds = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _span(begin_s: float, end_s: float) -> str:
    return f"{stamp(begin_s)} --> {stamp(end_s)}"


def _text(text: str) -> str:
    """Text of a cue or a note: one line without markup, and without the arrow that begins a cue."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
