"""CSV, Parquet, JSON and the submission, read back by parsers that aren't ours."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from stages.exports.formats import FORMATS
from stages.exports.tables import write_abaw, write_csv, write_frames_json, write_parquet
from stages.exports.trace import COLUMNS, Trace, file_name, printable

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
    assert not any(field.nullable for field in table.schema)
    assert table.schema.field("time_s").metadata[b"unit"] == b"s"
    assert table.schema.metadata[b"notice"].decode() == printable(trace.notice)
    assert json.loads(table.schema.metadata[b"valaro"])["system"] == "dynamic"


def test_json_holds_summary_and_frames(trace: Trace, tmp_path: Path) -> None:
    write_frames_json(tmp_path / "t.json", trace)
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert content["system"] == "dynamic"
    assert set(content["frames"]) == set(COLUMNS) == set(content["units"])
    require_same({name: np.array(values) for name, values in content["frames"].items()}, trace, DECIMALS)


def test_json_refuses_what_json_has_no_word_for(trace_of: type[Trace], tmp_path: Path) -> None:
    trace = trace_of()
    trace.valence_arousal[3, 0] = np.nan
    with pytest.raises(ValueError, match="JSON compliant"):
        write_frames_json(tmp_path / "t.json", trace)


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
