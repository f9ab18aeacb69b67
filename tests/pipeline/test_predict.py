"""`valaro predict` from the file to the results, with tiny models of random weights."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from stages.cli import app
from stages.core.artefacts import write_json
from stages.core.systems import FUSIONS, SYSTEMS, is_forest, weighs_by_voice
from stages.evaluation.margins import Margin, to_json
from stages.exports.origins import SAMPLE_NOTICE
from stages.fusion.forest import Forest
from stages.recordings.outputs import KNOWN_FORMATS

Run = Callable[..., Result]

TIMES_S = np.arange(40) / 25

BACKBONE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [16, 16],
    "conv_kernel": [400, 3],
    "conv_stride": [320, 2],
    "num_feat_extract_layers": 2,
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder like a repository after `make repro`, with models that have learnt nothing."""
    import torch

    from stages.audio.audio_backbone import build_backbone
    from stages.audio.audio_model import AudioModel
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
    for fusion, systems in FUSIONS.items():
        config = {"systems": list(systems), "fusion": fusion}
        if is_forest(fusion):
            tree = {"left": [1, -1, -1], "right": [2, -1, -1], "feature": [0, 0, 0], "threshold": [0.0] * 3}
            tree |= {"first_node": [0, 3], "value": [0.0, -0.5, 0.5]}  # the sign of the first system, halved
            forest = Forest(**{name: np.array(values) for name, values in tree.items()}).to_arrays()
            arrays = {f"{t}.{name}": a for t in ("valence", "arousal") for name, a in forest.items()}
        elif weighs_by_voice(fusion):  # the same in silence and in speech: the plain sum
            arrays = {"weights": np.full((2 * len(systems), 2), 1 / len(systems))}
            config["voiced_window_s"] = 4.0
        else:
            arrays = {"weights": np.full((len(systems), 2), 1 / len(systems))}
        write_tensors(models / f"fusion/{fusion}.safetensors", arrays, **config)


def record(
    path: Path,
    times_s: np.ndarray = TIMES_S,
    *,
    face: bool = True,
    sound: bool = True,
    picture: bool = True,
    codec: str = "libx264",
) -> Path:
    """A clip of a swaying portrait and a voice-like tone."""
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
            image = np.ascontiguousarray(portrait[16:272, x : x + 256])
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


@pytest.fixture(scope="module")
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
    """Header, and the six numeric columns of a result."""
    with (folder / f"{folder.name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, np.array([[float(value) for value in row[:6]] for row in rows])


def summary(folder: Path) -> dict:
    """The JSON of a result."""
    return json.loads((folder / f"{folder.name}.json").read_text())


def test_every_native_frame_gets_a_row_and_every_output_the_notice(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    result = run(portrait)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "portrait"
    assert sorted(p.name for p in folder.iterdir()) == [
        f"portrait.{s}" for s in ("csv", "json", "mp4", "png")
    ]
    assert [p.name for p in folder.parent.iterdir()] == ["portrait"]  # nothing hidden is left
    header, rows = table(folder)
    assert header == ["frame", "time_s", "valence", "arousal", "detected", "voiced", "notice"]
    assert np.array_equal(rows[:, 0], np.arange(40))
    assert np.allclose(rows[:, 1], TIMES_S, atol=1e-6)
    assert np.abs(rows[:, 2:4]).max() <= 1
    assert set(rows[:, 4]) == {1.0}
    assert set(rows[:, 5]) <= {0.0, 1.0}
    assert (folder / "portrait.csv").read_text().count(SAMPLE_NOTICE) == 40
    facts = summary(folder)
    assert facts["notice"] == SAMPLE_NOTICE
    assert facts["frames"] == 40
    assert facts["detected_share"] == 1
    assert facts["valence"]["mean"] == pytest.approx(rows[:, 2].mean(), abs=2e-6)
    assert facts["arousal"]["sd"] == pytest.approx(rows[:, 3].std(), abs=2e-6)
    assert SAMPLE_NOTICE in result.stderr
    assert len(result.stdout.splitlines()) == 1


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
    assert files == set(config["models_md5"])
    assert all(file in (exported / "README.md").read_text() for file in files)


def export_model(trained: Path, out: Path, *options: str) -> Result:
    """Call `valaro export-model`."""
    return CliRunner().invoke(
        app, ["export-model", "--models", str(trained / "models"), "--out", str(out), *options]
    )


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


def test_only_what_is_asked_for_is_written(run: Run, portrait: Path, tmp_path: Path) -> None:
    assert run(portrait, "--format", "vtt,CSV", "--format", "vtt").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out/portrait").iterdir())
    assert names == ["portrait.csv", "portrait.json", "portrait.vtt"]


def test_every_format_at_once(run: Run, portrait: Path, tmp_path: Path) -> None:
    result = run(portrait, "--format", "csv,parquet,json,vtt,eaf,png,abaw", "--html", "--overlay")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out/portrait"
    assert {path.suffix[1:] for path in folder.iterdir()} == {*KNOWN_FORMATS}
    _, rows = table(folder)
    frames = summary(folder)["frames"]
    assert frames["valence"] == rows[:, 2].tolist()
    with (tmp_path / "out/submission.csv").open(newline="") as file:
        submitted = list(csv.DictReader(file))
    assert [row["image_location"] for row in submitted] == [f"portrait/{k + 1:05d}.jpg" for k in range(40)]
    assert [float(row["arousal"]) for row in submitted] == rows[:, 3].tolist()


def test_the_page_shows_each_system_and_plays_the_video_from_where_it_lies(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    clip = shutil.copy(portrait, tmp_path / "a & b.mp4")
    assert run(clip, "--format", "html").exit_code == 0
    text = (tmp_path / "out/a & b/a & b.html").read_text()
    [source] = re.findall(r'<video[^>]* src="([^"]+)"', text)
    assert (tmp_path / "out/a & b" / unquote(source)).samefile(clip)
    [block] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    data = json.loads(block)
    assert [curve["name"] for curve in data["curves"]] == ["dwf_dynamic_audio", "audio", "dynamic"]
    assert [band["name"] for band in data["bands"]] == ["no face", "not voiced"]
    assert text.count("data:image/jpeg;base64,") == 8  # 1.6 s at 5 Hz
    assert SAMPLE_NOTICE in text


def curves_of(page: Path) -> list[dict[str, Any]]:
    """The curves in a page's data."""
    [block] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    found: list[dict[str, Any]] = json.loads(block)["curves"]
    return found


@pytest.mark.parametrize("exported", [False, True])
def test_the_page_draws_the_interval_that_validation_taught(
    exported: bool, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    models = trained / "models"
    if exported:
        models = tmp_path / "shared"
        assert export_model(trained, models).exit_code == 0
        told = json.loads((models / "config.json").read_text())["interval"]
        assert told == {"coverage": 0.9, "valence": [-0.25, 0.125], "arousal": [-0.5, 0.375], "videos": 6}
    result = run(portrait, "--format", "html", models=models)
    assert result.exit_code == 0, result.output
    page = tmp_path / "out/portrait/portrait.html"
    system, *parts = curves_of(page)
    for target, errors in zip(system["targets"], MARGIN[:2], strict=True):
        values = np.array(target["y"])
        for bound, error in zip(("low", "high"), errors, strict=True):
            assert target[bound] == pytest.approx(np.clip(values + error, -1, 1), abs=0.002)
    assert not [part for part in parts for target in part["targets"] if "low" in target]
    assert "holds the truth in 90% of the frames of 6 other videos" in page.read_text()


def test_without_margins_that_fit_a_page_has_no_interval(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    assert export_model(trained, before).exit_code == 0
    (before / "metrics/margins.json").unlink()  # as folders were before there were margins
    page = tmp_path / "out/portrait/portrait.html"
    assert run(portrait, "--format", "html", models=before).exit_code == 0
    assert "low" not in curves_of(page)[0]["targets"][0]
    other = ("--detector", "blazeface_full", "--force")  # the margins are those of other faces
    assert run(portrait, "--format", "html", *other).exit_code == 0
    assert "low" not in curves_of(page)[0]["targets"][0]


def test_a_film_stands_in_for_what_browsers_do_not_play(run: Run, portrait: Path, tmp_path: Path) -> None:
    clip = shutil.copy(portrait, tmp_path / "clip.avi")
    assert run(clip, "--format", "html,mp4").exit_code == 0
    assert 'src="clip.mp4"' in (tmp_path / "out/clip/clip.html").read_text()
    phone = record(tmp_path / "phone.mp4", codec="libx265")
    assert run(phone, "--format", "html,mp4").exit_code == 0
    assert 'src="phone.mp4"' in (tmp_path / "out/phone/phone.html").read_text()


def test_without_a_film_the_page_says_why_the_video_may_not_show(run: Run, tmp_path: Path) -> None:
    phone = record(tmp_path / "phone.mp4", codec="libx265")
    assert run(phone, "--format", "html").exit_code == 0
    text = " ".join((tmp_path / "out/phone/phone.html").read_text().split())
    assert 'src="../../phone.mp4"' in text
    assert "it holds HEVC (H.265) video, which not every browser shows. With --overlay," in text


def test_a_submission_is_replaced_only_on_demand(run: Run, portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    submission = tmp_path / "out/submission.csv"
    submission.write_text("work")
    result = run(portrait, "--format", "abaw")
    assert (result.exit_code, submission.read_text()) == (1, "work")
    assert "--force" in result.stderr
    assert run(portrait, "--format", "abaw", "--force").exit_code == 0
    assert len(submission.read_text().splitlines()) == 41


@pytest.mark.parametrize(
    ("level", "said"), [("-q", []), ("", ["note: "]), ("-v", ["note: ", "static/test_resnet", "decode"])]
)
def test_how_much_is_said(level: str, said: list[str], run: Run, portrait: Path) -> None:
    result = run(portrait, "--format", "csv", *filter(None, [level]))
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1  # the result, whatever the level
    assert bool(result.stderr) is bool(said)
    assert all(words in result.stderr for words in said)


def test_pictures_carry_the_notice_and_a_system_of_another_corpus_has_none(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained, elsewhere)
    params = (
        (trained / "params.yaml").read_text().replace("corpus: data/sample/corpus", "corpus: data/affwild2")
    )
    (elsewhere / "params.yaml").write_text(params)
    write_json(elsewhere / "models/fusion/provenance.json", {"corpus": "data/affwild2"})
    assert run(portrait).exit_code == 0
    folder, noticed = tmp_path / "out" / "portrait", tmp_path / "noticed"
    folder.rename(noticed)
    result = run(portrait, models=elsewhere / "models")
    assert result.exit_code == 0
    assert table(folder)[0][-1] == "voiced"
    assert summary(folder)["notice"] is None
    assert SAMPLE_NOTICE not in result.output
    assert (folder / "portrait.png").read_bytes() != (noticed / "portrait.png").read_bytes()
    assert not np.array_equal(first_picture(folder / "portrait.mp4"), first_picture(noticed / "portrait.mp4"))


def first_picture(film: Path) -> np.ndarray:
    """The first frame of a film."""
    with av.open(str(film)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("where", ["provenance", "params"])
def test_either_sign_of_the_sample_corpus_brings_the_notice(
    where: str, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mixed"
    shutil.copytree(trained, root)
    if where == "params":
        write_json(root / "models/fusion/provenance.json", {"corpus": "data/affwild2"})
    else:
        text = (
            (root / "params.yaml").read_text().replace("corpus: data/sample/corpus", "corpus: data/affwild2")
        )
        (root / "params.yaml").write_text(text)
    result = run(portrait, "--no-overlay", models=root / "models")
    assert SAMPLE_NOTICE in result.stderr
    assert "now names" in result.stderr


def test_fusions_are_what_their_weights_and_trees_make_of_the_single_systems(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    traces = {}
    for system in (*SYSTEMS, *FUSIONS):
        assert run(portrait, "--system", system, "--format", "csv", "--force").exit_code == 0
        assert summary(tmp_path / "out/portrait")["system"] == system
        traces[system] = table(tmp_path / "out/portrait")[1][:, 2:4]
    assert not (tmp_path / "out/portrait/portrait.mp4").exists()
    pair, three = ("dynamic", "audio"), ("dynamic", "audio", "kelm")
    means = [traces[system].mean() for system in SYSTEMS]
    assert np.diff(sorted(means)).min() > 1e-5  # they are different systems
    expected = {
        "dwf_dynamic_audio": np.mean([traces[system] for system in pair], axis=0),
        "dwf_voiced_dynamic_audio": np.mean([traces[system] for system in pair], axis=0),
        "dwf_dynamic_audio_kelm": np.mean([traces[system] for system in three], axis=0),
        "rf_dynamic_audio_kelm": np.where(traces["dynamic"] <= 0, -0.5, 0.5),
        "rf_grouped_dynamic_audio_kelm": np.where(traces["dynamic"] <= 0, -0.5, 0.5),
    }
    assert set(expected) == set(FUSIONS)
    for fusion, trace in expected.items():
        assert np.abs(traces[fusion] - trace).max() < 2e-6


def test_without_sound_nothing_is_voiced_and_audio_abstains(run: Run, tmp_path: Path) -> None:
    clip = record(tmp_path / "silent.mp4", sound=False)
    assert run(clip, "--no-overlay").exit_code == 0
    fused = table(tmp_path / "out/silent")[1]
    assert not fused[:, 5].any()
    assert run(clip, "--no-overlay", "--system", "dynamic", "--force").exit_code == 0
    assert np.array_equal(fused[:, 2:4], table(tmp_path / "out/silent")[1][:, 2:4])
    result = run(clip, "--system", "audio", "--force")
    assert result.exit_code == 1
    assert "no sound" in result.stderr
    assert summary(tmp_path / "out/silent")["system"] == "dynamic"  # the earlier result is still there


def test_times_are_the_stamps_of_a_variable_rate(run: Run, tmp_path: Path) -> None:
    times_s = np.cumsum(np.tile([0.02, 0.06, 0.04], 12)) - 0.02
    assert run(record(tmp_path / "vfr.mp4", times_s), "--no-overlay").exit_code == 0
    assert np.allclose(table(tmp_path / "out/vfr")[1][:, 1], times_s, atol=1e-6)
    assert summary(tmp_path / "out/vfr")["variable_rate"] is True


def test_one_frame_is_enough(run: Run, tmp_path: Path) -> None:
    assert run(record(tmp_path / "one.mp4", np.zeros(1))).exit_code == 0
    assert table(tmp_path / "out/one")[1].shape == (1, 6)


def test_the_same_video_gives_the_same_bytes(run: Run, portrait: Path, tmp_path: Path) -> None:
    def contents() -> list[bytes]:
        assert run(portrait, "--no-overlay", "--force").exit_code == 0
        return [path.read_bytes() for path in sorted((tmp_path / "out/portrait").iterdir())]

    assert contents() == contents()


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _truncated(folder: Path) -> Path:
    whole = record(folder / "whole.mp4").read_bytes()
    path = folder / "truncated.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def _text(folder: Path) -> Path:
    path = folder / "renamed.mp4"
    path.write_text("valence,arousal\n0.1,0.2\n" * 50)
    return path


def _directory(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def _newline(folder: Path) -> Path:
    return folder / "two\nlines.mp4"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (_empty, "empty"),
    "truncated": (_truncated, "stopped early"),
    "text": (_text, "not a video"),
    "directory": (_directory, "folder"),
    "missing": (lambda folder: folder / "missing.mp4", "no such file"),
    "line break in the name": (_newline, "no such file"),
    "sound only": (lambda folder: record(folder / "sound.mp4", picture=False), "no video stream"),
    "no face": (lambda folder: record(folder / "wall.mp4", face=False), "no face"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(kind: str, run: Run, tmp_path: Path) -> None:
    make, said = BAD[kind]
    bad = make(tmp_path)
    result = run(bad)
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert str(bad).replace("\n", "\\n") in line
    assert "Traceback" not in result.output
    assert not any((tmp_path / "out").iterdir())


def test_the_others_go_on(run: Run, portrait: Path, tmp_path: Path) -> None:
    result = run(_empty(tmp_path), portrait, tmp_path / "missing.mp4", "--no-overlay")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["portrait"]


NAMES = [
    "a.b.mp4",
    "...mp4",  # its stem would be the folder above
    "with  space.mp4",
    "quo'te\".mp4",
    "Zoë 微笑 🙂.mp4",
    "100%d.mp4",
    "$(exit).mp4",
    "no_suffix",
    "-v.mp4",
]


def test_any_file_name_works(run: Run, portrait: Path, tmp_path: Path) -> None:
    for name in NAMES:
        shutil.copy(portrait, tmp_path / name)
    result = run("--no-overlay", *(tmp_path / name for name in NAMES))
    assert result.exit_code == 0, result.stderr
    stems = {Path(name).stem for name in NAMES} - {".."} | {"...mp4"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == stems
    assert all(summary(tmp_path / "out" / stem)["frames"] == 40 for stem in stems)


def test_a_name_that_is_no_text_works_in_every_format(run: Run, portrait: Path, tmp_path: Path) -> None:
    clip = shutil.copy(portrait, tmp_path / os.fsdecode(b"caf\xe9 <b>.mp4"))
    result = run(clip, "--format", ",".join((*KNOWN_FORMATS, "abaw")))
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / Path(clip).stem
    assert {path.suffix[1:] for path in folder.iterdir()} == {*KNOWN_FORMATS}
    assert summary(folder)["file"].endswith("caf\\udce9 <b>.mp4")


def test_results_are_replaced_only_on_demand_and_strangers_never(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "portrait"
    assert run(portrait, "--no-overlay").exit_code == 0
    before = (folder / "portrait.csv").stat().st_mtime_ns
    refused = run(portrait, "--no-overlay")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert (folder / "portrait.csv").stat().st_mtime_ns == before
    assert run(portrait, "--no-overlay", "--force").exit_code == 0
    assert (folder / "portrait.csv").stat().st_mtime_ns > before
    (folder / "thesis.txt").write_text("years of work")
    assert "thesis.txt" in run(portrait, "--force").stderr
    assert (folder / "thesis.txt").read_text() == "years of work"


USAGE: dict[str, tuple[list[str], str]] = {
    "no video": ([], "VIDEO"),
    "detector": (["a.mp4", "--detector", "eyes"], "retinaface"),
    "system": (["a.mp4", "--system", "oracle"], "dwf_dynamic_audio_kelm"),
    "format": (["a.mp4", "--format", "csv,docx"], "parquet"),
    "no format": (["a.mp4", "--format", ","], "parquet"),
    "quiet and verbose": (["a.mp4", "-q", "-v"], "exclude"),
    "jobs": (["a.mp4", "--jobs", "0"], "--jobs"),
    "option": (["a.mp4", "--fast"], "--fast"),
    "same stem": (["x/a.mp4", "y/a.avi"], "share"),
    "same name in two cases": (["x/Clip.mp4", "y/clip.mp4"], "share"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_command_that_makes_no_sense_ends_with_2(case: str, run: Run, tmp_path: Path) -> None:
    arguments, said = USAGE[case]
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_ends_with_2(portrait: Path) -> None:
    assert CliRunner().invoke(app, ["predict", str(portrait), "--out", str(portrait)]).exit_code == 2


MISSING = [
    "models",
    "models/static/test_resnet.safetensors",
    "models/audio/v3.safetensors",
    "metrics/evaluate.json",
    "params.yaml",
]


@pytest.mark.parametrize("missing", MISSING)
def test_an_incomplete_training_says_what_to_do(
    missing: str, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    root = tmp_path / "incomplete"
    shutil.copytree(trained, root)
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = run(portrait, models=root / "models")
    assert result.exit_code == 1
    assert missing in result.stderr
    assert ("make repro" if missing != "params.yaml" else "profile") in result.stderr
    assert not (tmp_path / "out").exists()


def test_damaged_weights_are_one_line(run: Run, trained: Path, portrait: Path, tmp_path: Path) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(trained, root)
    (root / "models/static/test_resnet.safetensors").write_bytes(b"nonsense")
    result = run(portrait, models=root / "models")
    assert result.exit_code == 1
    assert "test_resnet.safetensors is damaged" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_another_detector_brings_its_own_threshold_and_a_note(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    assert run(portrait, "--detector", "blazeface_full", "--no-overlay").exit_code == 0
    facts = summary(tmp_path / "out/portrait")
    assert facts["detector"] == "blazeface_full"
    assert any("blazeface_short" in note for note in facts["notes"])


def test_retinaface_with_the_weights_at_hand(
    run: Run, portrait: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    result = run(portrait, "--detector", "retinaface", "--no-overlay")
    assert result.exit_code == 0, result.stderr
    assert summary(tmp_path / "out/portrait")["detected_share"] == 1


def test_what_a_killed_run_left_is_removed(run: Run, portrait: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "out" / ".valaro-killed"
    leftover.mkdir(parents=True)
    (leftover / "lock").touch()
    assert run(portrait, "--no-overlay").exit_code == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["portrait"]


@pytest.mark.slow
def test_sigterm_leaves_nothing_behind(trained: Path, portrait: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "from stages.cli import app; app()"
    command = [sys.executable, "-c", code, "predict", portrait, "--out", out, "--models", trained / "models"]
    process = subprocess.Popen(list(map(str, command)), cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 120
    while not list(out.glob(".valaro-*/*/data/decode")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert not any(out.iterdir())


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(run: Run, portrait: Path, tmp_path: Path) -> None:
    clips = [shutil.copy(portrait, tmp_path / f"{name}.mp4") for name in "ab"]
    assert run(*clips, "--no-overlay").exit_code == 0
    serial = [(tmp_path / f"out/{name}/{name}.csv").read_bytes() for name in "ab"]
    assert run(*clips, "--no-overlay", "--force", "--jobs", "2").exit_code == 0
    assert [(tmp_path / f"out/{name}/{name}.csv").read_bytes() for name in "ab"] == serial
    assert serial[0] == serial[1]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["blazeface_short", "retinaface"])
def test_real_recordings(
    detector: str, run: Run, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    clips = sorted(p for p in (shared / "media" / "clips").rglob("*") if p.is_file())
    assert clips
    result = run(*clips, "--detector", detector)
    for clip in clips:
        folder = tmp_path / "out" / clip.stem
        if folder.is_dir():
            assert len(table(folder)[1]) == summary(folder)["frames"]
            assert len(list(folder.iterdir())) == 4
        else:
            [line] = [line for line in result.stderr.splitlines() if str(clip) in line]
            assert "no face" in line
