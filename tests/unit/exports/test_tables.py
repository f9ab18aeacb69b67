"""CSV, Parquet, JSON and the submission, read back by parsers that aren't ours."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from stages.core.errors import ValaroError
from stages.exports.elan import annotations, write_eaf
from stages.exports.finished import trace_of_prediction
from stages.exports.formats import FORMATS
from stages.exports.subtitles import cues, write_vtt
from stages.exports.tables import write_abaw, write_csv, write_frames_json, write_parquet
from stages.exports.trace import COLUMNS, Trace, file_name, one_line

DECIMALS = 5e-7
"""Half of the sixth decimal."""


def require_same(columns: dict[str, np.ndarray], trace: Trace, tolerance: float) -> None:
    """Every column of the table is the trace's."""
    assert columns["frame"].tolist() == list(range(len(trace)))
    np.testing.assert_allclose(columns["time_s"], trace.time_s, rtol=0, atol=tolerance)
    np.testing.assert_allclose(columns["valence"], trace.valence_arousal[:, 0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(columns["arousal"], trace.valence_arousal[:, 1], rtol=0, atol=tolerance)
    assert columns["detected"].astype(bool).tolist() == trace.detected.tolist()
    assert columns["speaking"].astype(bool).tolist() == trace.speaking.tolist()


def test_csv(trace: Trace, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", trace)
    table = arrow_csv.read_csv(
        tmp_path / "t.csv", parse_options=arrow_csv.ParseOptions(newlines_in_values=True)
    )
    assert table.column_names == [*COLUMNS]
    require_same({name: table[name].to_numpy() for name in COLUMNS}, trace, DECIMALS)


def test_parquet_keeps_every_bit_and_says_what_it_is(trace: Trace, tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", trace)
    table = pq.read_table(tmp_path / "t.parquet")
    require_same({name: table[name].to_numpy() for name in COLUMNS}, trace, 0)
    assert [field.type for field in table.schema] == [
        pa.int32(),
        pa.float64(),
        pa.float32(),
        pa.float32(),
        pa.bool_(),
        pa.bool_(),
    ]
    assert [field.name for field in table.schema if field.nullable] == ["valence", "arousal"]
    assert table.schema.field("time_s").metadata[b"unit"] == b"s"
    assert table.schema.metadata[b"notice"].decode() == one_line(trace.notice)
    assert json.loads(table.schema.metadata[b"valaro"])["system"] == "dynamic"


def test_json_holds_summary_and_frames(trace: Trace, tmp_path: Path) -> None:
    write_frames_json(tmp_path / "t.json", trace)
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert content["system"] == "dynamic"
    assert set(content["frames"]) == set(COLUMNS) == set(content["units"])
    require_same({name: np.array(values) for name, values in content["frames"].items()}, trace, DECIMALS)


@pytest.fixture
def with_gap(trace_of: type[Trace]) -> Trace:
    """Nobody is there before 1 s and from 2 to 4 s; the second of two people."""
    trace = trace_of()
    nobody = (trace.time_s < 1) | ((trace.time_s >= 2) & (trace.time_s < 4))
    trace.valence_arousal[nobody] = np.nan
    return replace(trace, person="2", summary={**trace.summary, "person": "2"})


def test_where_nobody_is_there_no_table_has_a_value(with_gap: Trace, tmp_path: Path) -> None:
    nobody = np.isnan(with_gap.valence_arousal[:, 0])
    write_csv(tmp_path / "t.csv", with_gap)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    write_parquet(tmp_path / "t.parquet", with_gap)
    table = pq.read_table(tmp_path / "t.parquet")
    write_frames_json(tmp_path / "t.json", with_gap)
    frames = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["frames"]
    for target in ("valence", "arousal"):
        assert [row[target] == "" for row in rows] == nobody.tolist()
        assert table[target].is_null().to_pylist() == nobody.tolist()
        assert [value is None for value in frames[target]] == nobody.tolist()
    people = {row["person"] for row in rows}, set(table["person"].to_pylist()), set(frames["person"])
    assert people == ({"2"}, {"2"}, {"2"})


def test_a_submission_has_a_value_where_nobody_is_there(with_gap: Trace, tmp_path: Path) -> None:
    def written(trace: Trace) -> np.ndarray:
        write_abaw(tmp_path / "s.csv", [trace])
        with (tmp_path / "s.csv").open(newline="") as file:
            return np.array([[float(row["valence"]), float(row["arousal"])] for row in csv.DictReader(file)])

    held, values = written(with_gap), with_gap.valence_arousal
    np.testing.assert_allclose(held[:25], np.tile(values[25], (25, 1)), atol=DECIMALS)
    np.testing.assert_allclose(held[50:100], np.tile(values[49], (50, 1)), atol=DECIMALS)
    every = np.linspace(-1, 1, 2 * len(with_gap)).reshape(-1, 2)
    np.testing.assert_allclose(written(replace(with_gap, every_frame=every)), every, atol=DECIMALS)
    assert not written(replace(with_gap, valence_arousal=np.full_like(values, np.nan))).any()


def test_other_programs_are_silent_where_nobody_is_there(with_gap: Trace, tmp_path: Path) -> None:
    assert [round(begin_s) for begin_s, _, _ in cues(with_gap)] == [1, 4, 5]
    write_vtt(tmp_path / "t.vtt", with_gap)
    assert "<v person 2>valence" in (tmp_path / "t.vtt").read_text(encoding="utf-8")
    tiers = annotations(with_gap)
    assert [round(begin_s) for begin_s, _, _ in tiers["valence"]] == [1, 4, 5]
    write_eaf(tmp_path / "t.eaf", with_gap)
    assert 'PARTICIPANT="person 2"' in (tmp_path / "t.eaf").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_a_finished_trace_with_gaps_is_read_again(with_gap: Trace, suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "talk"
    folder.mkdir()
    (folder / "talk.json").write_text(json.dumps(with_gap.summary))
    FORMATS[suffix].write(folder / f"talk.{suffix}", with_gap)
    again = trace_of_prediction(folder)
    np.testing.assert_allclose(again.valence_arousal, with_gap.valence_arousal, atol=DECIMALS)
    assert again.person == "2"


WRITERS = [fmt.write for fmt in FORMATS.values()]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_may_have_any_name(write: type, trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode("Zoë 微笑 \n".encode() + b"\xe9")
    write(path, trace)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_trace_gives_the_same_bytes(kind: type, trace_of: type[Trace], tmp_path: Path) -> None:
    for name in "ab":
        kind(tmp_path / name, trace_of(notice="n"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_submission_has_a_row_per_frame_of_each_trace_in_order(
    trace_of: type[Trace], tmp_path: Path
) -> None:
    traces = [trace_of("b_left", np.arange(3) / 25, seed=1), trace_of("a", np.arange(2) / 25, seed=2)]
    write_abaw(tmp_path / "s.csv", traces)
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_location", "valence", "arousal"]
    assert [row[0] for row in rows] == [
        *("b_left/00001.jpg", "b_left/00002.jpg", "b_left/00003.jpg"),
        *("a/00001.jpg", "a/00002.jpg"),
    ]
    values = np.array([[float(value) for value in row[1:]] for row in rows])
    expected = np.concatenate([trace.valence_arousal for trace in traces])
    np.testing.assert_allclose(values, expected, rtol=0, atol=DECIMALS)


def test_a_submission_of_a_trace_that_lacks_frames_is_refused(trace_of: type[Trace], tmp_path: Path) -> None:
    kept = replace(trace_of("a", np.array([0.0, 0.08])), frame=np.array([0, 2]))
    with pytest.raises(ValaroError, match="a: frames are left out"):
        write_abaw(tmp_path / "s.csv", [kept])
    assert not (tmp_path / "s.csv").exists()


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str, trace_of: type[Trace], tmp_path: Path) -> None:
    trace = trace_of(text, np.zeros(1), notice=text)
    write_csv(tmp_path / "t.csv", trace)
    write_abaw(tmp_path / "s.csv", [trace])
    for name in ("t.csv", "s.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            words = [cell for row in csv.reader(file) for cell in row if not _is_number(cell)]
        assert not [cell for cell in words if cell[0] in "=+-@\t\r"]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


NAMES = [
    "..",
    ".",
    "",
    "...",
    "../../etc/passwd",
    "/abs",
    "a/b",
    "a\\b",
    "nul\0",
    ".hidden",
    "plain",
    "微笑 🙂",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / file_name(name)
    path.touch()
    assert path.resolve().parent == tmp_path
    assert list(tmp_path.iterdir()) == [path]
    assert file_name(name) == name or name not in ("plain", "微笑 🙂", ".hidden")
