"""`valaro export`: the pipeline's traces and earlier predictions, to files that never leave their folder."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stages.core.artefacts import write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.exports.origins import SAMPLE_NOTICE
from stages.exports.tables import write_csv, write_frames_json, write_parquet
from stages.exports.trace import Trace
from valaro.cli import app

FRAMES = 30
SUBJECTS = [
    Subject("heard", "heard", None, "train"),
    Subject("pair_left", "pair", "left", "validation"),
    Subject("..", "odd", None, "test"),
    Subject("mute", "mute", None, "test"),
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def values_of(subject: Subject) -> np.ndarray:
    return np.random.default_rng(len(subject.video)).uniform(-1, 1, (FRAMES, 2)).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository after `dvc repro`: four subjects, one of them without sound and so without audio's trace."""
    workspace = Workspace(tmp_path / "repository")
    videos = {subject.video: f"corpus/videos/{subject.video}.mp4" for subject in SUBJECTS}
    workspace.write_corpus(Corpus(SUBJECTS, videos), source="data/affwild2")
    write_json(workspace.metrics("evaluate.json"), {"best": "dwf_dynamic_audio"})
    time_s, grid_s = np.arange(FRAMES) / 30, np.arange(5) / 5
    for subject in SUBJECTS:
        trace = {"time_s": time_s, "valence_arousal": values_of(subject)}
        facts = {"duration_s": FRAMES / 30, "average_rate_hz": 30.0}
        write_arrays(workspace.artefact("index", subject.name), {"time_s": time_s}, **facts)
        detected = np.array([True, True, False, True, True])
        write_arrays(workspace.artefact("faces", subject.name), {"time_s": grid_s, "detected": detected})
        if subject.name != "mute":
            write_arrays(workspace.artefact("speech", subject.name), {"time_s": grid_s, "speaking": detected})
            write_arrays(workspace.artefact("traces/audio", subject.name), trace)
        write_arrays(workspace.artefact("fused/dwf_dynamic_audio", subject.name), trace)
    monkeypatch.chdir(workspace.root)
    return workspace.root


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_every_subject_of_the_best_system(root: Path, tmp_path: Path) -> None:
    result = run("--format", "csv,eaf", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = {
        f"{name}.{suffix}" for name in ("heard", "pair_left", "_..", "mute") for suffix in ("csv", "eaf")
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    rows = rows_of(tmp_path / "out/heard.csv")
    read = np.array([[float(row["valence"]), float(row["arousal"])] for row in rows])
    np.testing.assert_allclose(read, values_of(SUBJECTS[0]), rtol=0, atol=5e-7)
    lost = slice(10, 16)  # nearest to 0.4 s; halfway counts to the earlier step
    assert [row["detected"] for row in rows[lost]] == ["0"] * 6
    assert sum(row["detected"] == "1" for row in rows) == FRAMES - 6
    assert {row["speaking"] for row in rows_of(tmp_path / "out/mute.csv")} == {"0"}


def test_a_system_without_a_model_is_not_missing_for_want_of_a_run(root: Path, tmp_path: Path) -> None:
    result = run("--system", "kelm", "--out", tmp_path / "out")
    assert "data/traces/kelm is missing. Run `dvc repro evaluate`." in result.stderr
    write_json(root / "metrics/evaluate.json", {"best": "dwf_dynamic_audio", "systems": {"kelm": {}}})
    for system in ("kelm", "kelm.out_of_fold"):
        result = run("--system", system, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "kelm has no trace in this run: metrics/notes.json says why." in result.stderr


def test_a_split_and_a_system_can_be_chosen(root: Path, tmp_path: Path) -> None:
    result = run("--system", "audio", "--split", "test", "--format", "abaw", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "out/submission.csv")
    assert [row["image_location"] for row in rows] == [f"../{k + 1:05d}.jpg" for k in range(FRAMES)]
    assert "note: 1 of 2 subjects have no trace in data/traces/audio: mute." in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"submission.csv"}


def test_the_sample_corpus_brings_its_notice(root: Path, tmp_path: Path) -> None:
    Workspace(root).write_corpus(Corpus(SUBJECTS[:1], {"heard": "heard.mp4"}), source="data/sample/corpus")
    result = run("--format", "json", "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out/heard.json").read_text())["notice"] == SAMPLE_NOTICE
    assert SAMPLE_NOTICE in result.stderr


FAULTS: dict[str, tuple[list[str], int, str]] = {
    "format": (["--format", "docx"], 2, "parquet"),
    "system": (["--format", "csv", "--system", "oracle"], 2, "dwf_dynamic_audio.out_of_fold"),
    "split": (["--format", "csv", "--split", "tests"], 2, "validation"),
    "subject": (["--format", "csv", "--subject", "nobody"], 1, "corpus.json"),
    "no trace": (["--format", "csv", "--subject", "mute", "--system", "audio"], 1, "mute.h5 is missing"),
    "not run": (["--format", "csv", "--system", "kelm"], 1, "dvc repro"),
    "nothing": (["--format", "csv", "--split", "test", "--subject", "heard"], 1, "nothing to export"),
    "folder": (["data", "--format", "csv"], 1, "no result"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_exported_is_one_line(fault: str, root: Path, tmp_path: Path) -> None:
    arguments, status, said = FAULTS[fault]
    result = run(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_files_are_replaced_only_on_demand(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mute.vtt").write_text("work")
    arguments = ("--format", "vtt", "--out", tmp_path / "out")
    refused = run(*arguments)
    assert (refused.exit_code, len(list((tmp_path / "out").iterdir()))) == (1, 1)
    assert "mute.vtt exists already" in refused.stderr
    assert run(*arguments, "--force").exit_code == 0
    assert (tmp_path / "out/mute.vtt").read_text().startswith("WEBVTT")


def prediction(out: Path, name: str, format_name: str, *, gap: slice | None = None) -> Trace:
    """What `valaro predict` leaves for a recording; with an interval, if nobody is there for a while."""
    values = np.random.default_rng(7).uniform(-1, 1, (FRAMES, 2)).astype(np.float32).round(6)
    summary = {
        "file": f"{name}.mp4",
        "duration_s": 1.0,
        "frames": FRAMES,
        "notice": None,
        "system": "dynamic",
    }
    seen = np.arange(FRAMES) % 3 > 0
    trace = Trace(
        name, Path(f"{name}.mp4"), np.arange(FRAMES) / 30, values, seen, ~seen, 1.0, summary=summary
    )
    if gap:
        values[gap] = np.nan
        trace = replace(trace, interval=values[:, :, None] + np.array([-0.25, 0.25]))
    (out / name).mkdir(parents=True)
    write_json(out / name / f"{name}.json", summary)
    write = {"csv": write_csv, "parquet": write_parquet, "json": write_frames_json}[format_name]
    write(out / name / f"{name}.{format_name}", trace)
    return trace


@pytest.mark.parametrize("format_name", ["csv", "parquet", "json"])
def test_an_earlier_prediction_comes_back_from_any_table(format_name: str, tmp_path: Path) -> None:
    trace = prediction(tmp_path / "traces", "a.b", format_name)
    result = run(tmp_path / "traces", "--format", "csv,json,vtt", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    write_csv(tmp_path / "expected.csv", trace)
    assert (tmp_path / "out/a.b.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    content = json.loads((tmp_path / "out/a.b.json").read_text())
    assert (content["system"], content["frames"]["speaking"]) == (
        "dynamic",
        trace.speaking.astype(int).tolist(),
    )


@pytest.mark.parametrize("format_name", ["csv", "parquet", "json"])
def test_frames_without_anybody_come_back_without_value_and_interval(
    format_name: str, tmp_path: Path
) -> None:
    trace = prediction(tmp_path / "traces", "a", format_name, gap=slice(10, 20))
    result = run(tmp_path / "traces", "--format", "csv", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    write_csv(tmp_path / "expected.csv", trace)
    assert (tmp_path / "out/a.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    submission = run(tmp_path / "traces", "--format", "abaw", "--out", tmp_path / "out")
    assert "note: 10 frames without anybody have the last value before them" in submission.stderr
    assert [row["valence_low"] == "" for row in rows_of(tmp_path / "out/a.csv")].count(True) == 10


@pytest.mark.parametrize("format_name", ["csv", "parquet", "json"])
def test_a_table_of_an_earlier_version_with_the_column_voiced_is_read(
    format_name: str, tmp_path: Path
) -> None:
    trace = prediction(tmp_path / "traces", "old", format_name)
    table = tmp_path / f"traces/old/old.{format_name}"
    if format_name == "parquet":
        import pyarrow.parquet as pq

        held = pq.read_table(table)
        names = ["voiced" if name == "speaking" else name for name in held.column_names]
        pq.write_table(held.rename_columns(names), table)
    else:
        table.write_text(table.read_text(encoding="utf-8").replace("speaking", "voiced"), encoding="utf-8")
    result = run(tmp_path / "traces", "--format", "csv", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    speaking = [row["speaking"] for row in rows_of(tmp_path / "out/old.csv")]
    assert speaking == [str(int(flag)) for flag in trace.speaking]


def test_one_recording_can_be_named_from_within_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        prediction(tmp_path / "traces", name, "csv")
    monkeypatch.chdir(tmp_path / "traces/a")
    assert run(".", "--format", "vtt", "--out", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.vtt"]


SPOILT = {
    "no table": lambda folder: (folder / "a.csv").unlink(),
    "no JSON": lambda folder: (folder / "a.json").write_text("{"),
    "another JSON": lambda folder: (folder / "a.json").write_text("[]"),
    "half a row": lambda folder: (folder / "a.csv").write_text((folder / "a.csv").read_text()[:-20]),
    "no number": lambda folder: (folder / "a.csv").write_text(
        (folder / "a.csv").read_text().replace("0.033333", "nan")
    ),
    "times that go back": lambda folder: (folder / "a.csv").write_text(
        (folder / "a.csv").read_text().replace("0.033333", "0.933333")
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_prediction_is_named(kind: str, tmp_path: Path) -> None:
    prediction(tmp_path / "traces", "a", "csv")
    SPOILT[kind](tmp_path / "traces/a")
    result = run(tmp_path / "traces", "--format", "vtt", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert str(tmp_path / "traces/a") in result.stderr
    assert "valaro predict" in result.stderr
    assert "Traceback" not in result.output


def test_two_predictions_of_one_name_cannot_share_a_file(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        prediction(tmp_path / folder, "a", "csv")
    result = run(tmp_path / "x", tmp_path / "y", "--format", "vtt", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "share" in result.stderr
