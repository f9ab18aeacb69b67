"""Gathering: faces and labels of the corpora that are there; from there to a fine-tuned model."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml

from stages.core.artefacts import read_arrays, read_json
from stages.core.corpus import Workspace
from stages.corpora.table import emotion
from stages.finetune import finetune
from stages.gather import gather
from stages.media.jpeg import unpack_jpeg
from stages.pretrain import pretrain


@pytest.fixture
def project(
    people: Workspace, repository: Path, finetune_params: Any, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """A folder like a repository, in which one may run stages, with small models and no corpus yet."""
    params = yaml.safe_load((repository / "profiles" / "sample.yaml").read_text(encoding="utf-8"))
    params["finetune"] |= json.loads(finetune_params().model_dump_json(exclude={"optimisation"}))
    params["finetune"]["optimisation"]["epochs"] = params["pretrain"]["optimisation"]["epochs"] = 2
    params["embed"]["backbone"] = "small"
    params["compute"]["jobs"] = params["compute"]["trainings_at_once"] = (
        1  # workers keep the folder of another test
    )
    (people.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (people.root / "data/pretraining").mkdir()
    (people.root / "data/pretraining/README.md").touch()
    monkeypatch.chdir(people.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return people


def lay_rafdb(folder: Path) -> None:
    """Aligned faces, half angry, half happy; one missing, one broken."""
    names = [f"{part}_{k:05d}" for part in ("train", "test") for k in range(4)]
    lines = [f"{name}.jpg {(6, 4)[k % 2]}" for k, name in enumerate(names)]
    (folder / "basic/EmoLabel").mkdir(parents=True)
    (folder / "basic/EmoLabel/list_patition_label.txt").write_text("\n".join([*lines, "train_00099.jpg 1"]))
    (folder / "basic/Image/aligned").mkdir(parents=True)
    for k, name in enumerate(names):
        picture = np.full((40, 30, 3), (40, 200)[k % 2], np.uint8)
        cv2.imwrite(str(folder / f"basic/Image/aligned/{name}_aligned.jpg"), picture)
    (folder / "basic/Image/aligned/train_00000_aligned.jpg").write_bytes(b"broken")


def lay_afew_va(folder: Path) -> None:
    """Clips of four actors; a face that no detector finds, marked by its landmarks."""
    for number in range(1, 5):
        clip = folder / f"{number:03d}"
        clip.mkdir(parents=True)
        frames = {}
        for k in range(0, 30, 5):
            valence = 10 * np.sin(k + number)
            picture = np.zeros((60, 80, 3), np.uint8)
            picture[20:40, 30:50] = 128 + 12 * valence
            cv2.imwrite(str(clip / f"{k:05d}.png"), picture)
            corners = [[30, 20], [50, 20], [50, 40], [30, 40]]
            frames[f"{k:05d}"] = {"landmarks": corners, "valence": valence, "arousal": -valence}
            frames |= {f"{j:05d}": frames[f"{k:05d}"] for j in range(k + 1, k + 5)}
        content = {"actor": f"actor {number}", "frames": frames}
        (clip / f"{number:03d}.json").write_text(json.dumps(content))


def lay_recola(folder: Path, portrait: np.ndarray) -> None:
    """A conversation of a second; its film is a portrait that turns black after 0.5 s. Another is damaged."""
    for target, value in (("arousal", -0.4), ("valence", 0.6)):
        (folder / target).mkdir(parents=True)
        lines = ["time;FM1", *(f"{0.04 * k:.2f};{value}" for k in range(26))]
        for name in ("P1.csv", "P2.csv"):
            (folder / target / name).write_text("\n".join(lines) + "\n")
    (folder / "P2.mp4").write_text("no film")
    with av.open(str(folder / "P1.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *portrait.shape[:2], "yuv420p"
        for k in range(26):
            frame = av.VideoFrame.from_ndarray(portrait if k < 13 else 0 * portrait, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_faces_and_labels_of_the_corpora_that_are_there(
    project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    from skimage import data

    lay_rafdb(project.root / "data/pretraining/rafdb")
    lay_afew_va(project.root / "data/pretraining/afew_va")
    lay_recola(project.root / "data/pretraining/recola", np.ascontiguousarray(data.astronaut()[:256, 96:352]))
    gather()
    output = capsys.readouterr().err
    assert "skipped: sewa, semaine, affectnet, savee, emotic, expw, ferplus" in output
    shards = sorted(path.relative_to("data/gather").as_posix() for path in Path("data/gather").glob("*/*.h5"))
    assert shards[:2] == ["afew_va/pictures-0-of-1.h5", "rafdb/pictures-0-of-1.h5"]
    assert shards[2].startswith("recola/video-P1-")
    assert len(shards) == 3
    named = read_arrays(Path("data/gather") / shards[1])
    assert len(named["emotion"]) == 7, "one is broken"
    assert {emotion("anger"), emotion("happiness")} == set(named["emotion"].tolist())
    for k in range(7):
        grey = int(unpack_jpeg(named["jpeg"], named["jpeg_offset"], k).mean())
        assert (grey > 120) == (named["emotion"][k] == emotion("happiness"))
    assert np.isnan(named["valence_arousal"]).all()
    assert set(named["part"].tolist()) == {1, 2}
    rated = read_arrays(Path("data/gather") / shards[0])
    assert len(rated["emotion"]) == 24
    assert {name.decode() for name in rated["speaker"]} == {f"actor {k}" for k in range(1, 5)}
    assert rated["valence_arousal"][:, 0] == pytest.approx(-rated["valence_arousal"][:, 1])
    crop = unpack_jpeg(rated["jpeg"], rated["jpeg_offset"], 0)
    assert crop.shape == (50, 50, 3), "the landmarks' box of 20 px, 15 px beyond it on every side"
    filmed = read_arrays(Path("data/gather") / shards[2])
    assert filmed["time_s"].tolist() == pytest.approx([0.0, 0.2, 0.4])
    assert filmed["valence_arousal"] == pytest.approx(np.array([[0.6, -0.4]] * 3))
    notes = {
        note["file"].rpartition("/")[2]: note["problem"] for note in read_json(Path("data/gather/notes.json"))
    }
    assert "3 of 6 images" in notes["P1.mp4"]
    assert "P2.mp4" in notes
    assert "1 of 8 images" in next(problem for problem in notes.values() if "of 8" in problem)
    assert "train_00099.jpg is missing" in notes["list_patition_label.txt:9"]


def test_from_two_corpora_to_a_fine_tuned_model(
    project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_rafdb(project.root / "data/pretraining/rafdb")
    lay_afew_va(project.root / "data/pretraining/afew_va")
    gather()
    pretrain("small")
    learnt = read_json(Path("metrics/pretrain/small/metrics.json"))
    assert learnt["corpora"] == {
        "afew_va": {"speakers": 4, "train_images": 16, "validation_images": 6, "copies_left_out": 2},
        "rafdb": {"speakers": 7, "train_images": 0, "validation_images": 4, "copies_left_out": 3},
    }
    assert {"mean_ccc", "mean_rmse", "balanced_accuracy", "macro_f1", "score"} <= set(learnt["scores"])
    finetune("small")
    assert read_json(Path("metrics/finetune/small/metrics.json"))["epochs"] == 2
    assert Path("models/static/small.safetensors").is_file()
    assert "pass through unchanged" not in capsys.readouterr().err
    pretrain("small")
    finetune("small")
    assert capsys.readouterr().err.count("0 computed") == 2, "what is known is not learnt again"


def test_one_more_corpus_computes_its_own_faces_only(
    project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_rafdb(project.root / "data/pretraining/rafdb")
    gather()
    lay_afew_va(project.root / "data/pretraining/afew_va")
    gather()
    assert "1 computed" in capsys.readouterr().err.rpartition("skipped")[2]
    (project.root / "data/pretraining/rafdb").rename(project.root / "rafdb")
    gather()
    assert not list(Path("data/gather").glob("rafdb/*.h5")), "a corpus that went takes its faces along"


def test_no_corpus_at_all(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    gather()
    pretrain("small")
    output = capsys.readouterr().err
    assert "skipped: recola, sewa, semaine, afew_va, affectnet, savee, emotic, expw, ferplus, rafdb" in output
    assert "no pre-training corpus is there; weights drawn at random pass through unchanged" in output
    finetune("small")
