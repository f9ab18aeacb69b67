"""The authors' checkpoints as a system that predicts: against the outputs of their own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from stages.cli import app

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
    from stages.vision.static_model import StaticModel

    golden = np.load(shared / "golden/static_efficientnet_b1_io.npz")
    model = load_model(system / "models/static.safetensors", lambda config: StaticModel(**config))
    with torch.no_grad():
        output = model(torch.from_numpy(golden["image"].astype(np.float32)))
    np.testing.assert_allclose(output.embedding, golden["embedding"], atol=TOLERANCE)
    np.testing.assert_allclose(output.valence_arousal, golden["regression"], atol=TOLERANCE)


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
    assert header == "frame,time_s,valence,arousal,detected,voiced" and len(rows) == 75


def spoilt(change: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if change == "missing":
        del state["regressor.0.weight"]
    elif change == "shape":
        state["regressor.0.weight"] = torch.zeros(3, 256)
    return state


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("dynamic", "missing", "regressor.0.weight"),
        ("dynamic", "shape", "regression.weight"),
        ("static", "none", "first_transformer"),
        ("audio-v1", "none", "first_transformer"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, change: str, named: str, shared: Path, tmp_path: Path):
    state = load_file(shared / "golden/dynamic_v3.safetensors")
    save_file(spoilt(change, state), tmp_path / "x.safetensors")
    result = run(kind, tmp_path / "x.safetensors", "--out", tmp_path / "out")
    assert result.exit_code == 1 and named in result.output and "x.safetensors" in result.output
    assert not (tmp_path / "out" / "models").exists()


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
