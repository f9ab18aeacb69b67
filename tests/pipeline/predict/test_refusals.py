"""What can't be done is one line that says why, and leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from typer.testing import CliRunner

import valaro
from valaro.cli import app
from valaro.recordings.formats import TRACE

from .conftest import Run, record, summary


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _truncated(folder: Path) -> Path:
    whole = record(folder / "whole.mp4").read_bytes()
    path = folder / "truncated.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def _text(folder: Path) -> Path:
    path = folder / "renamed.mp4"
    path.write_text("valence,arousal\n0.1,0.2\n" * 50)
    return path


def _newline(folder: Path) -> Path:
    return folder / "two\nlines.mp4"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (_empty, "empty"),
    "truncated": (_truncated, "stopped early"),
    "text": (_text, "not a video"),
    "missing": (lambda folder: folder / "missing.mp4", "no such file"),
    "line break in the name": (_newline, "no such file"),
    "no face": (lambda folder: record(folder / "wall.mp4", face=False), "no face"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(kind: str, run: Run, tmp_path: Path) -> None:
    make, said = BAD[kind]
    bad = make(tmp_path)
    result = run(bad)
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert str(bad).replace("\n", "\\n") in line
    assert "Traceback" not in result.output
    assert [*tmp_path.glob("out/*")] == []


def test_the_others_go_on(run: Run, portrait: Path, tmp_path: Path) -> None:
    result = run(_empty(tmp_path), portrait, tmp_path / "missing.mp4", "--no-overlay")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["portrait", "traces.csv"]


def test_results_are_replaced_only_on_demand_and_strangers_never(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "portrait"
    assert run(portrait, "--no-overlay").exit_code == 0
    before = (folder / "portrait.csv").stat().st_mtime_ns
    kept = run(portrait, "--no-overlay")
    assert (kept.exit_code, kept.stdout) == (0, "")
    assert "finished before: kept" in kept.stderr
    refused = run(portrait, "--no-overlay", "--hold", "--system", "audio")
    assert refused.exit_code == 1
    assert "made with system dwf_dynamic_audio, now audio; hold no, now yes; other models" in refused.stderr
    assert "--force" in refused.stderr
    assert (folder / "portrait.csv").stat().st_mtime_ns == before
    assert run(portrait, "--no-overlay", "--force").exit_code == 0
    assert (folder / "portrait.csv").stat().st_mtime_ns > before
    (folder / "thesis.txt").write_text("years of work")
    assert "thesis.txt" in run(portrait, "--force").stderr
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("recorded", ["the recording", "another one"])
def test_a_recording_named_like_a_result_is_never_removed(
    recorded: str, run: Run, portrait: Path, tmp_path: Path
) -> None:
    """A folder per recording, out/talk/talk.mp4, is a usual order; the results would go there too."""
    mine = tmp_path / "out/talk/talk.mp4"
    mine.parent.mkdir(parents=True)
    shutil.copy(portrait, mine)
    asked = mine if recorded == "the recording" else Path(shutil.copy(portrait, tmp_path / "talk.mp4"))
    before = mine.read_bytes()
    refused = run(asked, "--no-overlay", "--force")
    assert refused.exit_code == 1
    assert "'talk.mp4'" in refused.stderr
    assert mine.read_bytes() == before


def test_the_film_of_an_earlier_run_is_not_removed_while_it_is_the_recording(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    assert run(portrait).exit_code == 0
    film = tmp_path / "out/portrait/portrait.mp4"
    again = run(film, "--no-overlay", "--force")
    assert again.exit_code == 0, again.stderr
    assert film.is_file()
    assert summary(tmp_path / "out/portrait_portrait")["file"] == str(film)


def test_a_name_too_long_for_its_results_is_refused_before_the_work(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    result = run(shutil.copy(portrait, tmp_path / f"{'n' * 251}.mp4"), "--no-overlay")
    assert result.exit_code == 1
    assert "its name is too long" in result.stderr
    assert [*tmp_path.glob("out/*")] == []


@pytest.mark.parametrize(("happens", "said"), [("written to", "changed"), ("removed", "was removed")])
def test_a_recording_that_changes_while_it_is_read_is_refused(
    happens: str, said: str, portrait: Path, trained: Path, tmp_path: Path
) -> None:
    """The steps read it one after the other: a trace could be of two halves."""
    clip = Path(shutil.copy(portrait, tmp_path / "clip.mp4"))

    def meddle(progress: valaro.Progress) -> None:
        if progress.step == "speech":  # every step has read it by then
            clip.unlink(missing_ok=True) if happens == "removed" else os.utime(clip, ns=(1, 1))

    model = valaro.load_model(trained, device="cpu")
    with pytest.raises(valaro.BadInput, match=f"it {said} while it was read"):
        valaro.predict(clip, model=model, progress=meddle)


def test_a_submission_is_replaced_only_on_demand(run: Run, portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    submission = tmp_path / "out/submission.csv"
    submission.write_text("work")
    result = run(portrait, "--format", "abaw")
    assert (result.exit_code, submission.read_text()) == (1, "work")
    assert "--force" in result.stderr
    assert run(portrait, "--format", "abaw", "--force").exit_code == 0
    assert len(submission.read_text().splitlines()) == 41


USAGE: dict[str, tuple[list[str], str]] = {
    "no recording": ([], "RECORDING"),
    "detector": (["a.mp4", "--detector", "eyes"], "retinaface"),
    "system": (["a.mp4", "--system", "oracle"], "dwf_dynamic_audio_kelm"),
    "format": (["a.mp4", "--format", "csv,docx"], "parquet"),
    "no format": (["a.mp4", "--format", ","], "parquet"),
    "quiet and verbose": (["a.mp4", "-q", "-v"], "exclude"),
    "jobs": (["a.mp4", "--jobs", "0"], "--jobs"),
    "option": (["a.mp4", "--fast"], "--fast"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_command_that_makes_no_sense_ends_with_2(case: str, run: Run, tmp_path: Path) -> None:
    arguments, said = USAGE[case]
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_ends_with_2(portrait: Path) -> None:
    assert CliRunner().invoke(app, ["predict", str(portrait), "--out", str(portrait)]).exit_code == 2


def test_an_out_that_cannot_be_made_is_named(run: Run, portrait: Path) -> None:
    result = run(portrait, "--out", portrait / "traces")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"error: {portrait / 'traces'}: Not a directory."


MISSING = [
    "models",
    "models/static/test_resnet.safetensors",
    "models/audio/v3.safetensors",
    "metrics/evaluate.json",
    "params.yaml",
]


@pytest.mark.parametrize("missing", MISSING)
def test_an_incomplete_training_says_what_to_do(
    missing: str, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    root = tmp_path / "incomplete"
    shutil.copytree(trained, root)
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = run(portrait, models=root / "models")
    assert result.exit_code == 1
    assert missing in result.stderr
    assert ("make repro" if missing != "params.yaml" else "profile") in result.stderr
    assert not (tmp_path / "out").exists()


def test_models_of_two_runs_get_a_note(run: Run, trained: Path, portrait: Path, tmp_path: Path) -> None:
    """A run that stopped half way: the dynamic model learnt from embeddings that aren't there any more."""
    root = tmp_path / "mixed"
    shutil.copytree(trained, root)
    embed = {"outs": [{"path": "data/embeddings", "md5": "1.dir"}]}
    dynamic = {
        "deps": [{"path": "data/embeddings", "md5": "1.dir"}],
        "outs": [{"path": "models/dynamic", "md5": "2.dir"}],
    }
    for md5, notes in [("1.dir", 0), ("3.dir", 1)]:
        embed["outs"][0]["md5"] = md5
        (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"embed": embed, "train_dynamic": dynamic}}))
        result = run(portrait, "--no-overlay", "--force", "--system", "dynamic", models=root / "models")
        assert result.exit_code == 0, result.stderr
        said = "the models don't belong together: embed ran again"
        assert sum(said in line for line in result.stderr.splitlines()) == 2 * notes, (
            "at the recording, at the end"
        )
        assert sum(said in one for one in summary(tmp_path / "out/portrait")["notes"]) == notes


def test_damaged_weights_are_one_line(run: Run, trained: Path, portrait: Path, tmp_path: Path) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(trained, root)
    (root / "models/static/test_resnet.safetensors").write_bytes(b"nonsense")
    result = run(portrait, models=root / "models")
    assert result.exit_code == 1
    assert "test_resnet.safetensors is damaged" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_what_a_killed_run_left_is_removed(run: Run, portrait: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "out" / ".valaro-killed"
    leftover.mkdir(parents=True)
    (leftover / "lock").touch()
    assert run(portrait, "--no-overlay").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["portrait", "traces.csv"]


def test_results_of_another_recording_are_never_replaced(
    run: Run, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where two runs begin at once, so that both have found the name free."""
    monkeypatch.setattr("valaro.commands.predict.names_for", lambda found, _out: dict.fromkeys(found, "cam"))
    cams = [tmp_path / f"P0{k}/cam.mp4" for k in (1, 2)]
    for cam in cams:
        cam.parent.mkdir()
        shutil.copy(portrait, cam)
    assert run(cams[0], "--format", "csv").exit_code == 0
    refused = run(cams[1], "--format", "csv", "--force")
    assert refused.exit_code == 1
    assert "holds the results of another recording" in refused.stderr
    assert summary(tmp_path / "out/cam")["file"] == str(cams[0])
    with cams[0].open("ab") as file:
        file.write(b"more")
    assert "with results of this file before it changed" in run(cams[0], "--format", "csv").stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_finished_before_a_signal_is_in_the_table_of_the_next_run_at_the_latest(
    number: signal.Signals, trained: Path, portrait: Path, repository: Path, run: Run, tmp_path: Path
) -> None:
    """The next run keeps it as finished, so that it would be missing there for good."""
    out, code = tmp_path / "out", "from valaro.cli import app; app()"
    others = [shutil.copy(portrait, tmp_path / f"{k}.mp4") for k in range(20)]
    command = [sys.executable, "-c", code, "predict", portrait, *others, "--out", out, "--format", "csv"]
    process = subprocess.Popen([*map(str, command), "--models", trained / "models"], cwd=repository)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/*.csv"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(120) in (128 + number, -number)
    finished = {folder.name for folder in out.iterdir() if folder.is_dir() and folder.name[0] != "."}
    assert {"portrait"} <= finished < {"portrait", *map(str, range(20))}
    if number == signal.SIGKILL:
        again = run(portrait, "--format", "csv")
        assert again.exit_code == 0, again.stderr
    rows = (out / "traces.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(row.partition(",")[0] for row in rows) == sorted(40 * [*finished])
    assert {path.name for path in out.iterdir()} == {*finished, "traces.csv"}
    assert {path.name for path in out.glob("*/.*")} == {TRACE}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing_behind(
    number: signal.Signals, jobs: str, trained: Path, portrait: Path, repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = "from valaro.cli import app; app()"
    other = shutil.copy(portrait, tmp_path / "other.mp4")
    command = [sys.executable, "-c", code, "predict", portrait, other, "--out", out, "--jobs", jobs]
    process = subprocess.Popen([*map(str, command), "--models", trained / "models"], cwd=repository)
    deadline = time.monotonic() + 120
    while not list(out.glob(".valaro-*/*/data/decode")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(120) == 128 + number
    assert not any(out.iterdir())
    assert not psutil.wait_procs(workers, timeout=120)[1], "workers end with it"
