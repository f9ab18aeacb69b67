"""A trained system of tiny models with random weights, a clip, and `valaro predict` to bring them together."""

import csv
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stages.core.artefacts import write_json
from stages.core.systems import FUSIONS
from stages.evaluation.margins import Margin, to_json
from stages.fusion.forest import Forest
from valaro.cli import app

from ..conftest import SMALLEST_WAV2VEC

Run = Callable[..., Result]

TIMES_S = np.arange(40) / 25
BACKBONE = SMALLEST_WAV2VEC | {"hidden_size": 16}  # the features that cross-attention takes below
AUDIO_HEAD = {
    "version": "v3",
    "heads": [2, 2],
    "gru_features": None,
    "trainable_layers": "all",
    "fc_features": [],
    "steps": 20,
}


DYNAMIC = {"kind": "transformer", "features": 256, "d_model": 16, "layers": 1, "heads": 2, "dropout": 0.0}


MARGIN = Margin((-0.25, 0.125), (-0.5, 0.375), 6)


CROSS_ATTENTION = {"video_features": 16, "audio_features": 16, "d_model": 8, "heads": 2, "dropout": 0.0}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder like a repository after `make repro`, with models that have learnt nothing."""
    import torch

    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel
    from stages.temporal.dynamic import DynamicModel
    from stages.training.checkpoints import save_model
    from stages.vision.architectures import build_static

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("trained")
    shutil.copy(repository / "profiles" / "sample.yaml", root / "params.yaml")
    static = {"architecture": "test_resnet", "input": "face", "image_size": 32, "options": {}}
    save_model(root / "models/static/test_resnet.safetensors", build_static(static).eval(), static)
    for target in ("valence", "arousal"):
        config = {"model": DYNAMIC, "window": 20, "fps_hz": 5.0}
        save_model(root / f"models/dynamic/{target}.safetensors", DynamicModel(**DYNAMIC), config)
    audio = {"backbone": BACKBONE, "head": AUDIO_HEAD, "window_s": 4.0, "fps_hz": 5.0}
    model = AudioModel(build_backbone(BACKBONE), **AUDIO_HEAD)
    save_model(root / "models/audio/v3.safetensors", model, audio)
    save_plain_models(root / "models")
    write_json(root / "models/fusion/provenance.json", {"corpus": "data/sample/corpus"})
    write_json(root / "metrics/evaluate.json", {"best": "dwf_dynamic_audio"})
    write_json(root / "metrics/margins.json", to_json({"dwf_dynamic_audio": MARGIN}))
    return root


def save_plain_models(models: Path) -> None:
    """The machine, the normalisations and the fusions, as their stages write them."""
    from stages.core.artefacts import write_tensors
    from stages.fusion.cross_attention import CrossAttentionModel
    from stages.temporal.kelm import fit_kelm
    from stages.temporal.normalisation import Normaliser
    from stages.training.checkpoints import save_model

    rng, plain = np.random.default_rng(0), Normaliser.fit("none", []).to_arrays()
    features, targets = rng.normal(size=(12, 512)), rng.uniform(-1, 1, (12, 2))
    machine = fit_kelm(features, targets, kernel="rbf", c=1.0, gamma=0.01)
    arrays = {f"kelm.{name}": np.asarray(array) for name, array in machine.to_arrays().items()}
    arrays |= {f"normalisation.{name}": array for name, array in plain.items()}
    write_tensors(models / "kelm/mean_min_max.safetensors", arrays, window_s=2.0, functionals=["mean", "max"])
    for system in ("dynamic", "cross_attention"):
        write_tensors(models / f"{system}/normalisation.safetensors", plain)
    for target in ("valence", "arousal"):
        config = {"model": CROSS_ATTENTION, "window": 20, "step_s": 0.2}
        path = models / f"cross_attention/{target}.safetensors"
        save_model(path, CrossAttentionModel(**CROSS_ATTENTION), config)
    for fusion, described in FUSIONS.items():
        systems = described.systems
        config = {"systems": list(systems), "fusion": fusion}
        if "forest" in described.method:
            tree = {"left": [1, -1, -1], "right": [2, -1, -1], "feature": [0, 0, 0], "threshold": [0.0] * 3}
            tree |= {"first_node": [0, 3], "value": [0.0, -0.5, 0.5]}  # the sign of the first system, halved
            forest = Forest(**{name: np.array(values) for name, values in tree.items()}).to_arrays()
            arrays = {f"{t}.{name}": a for t in ("valence", "arousal") for name, a in forest.items()}
        elif described.by_speech:  # the same in silence and in speech: the plain sum
            arrays = {"weights": np.full((2 * len(systems), 2), 1 / len(systems))}
            config["speaking_window_s"] = 4.0
        else:  # without intervals of the systems the surest of them, one column more, is their mean
            columns = len(systems) + described.by_width
            arrays = {"weights": np.full((columns, 2), 1 / columns)}
        write_tensors(models / f"fusion/{fusion}.safetensors", arrays, **config)


def record(
    path: Path,
    times_s: np.ndarray = TIMES_S,
    *,
    face: bool = True,
    sound: bool = True,
    picture: bool = True,
    codec: str = "libx264",
    lost_s: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """A clip of a swaying portrait, away from the first to the second of `lost_s`, and a voice-like tone."""
    from skimage.data import astronaut

    portrait = astronaut()[:288, 80:368] if face else np.full((288, 288, 3), 90, np.uint8)
    with av.open(str(path), "w", format=None if path.suffix == ".mp4" else "mp4") as out:
        tick, rate_hz = Fraction(1, 1000), 16_000
        if picture:
            stream = out.add_stream(codec, rate=25, options={"preset": "ultrafast"})
            stream.width = stream.height = 256
            stream.pix_fmt, stream.codec_context.time_base = "yuv420p", tick
        track = out.add_stream("aac", rate=rate_hz, layout="mono") if sound else None
        for time_s in times_s if picture else ():
            x = round(16 + 12 * np.sin(4 * time_s))
            away = lost_s[0] <= time_s < lost_s[1]
            image = np.ascontiguousarray(portrait[16:272, x : x + 256] * np.uint8(not away))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(time_s * 1000), tick
            out.mux(stream.encode(frame))
        if track is not None:
            seconds = np.arange(round((times_s[-1] + 0.04) * rate_hz)) / rate_hz
            voice = 0.3 * np.sin(2 * np.pi * 180 * seconds) * (1 + np.sin(2 * np.pi * 4 * seconds)) / 2
            for start in range(0, len(voice), 1024):
                block = voice[None, start : start + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
        if picture:
            out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that works."""
    return record(tmp_path_factory.mktemp("clips") / "portrait.mp4")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """Call `valaro predict` with results in tmp_path/out."""

    def predict(*arguments: str | Path, models: Path = trained / "models") -> Result:
        command = ["predict", "--out", tmp_path / "out", "--models", models, *arguments]
        return CliRunner().invoke(app, [str(word) for word in command])

    return predict


def table(folder: Path) -> tuple[list[str], np.ndarray]:
    """Header, and the columns of a result that are numbers: those of its own, and the interval."""
    with (folder / f"{folder.name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, np.array([[float(value or "nan") for value in row] for row in rows])


def summary(folder: Path) -> dict:
    """The JSON of a result."""
    return json.loads((folder / f"{folder.name}.json").read_text())


def export_model(trained: Path, out: Path, *options: str) -> Result:
    """Call `valaro export-model`."""
    return CliRunner().invoke(
        app, ["export-model", "--models", str(trained / "models"), "--out", str(out), *options]
    )
