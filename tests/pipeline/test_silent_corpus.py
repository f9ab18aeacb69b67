"""A labelled corpus in which nobody is heard: the run goes through with the systems that need no sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import files_of, read_json
from stages.core.systems import FUSIONS, SYSTEMS
from stages.core.untrained import read_untrained

SPLITS = {
    "t1": "Train",
    "t2": "Train",
    "v1": "Validation",
    "v2": "Validation",
    "v3": "Validation",
    "x": "test",
}
SEEING = {name for name, system in SYSTEMS.items() if system.sees}
HEARING = {*SYSTEMS, *FUSIONS} - SEEING
WHY = "no speaking, labelled window in the train split"


@pytest.fixture(scope="module")
def silent(code: Any, film: Any, duplicate: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A repository in which the whole pipeline has run, on films without sound."""
    repository = duplicate(code, tmp_path_factory.mktemp("silent"))
    for hue, (name, split) in enumerate(SPLITS.items()):
        repository.lay(film(f"{name}.mp4", hue=20 * hue, sound=False), split)
    repository.set({"submission": {"refit": "train+validation"}})
    repository.dvc("add", "--quiet", "corpus")
    repository.commit("The corpus")
    repository.dvc("repro")
    return repository


@pytest.mark.long
def test_every_system_is_scored_or_said_to_be_missing(silent: Any) -> None:
    scores = read_json(silent / "metrics/evaluate.json")
    assert {name for name, found in scores["systems"].items() if found} == SEEING
    assert scores["best"] in SEEING
    notes = {note["subject"]: note for note in read_json(silent / "metrics/notes.json")}
    assert notes["audio"]["problem"] == f"no model: {WHY}"
    assert "speech.*" in notes["audio"]["remedy"]
    assert notes.keys() >= HEARING
    assert read_json(silent / "metrics/audio/v3/metrics.json") == {"reason": WHY}
    said = silent.run("valaro", "scores")
    assert all(name in said.partition("no score")[2] for name in HEARING)
    assert f"v3 isn't trained: {WHY}." in (silent / "metrics/tables/table_2.md").read_text()
    assert f"audio isn't trained: {WHY}" in silent.run("valaro", "doctor")


@pytest.mark.long
def test_a_model_is_weights_or_a_reason_and_nothing_is_made_of_a_reason(silent: Any) -> None:
    lacks = {
        path.relative_to(silent / "models").as_posix()
        for path in files_of(silent / "models")
        if path.suffix == ".safetensors" and read_untrained(path)
    }
    crossed = {f"cross_attention/{name}" for name in ("valence", "arousal", "normalisation")}
    wanted = {"audio/v3", "refit/audio/v3", *crossed, *(f"fusion/{fusion}" for fusion in FUSIONS)}
    assert lacks == {f"{name}.safetensors" for name in wanted}
    made = [path for folder in ("data", "metrics/report") for path in files_of(silent / folder)]
    made = [path for path in made if path.name not in ("notes.json", ".gitignore")]
    assert made
    assert [path for path in made if HEARING & {part.split(".")[0] for part in path.parts}] == []
    rows = (silent / "data/submission/submission.csv").read_text().splitlines()[1:]
    assert len({row.split(",", 1)[1] for row in rows}) > 1, "the best system's, refitted"


@pytest.mark.long
def test_its_models_predict_and_those_that_it_has_not_are_refused(
    silent: Any, film: Any, tmp_path: Path
) -> None:
    talk = str(film("talk.mp4", hue=150))
    command = ["valaro", "predict", talk, "--models", "models", "--out", str(tmp_path / "traces")]
    silent.run(*command)
    assert (tmp_path / "traces/talk/talk.csv").is_file()
    for system in ("audio", "cross_attention", "dwf_dynamic_audio"):
        said = silent.run(*command, "--force", "--system", system, fails=True)
        assert f"the system {system} isn't trained: {WHY}" in said
    assert "Everything is what the stages wrote." in silent.run("valaro", "verify")


@pytest.mark.long
def test_nothing_is_left_to_do(silent: Any, ran: Callable[[str], list[str]]) -> None:
    assert ran(silent.dvc("repro")) == []
