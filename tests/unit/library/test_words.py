"""What `valaro.predict` makes of the words that it is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import valaro
from valaro import prediction
from valaro.recordings.batch import Outcome


class Model:
    """Stands for a model: nothing is predicted here."""

    def hearing(self, _track: int | None) -> "Model":
        return self


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A recording, and how predictions are asked for."""
    calls: list[dict[str, Any]] = []

    def predictions(_model: Model, recordings: list[Path], files: Any, **options: Any) -> dict[str, Any]:
        calls.append(options | {"recordings": recordings, "files": files})
        return calls[-1]

    monkeypatch.setattr(prediction, "Predictions", predictions)
    monkeypatch.setattr(prediction, "_model_of", lambda *_: Model())
    clip = tmp_path / "clip.mp4"
    clip.touch()
    return clip, calls


@pytest.mark.parametrize("word", ["all", "ALL", " All "])
def test_everyone_is_everyone_however_it_is_written(asked: tuple[Path, list[Any]], word: str) -> None:
    clip, calls = asked
    found = valaro.predict(clip, person=word)
    assert found is calls[-1]  # an iterator, not the trace of the first person
    assert calls[-1]["person"] == "all"


def test_formats_in_one_text_are_several(asked: tuple[Path, list[Any]], tmp_path: Path) -> None:
    clip, calls = asked
    valaro.predict([clip], out=tmp_path / "out", formats="csv,eaf")
    assert calls[-1]["files"].formats == ("csv", "eaf")
    with pytest.raises(valaro.ValaroError, match="'cvs' is no format"):
        valaro.predict([clip], out=tmp_path / "out", formats="cvs")


@pytest.mark.parametrize("jobs", [0, -1])
def test_there_is_at_least_one_job(jobs: int) -> None:
    """None and fewer were taken for one."""
    with pytest.raises(valaro.ValaroError, match=f"jobs is {jobs}"):
        prediction.Predictions(SimpleNamespace(), {}, jobs=jobs)  # type: ignore[arg-type]


def test_traces_come_in_the_order_of_the_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several jobs they finish in any order; who pairs them with labels counts on theirs."""
    files = [Path(f"{name}.mp4") for name in "abcd"]

    def outcome(name: str, person: str = "", **more: Any) -> Outcome:
        trace: Any = f"{name}{person}"
        return Outcome(Path(f"{name}.mp4"), trace=trace, **more)

    finished = [
        outcome("c"),
        outcome("a", "1", more=True),
        outcome("a", "2"),
        outcome("d"),
        Outcome(files[1], error=valaro.ValaroError("b.mp4: no face.")),
    ]
    monkeypatch.setattr(prediction, "step_names", lambda _: [])
    monkeypatch.setattr(prediction, "predict_all", lambda *_: iter(finished))
    model: Any = SimpleNamespace(trained=None, device="cpu", system="static")
    found = prediction.Predictions(model, {file: file.stem for file in files}, jobs=2)
    with pytest.warns(prediction.RecordingWarning, match="no face"):
        assert list(found) == ["a1", "a2", "c", "d"]
    assert len(found.failures) == 1
