"""The audio models: validation that is read and convolved once scores the same; without speech there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel
from stages.audio.windows import LabelledWindow
from stages.core.artefacts import files_of, read_json, write_arrays
from stages.core.params import AudioParams, load_params
from stages.core.untrained import read_untrained
from stages.engine.units import Unit, do_unit
from stages.train_audio import _Scorer, train
from stages.training import kept
from tests.unit.audio.conftest import SMALL_WAV2VEC

STEPS = 5


class Windows(Dataset[LabelledWindow]):
    """Noise, the last third of it padding in every second window; it counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> LabelledWindow:
        self.reads += 1
        draw = torch.Generator().manual_seed(index)
        real = torch.arange(3000) < (2000 if index % 2 else 3000)
        waveform = torch.where(real, torch.randn(3000, generator=draw), 0.0)
        targets = torch.rand(STEPS, 2, generator=draw)
        return LabelledWindow(waveform, real, targets, torch.arange(STEPS) < (3 if index % 2 else STEPS))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> AudioParams:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")
    return load_params().audio.model_copy(update={"batch_size": 4})


@pytest.mark.parametrize(("trained", "room", "reads"), [(1, 1 << 20, 6), (1, 0, 12), ("all", 1 << 20, 6)])
def test_validation_is_read_once_and_scored_as_ever(
    settings: AudioParams, monkeypatch: pytest.MonkeyPatch, trained: int | str, room: int, reads: int
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", room)
    torch.manual_seed(0)
    model = AudioModel(build_backbone(SMALL_WAV2VEC), "v1", trainable_layers=trained, steps=STEPS).eval()
    windows, owners = Windows(), ["a", "a", "b", "b", "b", "c"]
    every = [Windows()[k] for k in range(6)]
    known = np.stack([window.valid for window in every])
    truth = np.stack([window.targets for window in every])[known][:, 1]
    scorer = _Scorer(model, windows, owners, settings, dict.fromkeys("abc", 0) | {"c": 1})
    convolved = []
    model.backbone.feature_extractor.register_forward_hook(lambda *_: convolved.append(1))
    for trained_on in range(2):
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight += 0.1 * trained_on * torch.randn(weight.shape)
            found = [model(each.waveform[None], each.sample_mask[None])[0] for each in every]
        said = np.concatenate(found)[known][:, 1]
        convolved.clear()
        scores = scorer(model)
        ccc = scores["speaking_window_arousal_ccc"]
        assert len(convolved) == (0 if trained_on and room and trained == 1 else 2)
        spread = truth.var() + said.var() + (truth.mean() - said.mean()) ** 2
        assert ccc == pytest.approx(2 * np.cov(truth, said, bias=True)[0, 1] / spread, abs=1e-5)
        assert "speaking_window_mean_ccc_without_fold_1" in scores
    assert windows.reads == reads


@pytest.mark.parametrize(("spoken", "silent"), [((), "train"), (("t",), "validation")])
def test_without_speech_there_is_no_model_and_it_says_why(
    settings: AudioParams, tmp_path: Path, spoken: tuple[str, ...], silent: str
) -> None:
    for name in ("t", "v"):
        windows = int(name in spoken)
        arrays = {
            "training_window_s": np.tile([0.0, 4.0], (windows, 1)),
            "targets": np.zeros((windows, STEPS, 2), np.float32),
            "valid": np.ones((windows, STEPS), bool),
        }
        write_arrays(tmp_path / f"{name}.h5", arrays, fps_hz=5.0, window_s=4.0)
    reads = {role: tmp_path / f"{n}.h5" for n in "tv" for role in (f"speech/{n}", f"voice/{n}")}
    writes = {
        "model": tmp_path / "v3.safetensors",
        "plots": tmp_path / "plots",
        "metrics": tmp_path / "metrics.json",
        "out_of_fold": tmp_path / "out_of_fold",
    }
    facts = {"train": {"t": "t"}, "validation": {"v": "v"}, "folds": {"v": 0}, "heard": {"v": "v"}}
    (note,) = do_unit(train, Unit("audio/v3", reads, writes, facts), settings)
    lack = read_untrained(writes["model"])
    assert lack is not None
    assert lack.reason == f"no speaking, labelled window in the {silent} split"
    assert note.problem == f"no model: {lack.reason}"
    assert "speech.*" in note.remedy
    assert read_json(writes["metrics"]) == {"reason": lack.reason}
    assert list(writes["out_of_fold"].iterdir()) == []
    curves = {path.name: path.read_text() for path in files_of(writes["plots"])}
    assert curves["loss.tsv"] == "step\tloss\n"
    assert curves["speaking_window_mean_ccc.tsv"] == "step\tspeaking_window_mean_ccc\n"
