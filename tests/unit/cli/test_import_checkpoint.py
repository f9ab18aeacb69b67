"""The authors' checkpoints as a system that predicts: against the outputs of their own code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from valaro.cli import app

TOLERANCE = 1e-4


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import-checkpoint", *map(str, arguments)])


@pytest.fixture(scope="module")
def system(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both visual checkpoints, the dynamic one as a pickled .pth in half precision's exact values."""
    folder = tmp_path_factory.mktemp("system")
    static = {
        k: v.float() for k, v in load_file(shared / "golden/static_efficientnet_b1.safetensors").items()
    }
    torch.save({"model_state_dict": static}, folder / "static.pth")
    for kind, file in (
        ("static", folder / "static.pth"),
        ("dynamic", shared / "golden/dynamic_v3.safetensors"),
    ):
        result = run(kind, file, "--out", folder)
        assert result.exit_code == 0, result.output
    return folder


def test_the_static_model_estimates_as_theirs(system: Path, shared: Path):
    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static

    golden = np.load(shared / "golden/static_efficientnet_b1_io.npz")
    model = load_model(system / "models/static/efficientnet_b1.safetensors", build_static)
    with torch.no_grad():
        output = model(torch.from_numpy(golden["image"].astype(np.float32)))
    np.testing.assert_allclose(output.embedding, golden["embedding"], atol=TOLERANCE)
    np.testing.assert_allclose(output.valence_arousal, golden["regression"], atol=TOLERANCE)


@pytest.mark.parametrize("target", ["valence", "arousal"])
def test_the_dynamic_models_estimate_as_theirs(target: str, system: Path, shared: Path):
    from stages.core.artefacts import read_config
    from stages.temporal.dynamic import DynamicModel
    from stages.training.checkpoints import load_model

    golden, path = (
        np.load(shared / "golden/dynamic_v3_io.npz"),
        system / f"models/dynamic/{target}.safetensors",
    )
    model = load_model(path, lambda config: DynamicModel(**config["model"]))
    with torch.no_grad():
        output = model(torch.from_numpy(golden["embedding"].astype(np.float32)))
    np.testing.assert_allclose(output, golden["valence_arousal"], atol=TOLERANCE)
    assert read_config(path)["window"] == 30, "6 s at 5 Hz, as in their submission"


@pytest.mark.parametrize("of", ["trained models", "the pipeline"])
def test_a_folder_of_others_is_left_alone(of: str, tmp_path: Path) -> None:
    mine = tmp_path / ("models/audio/v3.safetensors" if of == "trained models" else "dvc.yaml")
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(b"days of work")
    save_file({"weight": torch.zeros(2)}, tmp_path / "theirs.safetensors")
    result = run("dynamic", tmp_path / "theirs.safetensors", "--out", tmp_path)
    assert result.exit_code == 1
    assert "Choose another --out" in result.stderr
    assert mine.read_bytes() == b"days of work"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_the_audio_models_estimate_as_theirs_and_predict(
    version: str,
    shared: Path,
    audio_checkpoint: Callable[[str], dict[str, torch.Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """From a pickled file to `valaro predict --system audio`, with nothing else imported."""
    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel
    from stages.training.checkpoints import load_model

    torch.save(audio_checkpoint(version), tmp_path / "audio.pth")
    result = run(f"audio-{version}", tmp_path / "audio.pth", "--out", tmp_path / "system")
    assert result.exit_code == 0, result.output
    path = tmp_path / f"system/models/audio/{version}.safetensors"
    model = load_model(path, lambda c: AudioModel(build_backbone(c["backbone"]), **c["head"]))
    golden = np.load(shared / "golden/audio_io.npz")
    waveform = torch.from_numpy(golden["waveform"].astype(np.float32))
    with torch.inference_mode():
        estimate, _ = model(waveform, torch.ones_like(waveform, dtype=torch.bool))
    np.testing.assert_allclose(estimate, golden[f"{version}_valence_arousal"], atol=TOLERANCE)

    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    params = tmp_path / "system/params.yaml"
    params.write_text(params.read_text().replace("backend: spleeter_torch", "backend: none"))
    assert f"version: {version} " in params.read_text()
    clip = shared / "media/clips/01_grid_male_bbaf2n.mpg"
    options = ["--models", tmp_path / "system/models", "--system", "audio", "--no-overlay"]
    result = CliRunner().invoke(app, ["predict", *map(str, [clip, "--out", tmp_path / "out", *options])])
    assert result.exit_code == 0, result.output
    rows = np.genfromtxt(tmp_path / f"out/{clip.stem}/{clip.stem}.csv", delimiter=",", names=True)
    assert len(rows) == 75 and np.isfinite(rows["valence"]).all() and np.ptp(rows["arousal"]) > 0


@pytest.mark.long
def test_the_system_predicts_without_training(
    system: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    clip = shared / "media/clips/01_grid_male_bbaf2n.mpg"
    options = ["--models", system / "models", "--system", "dynamic", "--out", tmp_path, "--no-overlay"]
    result = CliRunner().invoke(app, ["predict", *map(str, [clip, *options])])
    assert result.exit_code == 0, result.output
    assert "mean nothing" not in result.output
    header, *rows = (tmp_path / clip.stem / f"{clip.stem}.csv").read_text().splitlines()
    assert header == "frame,time_s,valence,arousal,detected,speaking" and len(rows) == 75


def spoilt(change: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with its last layer missing or of another shape, or with a layer that isn't theirs."""
    last = next(name for name in state if name in ("regressor.0.weight", "regression.weight"))
    if change == "missing":
        del state[last]
    elif change == "shape":
        state[last] = torch.zeros(3, 256)
    elif change == "foreign":
        state["model.features.9.9.weight"] = torch.zeros(3)
    return state


@pytest.mark.parametrize(
    ("kind", "file", "change", "named"),
    [
        ("dynamic", "dynamic_v3", "missing", "it has no 'regressor.0.weight'"),
        ("dynamic", "dynamic_v3", "shape", "regression.weight"),
        ("dynamic", "static_efficientnet_b1", "none", "start_batch_norm.weight"),
        ("static", "dynamic_v3", "none", "first_transformer"),
        ("static", "static_efficientnet_b1", "missing", "head.regression.weight"),
        ("static", "static_efficientnet_b1", "shape", "head.regression.weight"),
        ("static", "static_efficientnet_b1", "foreign", "model.features.9.9.weight"),
        ("audio-v1", "dynamic_v3", "none", "first_transformer"),
    ],
)
def test_what_does_not_fit_is_named(
    kind: str, file: str, change: str, named: str, shared: Path, tmp_path: Path
):
    state = load_file(shared / f"golden/{file}.safetensors")
    save_file(spoilt(change, state), tmp_path / "x.safetensors")
    result = run(kind, tmp_path / "x.safetensors", "--out", tmp_path / "out")
    assert result.exit_code == 1 and named in result.output and "x.safetensors" in result.output
    assert "Kinds are static, dynamic" in result.output and len(result.output) < 1000
    assert not (tmp_path / "out" / "models").exists()


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {"epoch": 3}, {"state_dict": {"a": 1.0}}]
)
def test_what_is_no_state_dict_is_refused(content: object, tmp_path: Path):
    torch.save(content, tmp_path / "x.pth")
    result = run("static", tmp_path / "x.pth", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "x.pth" in result.output and "no state dict" in result.output


def test_an_unknown_kind_is_a_usage_error(tmp_path: Path):
    result = run("emotion", tmp_path / "x.pth", "--out", tmp_path)
    assert result.exit_code == 2 and "audio-v3" in result.output


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this must never run",)

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    result = run("static", tmp_path / "evil.pth", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "evil.pth" in result.output and "never run" not in result.output
