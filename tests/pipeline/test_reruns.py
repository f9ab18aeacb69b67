"""What is run again after a change, and what isn't."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core.artefacts import read_arrays
from stages.core.params import Params

Ran = Callable[[str], list[str]]
Computed = Callable[[str], dict[str, tuple[int, int]]]

SCORED = ["evaluate", "submission", "tables", "report"]
FUSED = ["fuse", "degrade", "intervals", "refit", *SCORED]
LAST = ["smooth", *FUSED]
SMOOTHED = ["seeds", *LAST]
CROSSED = ["train_cross_attention", "predict_cross_attention", *LAST]
PREDICTED = ["predict", *CROSSED]
AUDIO = "train_audio@v3"
DYNAMIC = ["train_dynamic", "seeds", *PREDICTED]  # the seeds train the dynamic model again
EMBEDDED = ["embed", "kelm", *DYNAMIC]
HEARD = [AUDIO, *PREDICTED]
FINETUNED = ["finetune@test_resnet", "finetune_folds", *EMBEDDED]
DECODED = ["decode", "faces", "mouth", "voice", "speech", AUDIO, *FINETUNED]
PRETRAINED = ["pretrain@test_resnet", *FINETUNED]

# one parameter of every section -> a new value, and all that may run again
SECTIONS: dict[str, tuple[str, Any, list[str]]] = {
    "index": ("count_frames", "decoding", ["index", *DECODED]),
    "decode": ("jpeg_quality", 90, DECODED),
    "faces": ("pad_px", 10, ["faces", "mouth", "speech", AUDIO, "gather", *PRETRAINED]),
    "mouth": ("min_confidence", 0.4, ["mouth", "speech", *HEARD]),
    "voice": ("backend", "none", ["voice", *HEARD]),
    "speech": ("hop_s", 0.4, ["speech", *HEARD]),
    "pretrain": ("frames_hz", 2, ["gather", *PRETRAINED]),
    "finetune": ("batch_size", 8, FINETUNED),
    "embed": ("batch_size", 8, EMBEDDED),
    "dynamic": ("window_s", 2, DYNAMIC),
    "kelm": ("standardise", False, ["kelm", *PREDICTED]),
    "audio": ("batch_size", 4, HEARD),
    "cross_attention": ("window_s", 2.0, CROSSED),
    "smooth": ("window_s", 1.0, SMOOTHED),
    "crossfit": ("folds", 4, [AUDIO, *FINETUNED]),  # whose epochs, too, are picked by fold
    "fuse": ("draws", 100, FUSED),
    "intervals": ("coverage", 0.8, FUSED),  # some fusions weigh by them
    "evaluate": ("confidence", 0.9, SCORED),
    "submission": ("system", "kelm", ["submission"]),
    "predict": ("max_gap_s", 2.0, []),
    "compute": ("jobs", 3, []),
    "app": ("port", 9000, []),
}  # fmt: skip

# The stages that DVC finds changed as it stands; then, for each change of params.yaml, those whose parameters it
# finds changed, with all that depends on them.
ASK = """
import json, sys
from pathlib import Path
import networkx
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
with Repo() as repo:
    answers = {"nothing": sorted(repo.status())}
for section, text in json.load(sys.stdin).items():
    Path("params.yaml").write_text(text)
    with Repo() as repo:
        params = [(s, d) for s in repo.index.stages for d in s.deps if isinstance(d, ParamsDependency)]
        changed = {stage for stage, dependency in params if dependency.status()}
        after = {stage for one in changed for stage in networkx.ancestors(repo.index.graph, one)}
        answers[section] = sorted(stage.addressing for stage in changed | after)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(
    finished: Any, duplicate: Callable[[Any, Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What DVC says after one change in each section; nothing is run."""
    project = duplicate(finished, tmp_path_factory.mktemp("asked"))
    texts = {}
    for section, (key, value, _) in SECTIONS.items():
        params = finished.params()
        assert params[section][key] != value
        params[section][key] = value
        texts[section] = yaml.safe_dump(params, sort_keys=False)
    (project / "changes.json").write_text(json.dumps(texts))
    output = project.run("sh", "-c", f"python -c '{ASK}' < changes.json")
    found: dict[str, list[str]] = json.loads(output.splitlines()[-1])
    return found


def test_the_table_has_every_section() -> None:
    assert set(SECTIONS) == set(Params.model_fields)


def test_without_a_change_nothing_is_out_of_date(answers: dict[str, list[str]]) -> None:
    assert answers["nothing"] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_a_parameter_reruns_what_depends_on_it_and_nothing_else(
    answers: dict[str, list[str]], section: str
) -> None:
    assert answers[section] == sorted(SECTIONS[section][2])


def test_a_second_run_does_nothing_and_says_so(project: Any, ran: Ran) -> None:
    before = project.digests("data", "models", "metrics")
    output = project.dvc("repro")
    assert ran(output) == []
    assert "Data and pipelines are up to date." in output
    assert project.digests("data", "models", "metrics") == before
    assert project.git("status", "--porcelain") == ""


def test_another_smoothing_runs_the_last_stages_and_back_again(project: Any, ran: Ran) -> None:
    before = project.digests("data", "models", "metrics")
    project.set({"smooth": {"window_s": 1.0}})
    assert sorted(ran(project.dvc("repro"))) == sorted(SMOOTHED)
    smoother = project.digests("data", "models", "metrics")
    changed = {path.split("/")[1] for path in before if smoother[path] != before[path]}
    assert "traces" in changed
    scored = {
        *("evaluate.json", "scores.json", "margins.json", "pairs.csv", "per_video.csv", "per_video_all.csv"),
        *("tables", "plots", "report"),
    }
    assert changed <= {"traces", "fused", "fusion", "degraded", "intervals", "submission", *scored}
    project.set({"smooth": {"window_s": 0.5}})
    project.dvc("repro")
    assert project.digests("data", "models", "metrics") == before, "never a stale result"


@pytest.mark.slow
def test_what_comes_out_the_same_reruns_nothing_behind_it(project: Any, ran: Ran, computed: Computed) -> None:
    """BlazeFace looks at one frame at a time: the size of a batch decides nothing."""
    project.set({"faces": {"batch_size": 3}})
    output = project.dvc("repro", "speech", "finetune")
    assert sorted(ran(output)) == ["faces", "gather"]  # neither needs the other
    assert computed(output) == {"faces": (7, 7), "gather": (0, 0)}, (
        "searched again, with what was found before"
    )


def test_there_and_back_again_gives_what_belongs_to_each_value(project: Any, computed: Computed) -> None:
    project.set({"decode": {"keep_frames": True}})
    assert computed(project.dvc("repro", "decode")) == {"decode": (7, 0)}
    fine = project.digests("data/decode")
    images = read_arrays(project / "data/decode/v1.h5", "jpeg")["jpeg"]
    project.set({"decode": {"jpeg_quality": 20}})
    assert computed(project.dvc("repro", "decode")) == {"decode": (7, 0)}
    coarse = project.digests("data/decode")
    assert len(read_arrays(project / "data/decode/v1.h5", "jpeg")["jpeg"]) < len(images) / 2
    assert {name for name in fine if fine[name] != coarse[name]} == {
        name for name in fine if name.endswith(".h5")
    }
    project.set({"decode": {"jpeg_quality": 95}})
    assert computed(project.dvc("repro", "--no-run-cache", "decode")) == {"decode": (0, 7)}
    assert project.digests("data/decode") == fine


COMMENTS = [
    ("def decode_video(", "# A remark.\ndef decode_video("),
    ('"""Put one video on the grid,', '"""Lay one video on the grid,'),
]
STATEMENTS = [("np.full(len(grid), np.nan)", "np.zeros(len(grid))")]  # which the frames overwrite


def test_only_statements_recompute(project: Any, ran: Ran, computed: Computed) -> None:
    """Comments and docstrings don't; and what comes out the same reruns nothing behind it."""
    before = project.digests("data")
    source = project / "stages/decode.py"
    for edits, videos in ((COMMENTS, 0), (STATEMENTS, 7)):
        text = source.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        source.write_text(text, encoding="utf-8")
        output = project.dvc("repro", "speech", "voice")
        assert ran(output) == ["decode"]
        assert computed(output) == {"decode": (videos, 7 - videos)}
    assert project.digests("data") == before
