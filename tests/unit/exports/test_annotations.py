"""Subtitles and ELAN documents, read back by webvtt-py and pympi-ling, and held against ELAN's schema."""

import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import webvtt
from pympi.Elan import Eaf

from stages.exports.elan import write_eaf
from stages.exports.subtitles import signed, stamp, write_vtt
from stages.exports.trace import Trace, runs_s, seconds_of

CUE = re.compile(r"valence ([+-]\d\.\d\d) arousal ([+-]\d\.\d\d)")


def means_by_second(trace: Trace) -> dict[int, np.ndarray]:
    """The oracle, written the slow way."""
    found: dict[int, list[np.ndarray]] = {}
    for time_s, values in zip(trace.time_s, trace.valence_arousal.astype(float), strict=True):
        found.setdefault(int(time_s), []).append(values)
    return {second: np.mean(values, axis=0) for second, values in found.items()}


def test_subtitles_give_each_second_its_mean(trace: Trace, tmp_path: Path) -> None:
    write_vtt(tmp_path / "t.vtt", trace)
    expected = means_by_second(trace)
    cues = [cue for cue in webvtt.read(str(tmp_path / "t.vtt")) if CUE.fullmatch(cue.text)]
    shown_at: dict[int, np.ndarray] = {}
    for cue in cues:
        values = np.array(CUE.fullmatch(cue.text).groups(), float)  # type: ignore[union-attr]
        for second in range(int(_seconds(cue.start)), int(np.ceil(_seconds(cue.end)))):
            shown_at[second] = values
    shown = {second for second in expected if second < trace.duration_s}
    assert set(shown_at) == shown
    assert all(np.abs(shown_at[second] - expected[second]).max() <= 0.00501 for second in shown_at)


def test_cues_are_in_order_and_end_within_the_video(trace: Trace, tmp_path: Path) -> None:
    write_vtt(tmp_path / "t.vtt", trace)
    cues = [cue for cue in webvtt.read(str(tmp_path / "t.vtt")) if CUE.fullmatch(cue.text)]
    ends = [(_seconds(cue.start), _seconds(cue.end)) for cue in cues]
    assert all(begin < end for begin, end in ends)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ends))
    assert ends[-1][1] <= trace.duration_s + 0.001


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_a_notice_is_a_cue_for_the_whole_length(trace: Trace, tmp_path: Path) -> None:
    write_vtt(tmp_path / "t.vtt", trace)
    others = [cue for cue in webvtt.read(str(tmp_path / "t.vtt")) if not CUE.fullmatch(cue.text)]
    assert len(others) == bool(trace.notice)
    for cue in others:
        assert _seconds(cue.start) == 0
        assert _seconds(cue.end) == pytest.approx(trace.duration_s, abs=0.001)
        assert "-->" not in cue.raw_text
        assert "<" not in cue.raw_text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3723.0045, "01:02:03.004"), (359999.9, "99:59:59.900")],
)
def test_stamps(time_s: float, text: str) -> None:
    assert stamp(time_s) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.314, "+0.31"), (-0.004, "+0.00"), (0.0, "+0.00"), (-1.0, "-1.00")]
)
def test_numbers_carry_their_sign_and_zero_is_never_negative(value: float, text: str) -> None:
    assert signed(value) == text


def test_elan_reads_every_tier(trace: Trace, tmp_path: Path) -> None:
    write_eaf(tmp_path / "t.eaf", trace)
    document = Eaf(str(tmp_path / "t.eaf"))
    assert list(document.get_tier_names()) == [
        *("valence", "arousal", "speaking", "face seen"),
        *(["notice"] if trace.notice else []),
    ]
    seconds = seconds_of(trace)
    for column, target in enumerate(("valence", "arousal")):
        read = sorted(document.get_annotation_data_for_tier(target))
        kept = [
            k
            for k in range(len(seconds.begin_s))
            if round(seconds.begin_s[k] * 1000) < round(seconds.end_s[k] * 1000)
        ]
        assert [begin for begin, _, _ in read] == [round(seconds.begin_s[k] * 1000) for k in kept]
        assert [float(value) for _, _, value in read] == pytest.approx(
            seconds.valence_arousal[kept, column], abs=0.00501
        )
    for tier, flags in (("speaking", trace.speaking), ("face seen", trace.detected)):
        read = sorted(document.get_annotation_data_for_tier(tier))
        expected = np.round(runs_s(flags, trace.time_s, trace.duration_s) * 1000).astype(int).tolist()
        assert [[begin, end] for begin, end, _ in read] == expected


def test_runs_by_hand() -> None:
    flags, time_s = np.array([True, False, True, True]), np.array([0.0, 0.1, 0.3, 0.4])
    assert runs_s(flags, time_s, 0.5).tolist() == [[0.0, 0.1], [0.3, 0.5]]


def gone_for_a_while() -> Trace:
    """Somebody is there in three parts of five seconds, and nobody at the end; the interval tells all."""
    time_s = np.arange(125) / 25
    there = (time_s < 1.5) | ((time_s >= 3.2) & (time_s < 3.4)) | ((time_s >= 3.6) & (time_s < 4.5))
    values = np.where(there[:, None], [0.25, -0.5], np.nan)
    return Trace(
        name="gone",
        video=Path("gone.mp4"),
        time_s=time_s,
        valence_arousal=values,
        detected=there,
        speaking=there,
        duration_s=5.0,
        summary={"rate_hz": 25.0, "notes": []},
        interval=np.stack([values - 0.1, values + 0.1], axis=2),
    )


def test_frames_that_are_left_out_end_what_lasts(tmp_path: Path) -> None:
    """Without the frames in which nobody is there, seconds and spans are the same."""
    whole = gone_for_a_while()
    kept = whole.confident(2.0)
    kept = replace(kept, summary={**kept.summary, "abstained_beyond": 2.0})
    assert len(kept) < len(whole)
    for write, name in ((write_eaf, "t.eaf"), (write_vtt, "t.vtt")):
        for number, trace in enumerate((whole, kept)):
            write(tmp_path / f"{number}{name}", trace)
        assert (tmp_path / f"0{name}").read_text() == (tmp_path / f"1{name}").read_text()
    np.testing.assert_allclose(kept.until_s[-1], 4.52)
    assert not len(whole.confident(0.1).until_s)


def read(document: Path) -> Xml.Element:
    """The root of a document of our own."""
    return Xml.parse(document).getroot()  # noqa: S314


ORDER = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
REQUIRED = {
    "ANNOTATION_DOCUMENT": {"AUTHOR", "DATE", "VERSION", "FORMAT"},
    "MEDIA_DESCRIPTOR": {"MEDIA_URL", "MIME_TYPE"},
    "TIME_SLOT": {"TIME_SLOT_ID", "TIME_VALUE"},
    "TIER": {"TIER_ID", "LINGUISTIC_TYPE_REF"},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
    "LINGUISTIC_TYPE": {"LINGUISTIC_TYPE_ID"},
}
"""Of EAFv3.0.xsd: the order of the parts that we use, and the attributes that must be there."""


def test_the_document_keeps_the_rules_of_the_schema(trace: Trace, tmp_path: Path) -> None:
    write_eaf(tmp_path / "t.eaf", trace)
    root = read(tmp_path / "t.eaf")
    parts = [element.tag for element in root]
    assert parts == sorted(parts, key=ORDER.index)
    for element in root.iter():
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib), element.tag
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", root.attrib["DATE"])
    assert root[0].attrib["TIME_UNITS"] in ("milliseconds", "NTSC-frames", "PAL-frames", "PAL-50-frames")
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    assert min(slots.values(), default=0) >= 0
    annotations = list(root.iter("ALIGNABLE_ANNOTATION"))
    names = [one.attrib["ANNOTATION_ID"] for one in annotations] + list(slots)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", name) for name in names)  # xsd:ID
    for one in annotations:
        assert slots[one.attrib["TIME_SLOT_REF1"]] < slots[one.attrib["TIME_SLOT_REF2"]]
    [last] = [p.text for p in root.iter("PROPERTY") if p.attrib["NAME"] == "lastUsedAnnotationId"]
    assert int(str(last)) == len(annotations)
    types = {kind.attrib["LINGUISTIC_TYPE_ID"] for kind in root.iter("LINGUISTIC_TYPE")}
    assert {tier.attrib["LINGUISTIC_TYPE_REF"] for tier in root.iter("TIER")} <= types


def test_annotations_of_a_tier_do_not_overlap(trace: Trace, tmp_path: Path) -> None:
    write_eaf(tmp_path / "t.eaf", trace)
    document = Eaf(str(tmp_path / "t.eaf"))
    for tier in document.get_tier_names():
        read = sorted(document.get_annotation_data_for_tier(tier))
        assert all(one[1] <= later[0] for one, later in pairwise(read))


def test_a_second_in_which_values_begin_or_end_is_no_longer_than_they_are(trace_of: type[Trace]) -> None:
    trace = trace_of(time_s=np.arange(75) / 25)
    values = trace.valence_arousal.copy()
    values[:23] = values[60:] = np.nan
    seconds = seconds_of(replace(trace, valence_arousal=values))
    np.testing.assert_allclose(seconds.begin_s, [0.92, 1.0, 2.0])
    np.testing.assert_allclose(seconds.end_s, [1.0, 2.0, 2.4])


def test_no_two_annotations_share_a_time_slot(trace: Trace, tmp_path: Path) -> None:
    write_eaf(tmp_path / "t.eaf", trace)
    names = [
        one.attrib[f"TIME_SLOT_REF{end}"]
        for one in read(tmp_path / "t.eaf").iter("ALIGNABLE_ANNOTATION")
        for end in (1, 2)
    ]
    assert len(set(names)) == len(names)


def test_pympi_moves_every_annotation_once(trace_of: type[Trace], tmp_path: Path) -> None:
    write_eaf(tmp_path / "t.eaf", trace_of())
    document = Eaf(str(tmp_path / "t.eaf"))
    before = {tier: sorted(document.get_annotation_data_for_tier(tier)) for tier in document.get_tier_names()}
    document.shift_annotations(250)
    for tier, found in before.items():
        moved = sorted(document.get_annotation_data_for_tier(tier))
        assert moved == [(begin + 250, end + 250, value) for begin, end, value in found]


@pytest.mark.parametrize("start_s", [1.5, 0.023, -0.3])
def test_subtitles_and_documents_are_on_the_players_clock(
    trace_of: type[Trace], tmp_path: Path, start_s: float
) -> None:
    trace = trace_of()
    for name, one in (("here", trace), ("late", replace(trace, video_start_s=start_s))):
        write_vtt(tmp_path / f"{name}.vtt", one)
        write_eaf(tmp_path / f"{name}.eaf", one)
    here, late = (
        [(cue.start, cue.end) for cue in webvtt.read(str(tmp_path / f"{n}.vtt"))] for n in ("here", "late")
    )
    for ends, moved in zip(here, late, strict=True):
        for time, other in zip(ends, moved, strict=True):
            assert _seconds(other) == pytest.approx(max(0.0, _seconds(time) + start_s), abs=0.0011)
    documents = [Eaf(str(tmp_path / f"{name}.eaf")) for name in ("here", "late")]
    for tier in documents[0].get_tier_names():
        old, new = (sorted(document.get_annotation_data_for_tier(tier)) for document in documents)
        wanted = [
            [max(0, begin + round(1000 * start_s)), end + round(1000 * start_s)] for begin, end, _ in old
        ]
        np.testing.assert_allclose([one[:2] for one in new], wanted, atol=1)
    assert "TIME_ORIGIN" not in (tmp_path / "late.eaf").read_text()


def test_the_document_finds_the_video_when_both_have_moved(trace_of: type[Trace], tmp_path: Path) -> None:
    videos, private = tmp_path / "study/videos of Zoë", tmp_path / "private"
    trace = replace(trace_of(), video=videos / "talk.mp4", folder=tmp_path / "study/traces/talk")
    private.mkdir()
    write_eaf(private / "t.eaf", trace)
    [media] = read(private / "t.eaf").iter("MEDIA_DESCRIPTOR")
    moved = Path("/elsewhere/traces/talk")
    way = unquote(media.attrib["RELATIVE_MEDIA_URL"])
    assert os.path.normpath(moved / way) == "/elsewhere/videos of Zoë/talk.mp4"


def test_elan_finds_the_video(trace_of: type[Trace], tmp_path: Path) -> None:
    trace = trace_of("Zoë & 1% #2?")
    write_eaf(tmp_path / "t.eaf", trace)
    [media] = read(tmp_path / "t.eaf").iter("MEDIA_DESCRIPTOR")
    assert Path(unquote(urlparse(media.attrib["MEDIA_URL"]).path)) == trace.video.absolute()
    relative = unquote(media.attrib["RELATIVE_MEDIA_URL"])
    assert Path(os.path.normpath(tmp_path / relative)) == trace.video.absolute()
    assert media.attrib["MIME_TYPE"] == "video/mp4"
