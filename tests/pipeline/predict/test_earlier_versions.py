"""Folders of models that version 0.1 made: they predict what the same models predict under today's names."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import write_json
from stages.core.former_names import FORMER_NAMES
from stages.core.params import load_params
from stages.core.yaml_text import yaml_text
from stages.evaluation.margins import to_json

from .conftest import MARGIN, Run, export_model, summary, table

VERSION_0_1 = Path(__file__).parents[2] / "data" / "params_0_1" / "sample.yaml"
FORMER = {now: former for former, now in FORMER_NAMES.items()}
SPEAKING = "dwf_speaking_dynamic_audio"


def as_then(content: Any) -> Any:
    """JSON as version 0.1 wrote it."""
    if isinstance(content, dict):
        return {FORMER.get(key, key): as_then(value) for key, value in content.items()}
    return FORMER.get(content, content) if isinstance(content, str) else content


def rewrite(path: Path) -> None:
    """Give a model the names that version 0.1 gave it: in its header, of its tensors, of its file."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
    tensors = {FORMER.get(name, name): tensor for name, tensor in load_file(path).items()}
    if "config" in metadata:
        metadata["config"] = json.dumps(as_then(json.loads(metadata["config"])))
    path.unlink()
    save_file(tensors, path.with_stem(FORMER.get(path.stem, path.stem)), metadata)


@pytest.fixture
def old(trained: Path, tmp_path: Path) -> Path:
    """The tests' trained system as version 0.1 would have left it."""
    root = tmp_path / "old"
    shutil.copytree(trained, root)
    shutil.copyfile(VERSION_0_1, root / "params.yaml")
    for path in [*root.glob("models/**/*.safetensors")]:
        rewrite(path)
    scores = {"best": FORMER[SPEAKING], "systems": {}}
    (root / "metrics/evaluate.json").write_text(json.dumps(scores))
    margins = {"coverage": 0.9, "systems": {FORMER[SPEAKING]: MARGIN._asdict()}}
    (root / "metrics/margins.json").write_text(json.dumps(margins))
    return root


@pytest.mark.parametrize("system", ["best", "cross_attention"])
def test_a_folder_of_version_0_1_predicts_what_it_predicted(
    system: str, run: Run, trained: Path, old: Path, portrait: Path, tmp_path: Path
) -> None:
    today = tmp_path / "today"
    shutil.copytree(trained, today)
    content = yaml_text(load_params(VERSION_0_1).model_dump(mode="json"))
    (today / "params.yaml").write_text(content, encoding="utf-8")
    write_json(today / "metrics/margins.json", to_json({SPEAKING: MARGIN}))
    asked = SPEAKING if system == "best" else system
    assert run(portrait, "--system", asked, "--format", "csv", models=today).exit_code == 0
    expected = table(tmp_path / "out/portrait")[1]
    result = run(portrait, "--system", system, "--format", "csv", "--force", models=old)
    assert result.exit_code == 0, result.output
    assert "params.yaml is from an earlier version" in result.stderr
    assert np.array_equal(table(tmp_path / "out/portrait")[1], expected)
    assert summary(tmp_path / "out/portrait")["system"] == asked


def test_it_is_exported_again_under_todays_names(old: Path, run: Run, portrait: Path, tmp_path: Path) -> None:
    result = export_model(old, tmp_path / "again", "--system", FORMER[SPEAKING])
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "again/config.json").read_text())
    assert config["system"] == SPEAKING
    assert config["interval"]["valence"] == list(MARGIN.valence)
    assert (tmp_path / f"again/models/fusion/{SPEAKING}.safetensors").is_file()
    again = run(portrait, "--format", "csv", models=tmp_path / "again")
    assert again.exit_code == 0, again.output
