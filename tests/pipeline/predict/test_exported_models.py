"""A system as a folder to share: it predicts the same, says what it owes, and is replaced on demand only."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.exports.origins import SAMPLE_NOTICE

from .conftest import Run, export_model, table


@pytest.mark.parametrize("system", ["best", "rf_dynamic_audio_kelm", "cross_attention"])
def test_an_exported_model_predicts_the_same(
    system: str, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "repository/exported"  # beside another params.yaml
    exported.parent.mkdir()
    (exported.parent / "params.yaml").write_text("index: none of these")
    result = export_model(trained, exported, "--system", system)
    assert result.exit_code == 0, result.output
    assert run(portrait, "--system", system, "--format", "csv").exit_code == 0
    before = table(tmp_path / "out/portrait")[1]
    again = run(portrait, "--format", "csv", "--force", models=exported)  # best: the only one
    assert again.exit_code == 0, again.output
    assert np.array_equal(table(tmp_path / "out/portrait")[1], before)
    assert SAMPLE_NOTICE in again.stderr
    config = json.loads((exported / "config.json").read_text())
    assert config["system"] == {"best": "dwf_dynamic_audio"}.get(system, system)
    assert (config["outputs"], config["range"]) == (["valence", "arousal"], [-1, 1])
    files = {
        path.relative_to(exported / "models").as_posix() for path in exported.glob("models/**/*.safetensors")
    }
    own = {name for name in files if not name.startswith("pretrained/")}
    assert own == set(config["models_md5"])
    assert all(file in (exported / "README.md").read_text() for file in own)


def test_an_export_replaces_an_earlier_one_on_demand_and_nothing_else(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_model(trained, out, "--system", "audio").exit_code == 0
    refused = export_model(trained, out)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert export_model(trained, out, "--force").exit_code == 0
    assert (out / "models/static/test_resnet.safetensors").is_file()
    (out / "thesis.txt").write_text("years of work")
    assert "thesis.txt" in export_model(trained, out, "--force").stderr
    assert (out / "thesis.txt").is_file()


def test_a_card_names_the_strictest_licence(trained: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    root = tmp_path / "papers"
    shutil.copytree(trained, root)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["audio"]["backbone"] = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for system, licence in (("audio", "cc-by-nc-sa-4.0"), ("dynamic", "mit")):
        assert export_model(root, tmp_path / system, "--system", system).exit_code == 0
        card = ModelCard.load(tmp_path / system / "README.md")
        assert card.data.license == licence
        assert ("CC-BY-NC-SA-4.0: no commercial use" in card.text) == (system == "audio")
