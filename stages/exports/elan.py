"""ELAN annotation files (EAF 3.0), with the trace as tiers beside those of an annotator.

Tiers: `valence` and `arousal` (one value per second), `speaking` and `face seen` (intervals), and `notice` if
there is one. Times are milliseconds on a video player's clock. Schema:
http://www.mpi.nl/tools/elan/EAFv3.0.xsd
"""

import mimetypes
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from stages.core.measures import TARGETS
from stages.exports.subtitles import signed
from stages.exports.trace import Trace, one_line, runs_s, seconds_of

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
DATE = "1970-01-01T00:00:00+00:00"  # required by the schema; the real date would change the bytes every time
LINGUISTIC_TYPE = "default-lt"
UNKNOWN = "unknown"
OTHER_KINDS = {".ts": "video/mp2t", ".mts": "video/mp2t", ".m2ts": "video/mp2t", ".vob": "video/mpeg"}
"""Suffixes that Python's table of MIME types lacks or takes for something else (.ts: a translation file)."""

Annotation = tuple[float, float, str]
"""Begin and end in seconds, value."""


def write_eaf(path: Path, trace: Trace) -> None:
    """Write the document. ELAN looks for the video at its absolute path, then relative to the document."""
    Xml.register_namespace("xsi", INSTANCE[1:-1])
    tree = Xml.ElementTree(document(trace, path.parent))
    Xml.indent(tree, " ")
    tree.write(path, encoding="UTF-8", xml_declaration=True)


def document(trace: Trace, folder: Path) -> Xml.Element:
    """The document as XML, its elements in the order of the schema.

    Args:
        trace: the content.
        folder: folder of the document, for the relative path of the video; `trace.folder` takes precedence.
    """
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {"AUTHOR": "valaro", "DATE": DATE, "FORMAT": "3.0", "VERSION": "3.0"}
        | {f"{INSTANCE}noNamespaceSchemaLocation": SCHEMA},
    )
    tiers = {name: _in_milliseconds(trace, found) for name, found in annotations(trace).items()}
    _header(root, trace.video, trace.folder or folder, sum(map(len, tiers.values())))
    slots = _time_order(root, [span for found in tiers.values() for span in found])
    numbers = count(1)
    for name, found in tiers.items():
        tier = Xml.SubElement(root, "TIER", LINGUISTIC_TYPE_REF=LINGUISTIC_TYPE, TIER_ID=name)
        if trace.person:
            tier.set("PARTICIPANT", f"person {trace.person}")
        for _, _, value in found:
            begin, end = next(slots)
            ends = {"TIME_SLOT_REF1": begin, "TIME_SLOT_REF2": end}
            holder = Xml.SubElement(tier, "ANNOTATION")
            one = Xml.SubElement(
                holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{next(numbers)}"} | ends
            )
            Xml.SubElement(one, "ANNOTATION_VALUE").text = one_line(value)
    kind = {"LINGUISTIC_TYPE_ID": LINGUISTIC_TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    Xml.SubElement(root, "LINGUISTIC_TYPE", kind)
    return root


def annotations(trace: Trace) -> dict[str, list[Annotation]]:
    """Tier -> its annotations, which don't overlap."""
    seconds = seconds_of(trace)
    spans = list(zip(seconds.begin_s.tolist(), seconds.end_s.tolist(), strict=True))
    tiers = {
        target: [(*span, signed(value)) for span, value in zip(spans, values, strict=True)]
        for target, values in zip(TARGETS, seconds.valence_arousal.T.tolist(), strict=True)
    }
    for name, flags in (("speaking", trace.speaking), ("face seen", trace.detected)):
        runs = runs_s(flags, trace.time_s, trace.duration_s, trace.until_s).tolist()
        tiers[name] = [(begin_s, end_s, name) for begin_s, end_s in runs]
    if trace.notice:
        tiers["notice"] = [(0.0, max(trace.duration_s, float(trace.time_s[-1])), trace.notice)]
    return tiers


def relative_url(file: Path, folder: Path) -> str:
    """Relative URL of a file from a folder, as ELAN writes it: ./name or ../folder/name."""
    way = os.path.relpath(file.absolute(), folder.absolute()).replace(os.sep, "/")
    return quote(os.fsencode(way if way.startswith("../") else f"./{way}"))


def _in_milliseconds(trace: Trace, found: Iterable[Annotation]) -> list[tuple[int, int, str]]:
    """Annotations in whole milliseconds on a video player's clock; shorter ones are left out."""
    rounded = [
        (round(trace.player_time_s(begin_s) * 1000), round(trace.player_time_s(end_s) * 1000), value)
        for begin_s, end_s, value in found
    ]
    return [one for one in rounded if one[0] < one[1]]


def _header(root: Xml.Element, video: Path, folder: Path, annotated: int) -> None:
    """Add the media descriptor, without TIME_ORIGIN, since the times are on the video player's clock.

    ELAN starts to play at TIME_ORIGIN; pympi and other readers of EAF ignore it.
    """
    header = Xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    guessed = mimetypes.guess_type(video.name)[0] or ""
    kind = (
        guessed
        if guessed.startswith(("video/", "audio/"))
        else OTHER_KINDS.get(video.suffix.lower(), UNKNOWN)
    )
    place = {"MEDIA_URL": video.absolute().as_uri(), "RELATIVE_MEDIA_URL": relative_url(video, folder)}
    Xml.SubElement(header, "MEDIA_DESCRIPTOR", place | {"MIME_TYPE": kind})
    Xml.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(annotated)


def _time_order(root: Xml.Element, spans: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
    """Add the time slots in order of time, two per annotation; return their names per annotation.

    No slot is shared: pympi, for example, would move a shared slot once for each of its annotations.
    """
    ends_first = sorted(
        (time_ms, not last, number)
        for number, (begin_ms, end_ms, _) in enumerate(spans)
        for time_ms, last in ((begin_ms, False), (end_ms, True))
    )
    order, names = Xml.SubElement(root, "TIME_ORDER"), dict[tuple[int, bool], str]()
    for place, (time_ms, begins, number) in enumerate(ends_first, start=1):
        names[number, begins] = f"ts{place}"
        Xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{place}", TIME_VALUE=str(time_ms))
    return ((names[number, True], names[number, False]) for number in range(len(spans)))
