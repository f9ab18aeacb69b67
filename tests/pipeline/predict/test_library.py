"""`import valaro` from the file to the trace, with tiny models of random weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import valaro
from stages.exports.origins import SAMPLE_NOTICE

from .conftest import MARGIN, Run, table


@pytest.fixture(scope="module")
def model(trained: Path) -> valaro.Model:
    """The tiny system, loaded once."""
    return valaro.load_model(trained, device="cpu")


def test_a_file_gives_a_trace_and_the_command_line_the_same(
    model: valaro.Model, run: Run, portrait: Path, tmp_path: Path
) -> None:
    trace = valaro.predict(portrait, model=model)
    assert run(portrait, "--format", "csv").exit_code == 0
    _, rows = table(tmp_path / "out/portrait")
    np.testing.assert_allclose(trace.to_pandas()[["time_s", "valence", "arousal"]], rows[:, 1:4], atol=1e-6)
    assert trace.notice == SAMPLE_NOTICE
    assert trace.summary["system"] == model.system == "dwf_dynamic_audio"
    assert trace.interval is not None
    low = trace.valence + MARGIN.valence[0]
    np.testing.assert_allclose(trace.interval[:, 0, 0], np.clip(low, -1, 1), atol=1e-6)
    assert len(trace.faces) == 8
    assert (trace.faces.count >= 1).all()
    assert (trace.faces.score > 0.5).all()


def test_several_give_an_iterator_and_what_fails_is_a_warning(
    model: valaro.Model, portrait: Path, tmp_path: Path
) -> None:
    for name in ("a.mp4", "c.mp4"):
        shutil.copy(portrait, tmp_path / name)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    found = valaro.predict(tmp_path, model=model)
    assert len(found) == 3
    with pytest.warns(valaro.RecordingWarning, match=r"b\.mp4: not a video file"):
        names = [trace.name for trace in found]
    assert names == ["a", "c"]
    assert [str(tmp_path / "b.mp4") in str(failure) for failure in found.failures] == [True]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4", "c.mp4"]


def test_one_file_that_fails_raises(model: valaro.Model, tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(valaro.BadInput, match="not a video file"):
        valaro.predict(tmp_path / "b.mp4", model=model)
    with pytest.raises(valaro.BadInput, match="no such file"):
        valaro.predict(tmp_path / "none.mp4", model=model)


def test_progress_moves_within_one_recording(model: valaro.Model, portrait: Path) -> None:
    told: list[valaro.Progress] = []
    valaro.predict(portrait, model=model, progress=told.append)
    steps = list(dict.fromkeys(one.step for one in told))
    assert steps == [
        "index",
        "decode",
        "faces",
        "tracks",
        "mouth",
        "speech",
        "embed",
        "voice",
        "dynamic",
        "audio",
        "smooth",
        "fuse",
        "done",
    ]
    shares = [one.share + one.done for one in told]
    assert shares == sorted(shares)
    assert len({one.share for one in told if one.step == "mouth"}) > 2
    assert (told[-1].done, told[-1].total) == (1, 1)


def test_files_are_written_where_they_are_wanted(model: valaro.Model, portrait: Path, tmp_path: Path) -> None:
    trace = valaro.predict(portrait, model=model, out=tmp_path / "out", formats=["csv", "vtt"])
    assert len(trace) == 40
    names = sorted(path.name for path in (tmp_path / "out/portrait").glob("[!.]*"))
    assert names == ["portrait.csv", "portrait.json", "portrait.vtt"]
    with pytest.raises(valaro.BadInput, match="exists already, without html"):
        valaro.predict(portrait, model=model, out=tmp_path / "out", formats="csv,html")


def test_a_trace_that_is_kept_is_the_one_that_was_computed(
    model: valaro.Model, portrait: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copy(portrait, tmp_path / "other.mp4"))
    formats = ["csv", "json"]  # the frames are in the summary's file
    before = valaro.predict(portrait, model=model, out=tmp_path / "out", formats=formats[:1])
    valaro.predict(portrait, model=model, out=tmp_path / "out", formats=formats)
    found = valaro.predict([portrait, other], model=model, out=tmp_path / "out", formats=formats)
    after, _computed = found
    assert found.kept == [portrait]
    assert after.summary == before.summary
    assert after.to_pandas().equals(before.to_pandas())
    assert np.array_equal(after.every_frame, before.every_frame)
    assert after.faces.to_pandas().equals(before.faces.to_pandas())
    names = ("name", "video", "duration_s", "video_start_s", "folder", "notice", "person", "frame")
    assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]
    rows = (tmp_path / "out/traces.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["portrait"] * 40 + ["other"] * 40


REFUSED = {
    "system": ({"system": "dynamc"}, "Did you mean dynamic"),
    "detector": ({"detector": "retinafase"}, "Did you mean retinaface"),
    "device": ({"device": "gpu"}, "cuda:1"),
    "a GPU that isn't there": ({"device": "cuda:99"}, "PyTorch finds"),
    "folder": ({"model": "nowhere"}, "no such folder of models"),
    "format": ({"out": "out", "formats": ["cvs"]}, "Did you mean csv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_names_are_checked_before_the_work(case: str, trained: Path, portrait: Path, tmp_path: Path) -> None:
    options, said = REFUSED[case]
    with pytest.raises(valaro.ValaroError, match=said):
        valaro.predict(portrait, **({"model": trained} | options))


def test_nothing_is_left_when_one_stops_early(model: valaro.Model, portrait: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(portrait, tmp_path / name)
    found = valaro.predict([tmp_path / "a.mp4", tmp_path / "b.mp4"], model=model, out=tmp_path / "out")
    next(found)
    scratch = found.scratch
    assert scratch is not None and scratch.is_dir()
    found.close()
    assert not scratch.exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "traces.csv"]
