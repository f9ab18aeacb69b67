"""A system as a folder to share: it predicts the same, says what it owes, and is replaced on demand only."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.artefacts import write_tensors
from stages.core.params import IntervalParams
from stages.evaluation.adaptive import CrossFitted
from stages.evaluation.difficulty import FEATURES
from stages.exports.origins import SAMPLE_NOTICE

from .conftest import Run, export_model, record, summary, table


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


@pytest.fixture
def unsure_of_lost_faces(trained: Path, tmp_path: Path) -> Path:
    """The trained system with an interval fitted on errors that grow with the share of missing faces."""
    root = tmp_path / "sure"
    shutil.copytree(trained, root)
    rng = np.random.default_rng(0)
    features = np.zeros((600, len(FEATURES)))  # nothing else tells
    features[:, FEATURES.index("missing_share")] = rng.uniform(0, 1, 600)
    errors = rng.normal(0, 0.05 + 0.4 * features[:, FEATURES.index("missing_share")])
    groups = np.arange(600) // 60
    settings = IntervalParams.model_validate(yaml.safe_load((root / "params.yaml").read_text())["intervals"])
    band = CrossFitted(features, errors, groups, groups % 5, settings).band()
    arrays = {
        name: array for target in ("valence", "arousal") for name, array in band.to_arrays(target).items()
    }
    config = {"features": list(FEATURES), "coverage": 0.9, "recordings": 10, "others": []}
    write_tensors(root / "models/intervals/dynamic.safetensors", arrays, **config)
    landmarks = {"landmarks": np.zeros((3, 256), np.float32)}
    write_tensors(root / "models/intervals/landmarks.safetensors", landmarks)
    return root


def test_an_exported_model_says_frame_by_frame_how_sure_it_is(
    unsure_of_lost_faces: Path, run: Run, tmp_path: Path
) -> None:
    """The face is lost for .8 s in the middle: there the interval is wider, and `--abstain` leaves it out."""
    exported, clip = tmp_path / "exported", tmp_path / "clip.mp4"
    assert export_model(unsure_of_lost_faces, exported, "--system", "dynamic").exit_code == 0
    times_s = np.arange(125) / 25
    record(clip, times_s, lost_s=(2.2, 3.0))
    result = run(clip, "--format", "csv", models=exported)
    assert result.exit_code == 0, result.output
    header, rows = table(tmp_path / "out/clip")
    low, high = (rows[:, header.index(f"valence_{side}")] for side in ("low", "high"))
    lost = np.abs(times_s - 2.6) < 0.3
    seen = np.abs(times_s - 2.6) > 1.6
    assert (high - low)[lost].min() > 1.2 * (high - low)[seen].max()
    assert summary(tmp_path / "out/clip")["interval"]["calibrated_on_recordings"] == 10

    widest = float((high - low)[seen].max()) + 0.001
    again = run(clip, "--format", "csv", "--force", "--abstain", f"{widest:.4f}", models=exported)
    assert again.exit_code == 0, again.output
    kept = table(tmp_path / "out/clip")[1][:, header.index("time_s")]
    assert 0 < len(kept) < len(times_s)
    assert not ((kept > 2.3) & (kept < 2.9)).any()
    assert summary(tmp_path / "out/clip")["abstained_beyond"] == pytest.approx(widest, abs=1e-4)
    none = run(clip, "--format", "csv", "--force", "--abstain", "0.01", models=exported)
    assert none.exit_code == 1
    assert "the narrowest is" in none.stderr

    config = json.loads((exported / "config.json").read_text())
    assert config["adaptive_interval"] == {"coverage": 0.9, "calibrated_on_recordings": 10}
    card = (exported / "README.md").read_text()
    assert "models/intervals/dynamic.safetensors" in card
    assert "`--abstain WIDTH`" in card
    assert not list(exported.rglob("*.pkl"))
