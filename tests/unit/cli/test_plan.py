"""`valaro plan`: unit costs times the corpus, against sums made by hand."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.params import Params, load_params
from stages.core.voices import VOICES
from valaro.cli import app
from valaro.commands.plan import lines_of
from valaro.planning.costs import COSTS, NETWORKS, sound_core_s
from valaro.planning.items import Item, Plan
from valaro.planning.machine import Machine
from valaro.planning.plan import make_plan
from valaro.planning.totals import Totals, from_headers, from_index, known_totals

VGA = 640 * 480 / 1e6
CORPUS = Totals(
    "by hand",
    videos=10,
    video_s=7200.0,
    megapixel_s=7200 * VGA,
    subject_s={"train": 3600.0, "validation": 1800.0, "test": 1800.0},
    labelled_s={"train": 3600.0, "validation": 1800.0, "test": 0.0},
)
CPU = Machine(gpu=False, cores=4, jobs=4, threads=2)
GPU = Machine(gpu=True, cores=16, jobs=16, threads=2)
B1, ALL = "efficientnet_b1", ["efficientnet_b1", "efficientnet_b4", "vit_base_patch16_224", "pose_hrnet"]


@pytest.fixture
def params(repository: Path) -> Params:
    whole = load_params(repository / "profiles" / "affwild2.yaml")
    return changed(whole, finetune={"compare": ALL}, audio={"compare": ["v1", "v3"]})


def changed(params: Params, **sections: dict[str, Any]) -> Params:
    new = {name: getattr(params, name).model_copy(update=values) for name, values in sections.items()}
    return params.model_copy(update=new)


def items(params: Params, machine: Machine, totals: Totals = CORPUS) -> dict[str, Item]:
    return {item.stage: item for item in make_plan(params, totals, machine).items}


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [
        ("index", 0.0028 * 7200 / 4),
        ("decode", 0.005 * 7200 / 4),
        ("mouth", (0.00332 * 36_000 + 0.18 * 10) / 4),
        ("voice", 0.048 * 7200 / 2),
        (f"finetune@{B1}", 20 * (3 * 18_000 + 9_000) * (0.71 / 18.9) / 2),
        ("finetune@pose_hrnet", (18_000 + 9_000) * (7.8 * (256 / 224) ** 2 / 40) / 2),
        ("kelm", 3 * 2.74 / 6000**3 * 21 * 1800**3 / 2),
        ("train_audio@v1", 20 * 0.256 * 0.8 * (3600 * (1 + 2 * 2 / 12) + 1800) / 2),
        ("train_audio@v3", 20 * 0.256 * 0.8 * (3600 * (1 + 2 * 4 / 12) + 1800) / 2),
        ("predict", 0.256 * 7200 * 2 / 2),
    ],
)
def test_time_on_a_processor(params: Params, stage: str, seconds: float) -> None:
    assert items(params, CPU)[stage].seconds == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize(
    ("backbone", "machine", "precision", "epoch_s"),
    [
        (B1, GPU, "bf16", 18_000 / 1100 + 9_000 / 4403),
        (B1, GPU, "no", 2 * (18_000 / 1100 + 9_000 / 4403)),
        ("efficientnet_b4", GPU, "bf16", 18_000 / 242 + 9_000 / 923),
        ("vit_base_patch16_224", GPU, "bf16", 18_000 / 393 + 9_000 / 1133),
        ("efficientnet_b4", replace(GPU, gpu_speed=2.0), "bf16", (18_000 / 242 + 9_000 / 923) / 2),
        # two cores leave one reader, which is slower than the GPU
        (B1, replace(GPU, cores=2), "bf16", 27_000 * (0.00025 + 0.0161 * 0.0576)),
    ],
)
def test_an_epoch_on_a_gpu(
    params: Params, backbone: str, machine: Machine, precision: str, epoch_s: float
) -> None:
    optimisation = params.finetune.optimisation.model_copy(update={"mixed_precision": precision})
    item = items(changed(params, finetune={"optimisation": optimisation}), machine)[f"finetune@{backbone}"]
    assert (item.where, item.basis) == ("GPU", "published")
    assert item.seconds == pytest.approx(20 * epoch_s, rel=1e-6), "the best epoch, 10, and patience, 10"
    assert item.at_most_s == pytest.approx(100 * epoch_s, rel=1e-6)


def test_what_the_recommended_profile_does_besides(repository: Path) -> None:
    recommended = load_params(repository / "profiles" / "affwild2_recommended.yaml")
    of = items(recommended, GPU)
    folds = 5 * 20 * (0.8 * 18_000 / 1100 + 9_000 / 4403)
    assert of["finetune_folds"].seconds == pytest.approx(folds, rel=1e-6)
    assert of["seeds"].seconds == pytest.approx(5 * of["train_dynamic"].seconds)
    kelm = of["kelm"].seconds / len(recommended.kelm.compare)
    again = of["train_dynamic"].seconds + kelm + of["train_audio@v3"].seconds
    assert of["refit"].seconds == pytest.approx(1.5 * again)
    twice = 2 * 4 * 9_000 / 4403  # four kinds, each with its mirror images
    assert of["degrade"].seconds == pytest.approx(twice, rel=0.6), "readers may be slower"
    once = items(changed(recommended, embed={"mirrored": False}), GPU)["degrade"]
    assert of["degrade"].seconds == pytest.approx(2 * once.seconds)
    plain = items(load_params(repository / "profiles" / "affwild2.yaml"), GPU)
    assert not {"finetune_folds", "seeds", "refit"} & plain.keys()


def test_the_profiles_for_affwild2_make_what_is_submitted_alone(repository: Path) -> None:
    for name in ("affwild2", "affwild2_recommended"):
        made = make_plan(load_params(repository / "profiles" / f"{name}.yaml"), known_totals(28.6, 1080), GPU)
        assert {item.only_for for item in made.items} == {""}
        assert made.table_only_s < 0.1 * made.seconds


def test_fewer_epochs_than_patience_are_all_run(params: Params) -> None:
    optimisation = params.finetune.optimisation.model_copy(update={"epochs": 5})
    item = items(changed(params, finetune={"optimisation": optimisation}), GPU)[f"finetune@{B1}"]
    assert item.seconds == item.longest_s == pytest.approx(5 * (18_000 / 1100 + 9_000 / 4403))


def test_pictures_decide_what_decoding_leaves_and_takes(params: Params) -> None:
    sound = 7200 * 44_100 * 1.5
    hd = replace(CORPUS, megapixel_s=7200 * 1920 * 1080 / 1e6)
    small, large = items(params, CPU), items(params, CPU, hd)
    assert small["decode"].disk_bytes == large["decode"].disk_bytes == pytest.approx(sound)
    assert large["faces"].seconds > 5 * small["faces"].seconds, "whoever looks at frames decodes them"

    kept = changed(params, decode={"keep_frames": True})
    small, large = items(kept, CPU), items(kept, CPU, hd)
    assert small["decode"].disk_bytes == pytest.approx(36_000 * VGA * 1e6 * 0.24 + sound)
    assert large["decode"].disk_bytes == pytest.approx(36_000 * 1920 * 1080 * 0.20 + sound)
    assert large["decode"].seconds == pytest.approx(6.75 * small["decode"].seconds)
    halved = items(changed(kept, decode={"max_side_px": 960}), CPU, hd)
    assert halved["decode"].disk_bytes == pytest.approx(36_000 * 960 * 540 * 0.24 + sound)
    assert halved["faces"].seconds < large["faces"].seconds / 3


def test_a_frozen_trunk_counts_once_and_fills_the_disk_meanwhile(params: Params) -> None:
    def pose(draws: int | None) -> Item:
        return items(changed(params, finetune={"frozen_draws": draws}), GPU)["finetune@pose_hrnet"]

    maps = 13 * 64 * 64 * 2 * (18_000 + 9_000)
    assert pose(1).disk_bytes - pose(None).disk_bytes == pytest.approx(maps)
    assert pose(1).seconds == pose(1).at_most_s == pytest.approx(pose(None).seconds / 20)
    assert pose(3).seconds > 2 * pose(1).seconds


def test_a_small_network_for_sound_takes_less(repository: Path, params: Params) -> None:
    drawn = load_params(repository / "profiles" / "sample.yaml").audio.backbone
    assert isinstance(drawn, dict)
    small = items(changed(params, audio={"backbone": drawn}), CPU)["train_audio@v3"]
    assert small.seconds < items(params, CPU)["train_audio@v3"].seconds / 500
    large = {"hidden_size": 1024, "intermediate_size": 4096}
    assert sound_core_s(large) == pytest.approx(sound_core_s("the authors'"), rel=0.05)


@pytest.mark.parametrize("backend", VOICES)
def test_a_voice_costs_what_its_record_says(params: Params, backend: str) -> None:
    voice = params.voice.model_copy(update={"backend": backend})
    seconds = items(params.model_copy(update={"voice": voice}), CPU)["voice"].seconds
    shared = 2 if VOICES[backend].all_cores else 4
    assert seconds == pytest.approx(VOICES[backend].core_s * 7200 / shared)
    assert (seconds > 0) == (backend != "none")


def test_the_sample_is_planned_as_it_ran(repository: Path) -> None:
    """127 s from the first unit to the last, all of `dvc repro`, on the two cores that the costs are of."""
    sample = load_params(repository / "profiles" / "sample.yaml")
    totals = Totals(
        "data/index, 2026-11-28",
        videos=27,
        video_s=307.7,
        megapixel_s=45.4,
        subject_s={"train": 143.8, "validation": 139.1, "test": 38.5},
        labelled_s={"train": 142.4, "validation": 137.7, "test": 0.0},
    )
    plan = make_plan(sample, totals, Machine(gpu=False, cores=2, jobs=2, threads=2))
    assert 127 / 1.5 < plan.seconds < 127 * 1.5
    ran = {"faces": 2.9, "mouth": 3.6, "voice": 5.9, "finetune@test_resnet": 12.8, "fuse": 10.2}
    planned = {item.stage: item.seconds for item in plan.items}
    assert {stage: planned[stage] / seconds for stage, seconds in ran.items()} == {
        stage: pytest.approx(1.25, abs=0.75) for stage in ran
    }


def test_memory_of_a_gpu_is_that_of_images_at_once(params: Params) -> None:
    of = items(params, GPU)
    assert of["finetune@efficientnet_b4"].gpu_bytes == pytest.approx(19.3e6 * 16 + 16 * 24e9 / 64)
    assert of["embed"].gpu_bytes == pytest.approx(7.8e6 * 4 + 256 * 24e9 / 1024)
    assert items(params, CPU)["embed"].gpu_bytes is None


def test_memory_counts_trainings_side_by_side(params: Params) -> None:
    alone, both = (
        items(changed(params, compute={"trainings_at_once": count}), GPU)[f"finetune@{B1}"]
        for count in (1, 2)
    )
    assert alone.gpu_bytes is not None
    assert both.memory_bytes == 2 * alone.memory_bytes
    assert both.gpu_bytes == 2 * alone.gpu_bytes
    no_limit = changed(params, compute={"trainings_at_once": None})
    assert items(no_limit, GPU)[f"finetune@{B1}"] == alone, "one on a GPU"
    assert (
        items(no_limit, CPU)["train_audio@v3"].memory_bytes
        == 2 * items(params, CPU)["train_audio@v3"].memory_bytes
    )


def test_memory_counts_every_worker_and_pytorch_beside_a_gpu(params: Params) -> None:
    assert items(params, CPU)["faces"].memory_bytes == pytest.approx(4 * 253e6)
    assert items(params, CPU)["embed"].memory_bytes == pytest.approx(418e6), "one process on all cores"
    assert items(params, GPU)["embed"].memory_bytes == pytest.approx(1418e6)


def test_the_plan_says_what_rows_of_tables_alone_need(params: Params) -> None:
    plan = make_plan(params, CORPUS, GPU)
    only = {item.stage: item.only_for for item in plan.items if item.only_for}
    assert only == {
        **{f"finetune@{backbone}": "table 3" for backbone in ALL[1:]},
        "train_audio@v1": "table 2",
    }
    assert plan.table_only_s == pytest.approx(sum(i.seconds for i in plan.items if i.stage in only))
    said = "\n".join(lines_of(plan))
    assert "largest: finetune@efficientnet_b4" in said
    assert "nothing here has been measured on a GPU yet" in said
    assert "someone speaks 40% of the time" in said
    assert "measured on a GPU" not in "\n".join(lines_of(make_plan(params, CORPUS, CPU)))


def test_what_the_machine_lacks() -> None:
    item = Item("decode", 10.0, disk_bytes=5e9, memory_bytes=3e9, gpu_bytes=2e9)
    enough = replace(GPU, free_bytes=6e9, memory_bytes=4e9, gpu_bytes=3e9)
    assert Plan([item], CORPUS, enough).shortages() == []
    short = Plan([item], CORPUS, replace(enough, free_bytes=4e9, gpu_bytes=1e9)).shortages()
    assert [line.split(";")[0] for line in short] == [
        "disk: 5 GB needed, 4 GB there",
        "GPU memory: 2 GB needed, 1 GB there",
    ]


def test_every_figure_says_where_it_is_from() -> None:
    assert all(cost.source and cost.unit and cost.value > 0 for cost in COSTS.values())
    for name, net in NETWORKS.items():
        assert net.seen_per_s > net.trained_per_s, name


def test_the_known_totals_of_affwild2() -> None:
    totals = known_totals(28.6, 1080)
    assert totals.video_s == pytest.approx(102_960)
    assert totals.subject_s["train"] == pytest.approx(102_960 * 1_682_057 / 2_993_081)
    assert totals.all_subjects_s == pytest.approx(totals.video_s)
    assert totals.megapixels == pytest.approx(1920 * 1080 / 1e6)
    assert totals.labelled_s["test"] == 0


def write_index(workspace: Workspace, videos: dict[str, str], source: str) -> None:
    facts = {"duration_s": 10.0, "width": 640, "height": 480, "frames": 300, "labelled_frames": 150}
    names = {"a_left": "a", "a_right": "a", "b": "b"}
    content = {
        "source": source,
        "videos": videos,
        "facts": dict.fromkeys(names, facts),
        "subjects": [{"name": name, "video": video, "split": "train"} for name, video in names.items()],
    }
    workspace.corpus_file.parent.mkdir(parents=True)
    workspace.corpus_file.write_text(json.dumps(content), encoding="utf-8")


def test_a_fresh_index_counts_people_and_videos(tmp_path: Path) -> None:
    videos = {name: str(tmp_path / f"{name}.mp4") for name in "ab"}
    for video in videos.values():
        Path(video).write_bytes(b"x")
        os.utime(video, (1e9, 1e9))
    workspace = Workspace(tmp_path)
    assert from_index(workspace, "corpus") is None, "there is none yet"
    write_index(workspace, videos, "corpus")
    totals = from_index(workspace, "corpus")
    assert totals is not None
    assert (totals.videos, totals.video_s, totals.subject_s["train"]) == (2, 20.0, 30.0)
    assert totals.labelled_s["train"] == 15.0
    assert totals.megapixels == pytest.approx(VGA)
    assert from_index(workspace, "another") is None
    os.utime(videos["a"], (4e9, 4e9))
    assert from_index(workspace, "corpus") is None, "a video is newer"


def test_headers_where_there_is_no_index(tmp_path: Path, params: Params) -> None:
    import av

    for name in ("one", "two"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as out:
            stream = out.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(20):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
            out.mux(stream.encode(None))
    for split, name in (("Train_Set", "one"), ("Validation_Set", "two")):
        file = tmp_path / "VA_Estimation_Challenge" / split / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_text("valence,arousal\n" + "0.1,0.2\n" * 20, encoding="utf-8")
    here = changed(
        params, index={"corpus": str(tmp_path), "test_list": None}, submission={"sample_file": None}
    )
    totals = from_headers(here)
    assert (totals.videos, totals.labelled_s["test"]) == (2, 0.0)
    assert totals.subject_s["train"] == totals.labelled_s["train"] == pytest.approx(2.0)
    assert totals.megapixels == pytest.approx(64 * 48 / 1e6)
    with pytest.raises(ValaroError):
        from_headers(changed(params, index={"corpus": str(tmp_path / "nowhere")}))


def test_the_command(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    done = CliRunner().invoke(app, ["plan", "--corpus-hours", "2", "--height", "720", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "2 h at 720 lines" in done.output
    assert "in all: " in done.output
    assert CliRunner().invoke(app, ["plan", "--corpus-hours", "0"]).exit_code == 2
