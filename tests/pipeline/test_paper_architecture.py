"""The paper's architectures, at their full size, pass through the whole pipeline on real clips.

RetinaFace, EfficientNet-B1 at 240 pixels, a wav2vec 2.0 of PDEM's size, profiles/affwild2.yaml: nothing of it
is changed but what a small corpus without downloads must change. One epoch teaches nothing; what is shown is
that everything fits together: shapes, ranges, memory.
"""

import csv
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages.core.artefacts import files_of, read_arrays, read_facts, read_json
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS
from stages.media.container import probe

pytestmark = pytest.mark.slow

# file below media/clips -> split and subjects
CLIPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "10_hdtf_wda_mpeg4.mp4": ("Train", ("10_hdtf_wda_mpeg4",)),
    "20_clearervoice_two_speakers_overlap.avi": (
        "Train",
        ("20_clearervoice_two_speakers_overlap_left", "20_clearervoice_two_speakers_overlap_right"),
    ),
    "01_grid_male_bbaf2n.mpg": ("Validation", ("01_grid_male_bbaf2n",)),
    "02_grid_female_lbbc2a.mpg": ("Validation", ("02_grid_female_lbbc2a",)),
    "12_videoretalking_vfr.mp4": ("Validation", ("12_videoretalking_vfr",)),
    "22_carphone_qcif_noaudio.mp4": ("test", ("22_carphone_qcif_noaudio",)),
}
VIDEO_OF = {subject: Path(clip).stem for clip, (_, subjects) in CLIPS.items() for subject in subjects}
SILENT = "22_carphone_qcif_noaudio"
NEED_SOUND = ("audio", "cross_attention")
FPS_HZ, WINDOW_STEPS = 5, 20
MOST_MEMORY_GB = 8

PDEM = {
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "feat_proj_dropout": 0.1,
    "final_dropout": 0.1,
    "hidden_dropout": 0.1,
}
"""As audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim is configured; weights are drawn at random."""


def only_what_must_change(params: dict[str, Any]) -> dict[str, Any]:
    """The paper's profile without a corpus of 100 GB and without weights to download."""
    params["index"]["corpus"] = "corpus"
    params["voice"]["backend"] = "classical"
    for backbone in params["finetune"]["backbones"].values():
        backbone["weights"] = None
    params["finetune"]["compare"] = ["efficientnet_b1", "pose_hrnet"]  # the rest: tests/unit/vision
    params["audio"]["backbone"] = PDEM
    params["audio"]["compare"] = [params["audio"]["version"]]
    for section in ("finetune", "dynamic", "audio", "cross_attention"):
        params[section]["optimisation"]["epochs"] = 1
    params["compute"]["jobs"] = 1
    return params


@pytest.fixture(scope="module")
def trained(
    code: Any, repository: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A repository with the corpus of clips, all stages done by DVC."""
    folder = tmp_path_factory.mktemp("paper") / "repository"
    shutil.copytree(code.folder, folder, symlinks=True)
    project = type(code)(folder, code.environment | {"VALARO_WEIGHTS": str(shared / "weights")})
    frames = {clip: probe(shared / "media" / "clips" / clip).frame_count for clip in CLIPS}
    (folder / "corpus/annotations").mkdir(parents=True)
    for clip, (split, subjects) in CLIPS.items():
        project.lay(shared / "media" / "clips" / clip, split, subjects, rows=frames[clip])
    profile = yaml.safe_load((repository / "profiles" / "affwild2.yaml").read_text(encoding="utf-8"))
    params = only_what_must_change(profile)
    rows = "".join(f"{SILENT}/{n:05d}.jpg,-5,-5\n" for n in range(1, frames[f"{SILENT}.mp4"] + 1))
    form = folder / "corpus/annotations/VA_test_set_sample.txt"
    form.write_text(f"image_location,valence,arousal\n{rows}", encoding="utf-8")
    project.write_params(params)
    print(project.dvc("repro"))
    yield project
    shutil.rmtree(folder)  # gigabytes


def bounded(values: np.ndarray) -> bool:
    """Finite, and within -1 and 1."""
    return bool(np.isfinite(values).all() and np.abs(values).max() <= 1)


def native_frames(project: Any, subject: str) -> np.ndarray:
    """(N,) times of the native frames."""
    return read_arrays(project / f"data/index/{subject}.h5", "time_s")["time_s"]


def test_it_took_little_memory(trained: Any) -> None:
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kb / 2**20 < MOST_MEMORY_GB


@pytest.mark.parametrize("subject", VIDEO_OF)
def test_retinaface_sees_every_person_nearly_always(trained: Any, subject: str) -> None:
    faces = read_arrays(trained / f"data/faces/{subject}.h5")
    assert faces["detected"].mean() > 0.9
    seen = faces["box_xyxy"][faces["detected"]]
    assert (seen[:, 2:] - seen[:, :2] > 20).all()
    assert (faces["score"][faces["detected"]] >= 0.8).all()
    assert np.isnan(faces["box_xyxy"][~faces["detected"]]).all()


@pytest.mark.parametrize("subject", VIDEO_OF)
def test_every_grid_step_has_an_embedding(trained: Any, subject: str) -> None:
    track = read_arrays(trained / f"data/embeddings/{subject}.h5")
    steps = len(read_arrays(trained / f"data/decode/{VIDEO_OF[subject]}.h5", "time_s")["time_s"])
    assert steps == pytest.approx(FPS_HZ * native_frames(trained, subject)[-1], abs=1.5)
    assert track["embedding"].shape == (steps, 256)
    assert track["embedding"].dtype == np.float32
    assert track["valence_arousal"].shape == (steps, 2)
    assert bounded(track["embedding"])
    assert bounded(track["valence_arousal"])
    assert np.ptp(track["embedding"], axis=0).max() > 0, "not the same face in every frame"
    assert track["time_s"] == pytest.approx(np.arange(steps) / FPS_HZ)


def test_the_static_model_is_efficientnet_b1(trained: Any) -> None:
    from stages.core.artefacts import read_config
    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static

    path = trained / "models/static/efficientnet_b1.safetensors"
    assert (read_config(path)["architecture"], read_config(path)["image_size"]) == ("efficientnet_b1", 240)
    backbone = load_model(path, build_static).backbone
    assert sum(p.numel() for p in backbone.parameters()) == 6_513_184  # 7,794,184 without its 1000 classes


def test_the_pose_model_learns_from_whole_frames(trained: Any) -> None:
    from stages.core.artefacts import read_config

    config = read_config(trained / "models/static/pose_hrnet.safetensors")
    assert (config["input"], config["image_size"], config["options"]) == ("frame", 256, {})
    assert read_json(trained / "metrics/finetune/pose_hrnet/metrics.json")["best"]["mean_rmse"]["value"] > 0


def test_the_audio_model_hears_4_s_as_20_steps(trained: Any) -> None:
    import torch

    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel
    from stages.core.artefacts import read_config
    from stages.training.checkpoints import load_model

    path = trained / "models/audio/v3.safetensors"
    assert read_config(path)["window_s"] * read_config(path)["fps_hz"] == WINDOW_STEPS
    model = load_model(path, lambda c: AudioModel(build_backbone(c["backbone"]), **c["head"]))
    assert model.backbone.config.num_hidden_layers == 12
    assert sum(p.numel() for p in model.backbone.parameters()) == pytest.approx(165e6, rel=0.02)
    with torch.no_grad():
        output = model(torch.randn(1, 64_000), torch.ones(1, 64_000, dtype=torch.bool))[0]
    assert output.shape == (1, WINDOW_STEPS, 2)
    assert bounded(output.numpy())


@pytest.mark.parametrize("subject", VIDEO_OF)
def test_audio_windows_have_20_steps(trained: Any, subject: str) -> None:
    speech = read_arrays(trained / f"data/speech/{subject}.h5")
    windows = len(speech["training_window_s"])
    assert speech["targets"].shape == (windows, WINDOW_STEPS, 2)
    assert speech["valid"].shape == (windows, WINDOW_STEPS)
    assert np.abs(speech["targets"]).max(initial=0) <= 1


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("subject", VIDEO_OF)
def test_predictions_and_native_traces(trained: Any, system: str, subject: str) -> None:
    path = trained / f"data/predictions/{system}/{subject}.h5"
    if system in NEED_SOUND and subject == SILENT:
        assert not path.exists()
        return
    predicted, trace = read_arrays(path), read_arrays(trained / f"data/traces/{system}/{subject}.h5")
    assert predicted["valence_arousal"].shape == (len(predicted["time_s"]), 2)
    assert np.diff(predicted["time_s"]) == pytest.approx(1 / FPS_HZ)
    assert bounded(predicted["valence_arousal"])
    assert np.array_equal(trace["time_s"], native_frames(trained, subject))
    assert trace["valence_arousal"].shape == (len(trace["time_s"]), 2)
    assert bounded(trace["valence_arousal"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fused_traces_are_native(trained: Any, fusion: str) -> None:
    held_out = [subject for _, (split, subjects) in CLIPS.items() if split != "Train" for subject in subjects]
    for subject in held_out:
        fused = read_arrays(trained / f"data/fused/{fusion}/{subject}.h5")
        assert fused["valence_arousal"].shape == (len(native_frames(trained, subject)), 2)
        assert bounded(fused["valence_arousal"])
        if subject != SILENT:
            unseen = read_arrays(trained / f"data/fused/{fusion}{OUT_OF_FOLD}/{subject}.h5")
            assert unseen["valence_arousal"].shape == fused["valence_arousal"].shape
            assert bounded(unseen["valence_arousal"])


def test_the_scores_are_there(trained: Any) -> None:
    scores = read_json(trained / "metrics/evaluate.json")
    assert set(scores["systems"]) == {*SYSTEMS, *FUSIONS}
    for fusion in FUSIONS:
        unseen = scores["systems"][fusion]["out_of_fold"]
        assert unseen["videos"] == 3
        assert abs(unseen["ccc"]["mean"]["value"]) <= 1


def test_the_submission_has_a_row_per_frame_of_the_form(trained: Any) -> None:
    with (trained / "data/submission/submission.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_location", "valence", "arousal"]
    frames = read_facts(trained / f"data/index/{SILENT}.h5")["frames"]
    assert [row[0] for row in rows] == [f"{SILENT}/{n:05d}.jpg" for n in range(1, frames + 1)]
    values = np.array([row[1:] for row in rows], float)
    assert bounded(values)
    best = read_json(trained / "metrics/evaluate.json")["best"]
    fused = read_arrays(trained / f"data/fused/{best}/{SILENT}.h5", "valence_arousal")["valence_arousal"]
    assert np.abs(values - fused).max() < 1e-6


def test_nothing_unfinished_is_left(trained: Any) -> None:
    assert trained.lost() == []
    assert [path for path in files_of(trained / ".valaro/scratch") if path.is_file()] == []
