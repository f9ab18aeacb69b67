"""ELAN annotation files (EAF 3.0): the trace beside an annotator's own tiers.

Tiers: `valence` and `arousal` (a value a second), `speaking` and `face seen` (intervals), and `notice` where
there is one. Times are milliseconds. Schema: http://www.mpi.nl/tools/elan/EAFv3.0.xsd
"""

import mimetypes
import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from stages.exports.subtitles import signed
from stages.exports.trace import Trace, printable, runs_s, seconds_of

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
DATE = "1970-01-01T00:00:00+00:00"  # the schema wants one; the real one would change the bytes every time
LINGUISTIC_TYPE = "default-lt"

Annotation = tuple[float, float, str]
"""Begin and end in seconds, and the value."""


def write_eaf(path: Path, trace: Trace) -> None:
    """Write the document; ELAN looks for the video at its place, then beside the document."""
    Xml.register_namespace("xsi", INSTANCE[1:-1])
    tree = Xml.ElementTree(document(trace))
    Xml.indent(tree, " ")
    tree.write(path, encoding="UTF-8", xml_declaration=True)


def document(trace: Trace) -> Xml.Element:
    """The whole document; its parts in the order of the schema."""
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {"AUTHOR": "valaro", "DATE": DATE, "FORMAT": "3.0", "VERSION": "3.0"}
        | {f"{INSTANCE}noNamespaceSchemaLocation": SCHEMA},
    )
    tiers = {name: _in_milliseconds(found) for name, found in annotations(trace).items()}
    _header(root, trace.video, sum(map(len, tiers.values())))
    slots = _time_order(
        root, {ms for found in tiers.values() for begin, end, _ in found for ms in (begin, end)}
    )
    numbers = count(1)
    for name, found in tiers.items():
        tier = Xml.SubElement(root, "TIER", LINGUISTIC_TYPE_REF=LINGUISTIC_TYPE, TIER_ID=name)
        if trace.person:
            tier.set("PARTICIPANT", f"person {trace.person}")
        for begin, end, value in found:
            ends = {"TIME_SLOT_REF1": slots[begin], "TIME_SLOT_REF2": slots[end]}
            holder = Xml.SubElement(tier, "ANNOTATION")
            one = Xml.SubElement(
                holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{next(numbers)}"} | ends
            )
            Xml.SubElement(one, "ANNOTATION_VALUE").text = printable(value)
    kind = {"LINGUISTIC_TYPE_ID": LINGUISTIC_TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    Xml.SubElement(root, "LINGUISTIC_TYPE", kind)
    return root


def annotations(trace: Trace) -> dict[str, list[Annotation]]:
    """Every tier's annotations; those of one tier don't overlap."""
    seconds = seconds_of(trace)
    spans = list(zip(seconds.begin_s.tolist(), seconds.end_s.tolist(), strict=True))
    tiers = {
        target: [(*span, signed(value)) for span, value in zip(spans, values, strict=True)]
        for target, values in zip(("valence", "arousal"), seconds.valence_arousal.T.tolist(), strict=True)
    }
    for name, flags in (("speaking", trace.speaking), ("face seen", trace.detected)):
        runs = runs_s(flags, trace.time_s, trace.duration_s).tolist()
        tiers[name] = [(begin_s, end_s, name) for begin_s, end_s in runs]
    if trace.notice:
        tiers["notice"] = [(0.0, max(trace.duration_s, float(trace.time_s[-1])), trace.notice)]
    return tiers


def _in_milliseconds(found: Iterable[Annotation]) -> list[tuple[int, int, str]]:
    """Whole milliseconds; what is shorter than one has no place."""
    rounded = [(round(begin_s * 1000), round(end_s * 1000), value) for begin_s, end_s, value in found]
    return [one for one in rounded if one[0] < one[1]]


def _header(root: Xml.Element, video: Path, annotated: int) -> None:
    header = Xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    kind = mimetypes.guess_type(video.name)[0] or "unknown"
    beside = f"./{quote(os.fsencode(video.name))}"
    place = {"MEDIA_URL": video.absolute().as_uri(), "RELATIVE_MEDIA_URL": beside}
    Xml.SubElement(header, "MEDIA_DESCRIPTOR", place | {"MIME_TYPE": kind})
    Xml.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(annotated)


def _time_order(root: Xml.Element, times_ms: set[int]) -> dict[int, str]:
    """The slots by their time, one for each, in the order of time."""
    order = Xml.SubElement(root, "TIME_ORDER")
    slots = {ms: f"ts{number}" for number, ms in enumerate(sorted(times_ms), start=1)}
    for ms, slot in slots.items():
        Xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(ms))
    return slots
