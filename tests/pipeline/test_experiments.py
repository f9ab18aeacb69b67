"""DVC's experiments work, and reuse finished videos wherever they run."""

import csv
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Ran = Callable[[str], list[str]]
Computed = Callable[[str], dict[str, tuple[int, int]]]

PATIENCE_S = 600
FUSED = ["fuse", "degrade", "intervals", "refit", "evaluate", "tables", "submission", "report"]
LAST = ["smooth", "seeds", *FUSED]
DYNAMIC = ["train_dynamic", "predict", "train_cross_attention", "predict_cross_attention", *LAST]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("smooth.window_s=1.5", LAST),
        pytest.param("dynamic.window_s=2", DYNAMIC, marks=pytest.mark.slow),
    ],
)
def test_an_experiment_can_be_run_shown_and_compared(
    project: Any, ran: Ran, change: str, stages: list[str]
) -> None:
    before = json.loads((project / "metrics/scores.json").read_text())
    output = project.dvc("exp", "run", "--name", "other", "--set-param", change)
    assert sorted(ran(output)) == sorted(stages)
    after = json.loads((project / "metrics/scores.json").read_text())
    changed = [name for name in after if after[name] != before[name]]
    assert changed

    key, value = change.split("=")
    rows = csv.DictReader(project.dvc("exp", "show", "--csv", "--only-changed").splitlines())
    shown = {row["Experiment"] or row["rev"]: row for row in rows}
    assert float(shown["other"][key]) == float(value) != float(shown["main"][key])
    assert all(shown["other"][name] != shown["main"][name] for name in changed)
    table = project.dvc(
        "exp", "show", "--only-changed", "--no-pager", "--drop", "(data|models|metrics|stages)/"
    )
    assert max(map(len, table.splitlines())) <= 160

    difference = json.loads(project.dvc("metrics", "diff", "--json"))
    assert difference.keys() == {"metrics/scores.json"}
    for side, scores in (("old", before), ("new", after)):
        assert all(difference["metrics/scores.json"][name][side] == scores[name] for name in changed)
    assert len(project.dvc("metrics", "diff").splitlines()) <= 12

    page = Path(project.dvc("plots", "diff", "--out", "plots").split("file://")[-1].strip())
    text = page.read_text(encoding="utf-8")
    for part in (
        '"subject": "v3"',
        '"rev": "workspace"',
        '"rev": "HEAD"',
        "#dynamic_loss",
        "vega-lite",
    ):
        assert part in text
    assert not re.search(r"<(script|link)[^>]+(src|href)=", text), "nothing comes over the network"


def test_an_experiment_in_a_copy_reuses_finished_videos(
    project: Any, film: Callable[..., Path], ran: Ran, computed: Computed
) -> None:
    before = project.digests("data", "models", "metrics")
    project.lay(film("newcomer.mp4", hue=170), "test")
    project.dvc("add", "--quiet", "corpus")
    output = project.dvc("exp", "run", "--temp", "--name", "more", "faces")
    assert ran(output) == ["index", "decode", "faces"]
    assert computed(output) == {"index": (1, 8), "decode": (1, 7), "faces": (2, 14)}
    assert project.digests("data", "models", "metrics") == before, "this copy is as it was"
    output = project.dvc("repro", "--no-run-cache", "faces")
    assert computed(output) == {"index": (0, 9), "decode": (0, 8), "faces": (0, 16)}, (
        "and the other way round"
    )
    assert (project / "data/faces/newcomer.h5").is_file()


@pytest.mark.slow
def test_queued_experiments_reuse_finished_videos(project: Any, computed: Computed) -> None:
    """A grid of two over a parameter of one stage: what comes before isn't run, what is known isn't computed."""
    project.set({"decode": {"jpeg_quality": 50}})
    assert computed(project.dvc("repro", "decode")) == {"decode": (7, 0)}
    lock = out_of_decode((project / "dvc.lock").read_text(encoding="utf-8"))
    project.git("checkout", "--", "params.yaml", "dvc.lock")
    project.dvc("checkout", "--quiet")
    with (project / "stages/decode.py").open("a", encoding="utf-8") as source:
        source.write("# A remark: DVC's own memory, of whole stages, doesn't know this file.\n")
    project.commit("A remark")
    project.dvc("exp", "run", "--queue", "--set-param", "decode.jpeg_quality=50,60", "decode")
    project.dvc("queue", "start", "--jobs", "1")
    deadline = time.monotonic() + PATIENCE_S
    while re.search(r"Queued|Running", status := project.dvc("queue", "status")):
        assert time.monotonic() < deadline, status
        time.sleep(1)
    project.dvc("queue", "stop")
    names = re.findall(r"(\S+) +\S+ +\S+ +Success", status)
    counts = {name: computed(project.dvc("queue", "logs", name))["decode"] for name in names}
    assert sorted(counts.values()) == [(0, 7), (7, 0)], status
    (known,) = [name for name, count in counts.items() if count == (0, 7)]
    (revision,) = [
        ref for ref in project.git("for-each-ref", "--format=%(refname)").split() if ref.endswith(known)
    ]
    assert "jpeg_quality: 50" in project.git("show", f"{revision}:params.yaml")
    assert out_of_decode(project.git("show", f"{revision}:dvc.lock")) == lock


def out_of_decode(lock: str) -> Any:
    """What dvc.lock knows of the decoded videos: the hash of all their bytes."""
    return yaml.safe_load(lock)["stages"]["decode"]["outs"]
