"""dvc.yaml and the profiles say the truth about the code."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core.params import Params, load_params
from stages.core.profiles import find_profiles
from stages.engine.dependencies import ignoring, modules_of, rewritten

REPOSITORY = Path(__file__).resolve().parents[3]
STAGES: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
NO_STAGE = ("__init__",)
CORPORA = ("${index.", "${pretrain.")
GIVEN = (*CORPORA, "metrics/sweeps")
"""What a stage reads that no stage makes."""


def covered(dependency: str, files: frozenset[str]) -> set[str]:
    """Those of the files that a dependency is, or holds."""
    return {file for file in files if f"{file}/".startswith(f"{dependency}/")}


def ignored() -> set[str]:
    """Files of code that DVC leaves out of the folders that it watches."""
    lines = (REPOSITORY / ".dvcignore").read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("/") for line in lines if line.startswith("/stages/")}


def watched(stage: str) -> list[str]:
    """The dependencies of a stage that are code."""
    return [path for path in STAGES[stage]["deps"] if path.startswith("stages/")]


def test_every_stage_file_is_a_stage_and_every_stage_a_file() -> None:
    files = {path.stem for path in (REPOSITORY / "stages").glob("*.py")} - set(NO_STAGE)
    assert set(STAGES) == files
    for name, stage in STAGES.items():
        arguments = "".join(f" ${{item.{key}}}" for key in stage.get("matrix", {}))
        assert stage["cmd"] == f"python -m stages.{name}{arguments}"
        assert stage["desc"]


def test_the_closure_follows_imports_within_functions() -> None:
    """The oracle of the next tests: checked against what is plain to see."""
    assert "stages/vision/retinaface_net.py" in modules_of("faces")  # faces -> retinaface -> the net
    assert "stages/engine/stage.py" not in modules_of("faces")
    assert {module.split("/")[1] for module in modules_of("smooth")} == {"core", "fusion", "smooth.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_watches_the_code_it_uses(stage: str) -> None:
    used = modules_of(stage)
    seen = set().union(*(covered(path, used) for path in watched(stage))) - ignored()
    assert used - seen == set(), "an edit of these wouldn't rerun the stage"


def test_dvc_yaml_names_the_code_that_the_stages_import() -> None:
    text = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    assert rewritten(text) == text, "run `make deps`"


def test_dvc_overlooks_the_code_that_no_stage_uses() -> None:
    text = (REPOSITORY / ".dvcignore").read_text(encoding="utf-8")
    assert ignoring(text) == text, "run `make deps`"
    assert "stages/core/params/learning.py" in ignored(), "a new parameter would rerun every stage"
    assert all((REPOSITORY / path).is_file() for path in ignored())


def test_a_stage_watches_no_code_twice() -> None:
    for stage in STAGES.values():
        assert len(set(stage["deps"])) == len(stage["deps"])


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_watches_exists_or_is_made(stage: str) -> None:
    made = set(outputs())
    for path in map(starred, STAGES[stage]["deps"]):
        if path.startswith("stages/"):
            assert (REPOSITORY / path).exists(), path
        else:
            holds_what_is_made = any(f"{place}/".startswith(f"{path}/") for place in made)
            assert path.startswith(GIVEN) or holds_what_is_made, path


def outputs() -> list[str]:
    """Everything that some stage writes; `*` stands for what a parameter or the matrix names."""
    entries = [
        entry for stage in STAGES.values() for kind in ("outs", "metrics") for entry in stage.get(kind, [])
    ]
    return [starred(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries]


def starred(path: str) -> str:
    """The path with `*` for names that come from parameters; the corpora stay what they are."""
    return path if path.startswith(CORPORA) else re.sub(r"\$\{[^}]*\}", "*", path)


def test_no_two_stages_write_the_same_place() -> None:
    places = outputs()
    assert len(set(places)) == len(places)
    within = [(a, b) for a in places for b in places if a != b and f"{a}/".startswith(f"{b}/")]
    assert within == []


def sections_read(stage: str) -> set[str]:
    """Sections of the parameters that a stage's file takes out of `load_params()`."""
    tree = ast.parse((REPOSITORY / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    names = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_params(node.value)
    }
    loaded = any(isinstance(node, ast.Name) and node.id == "load_params" for node in ast.walk(tree))
    return names & set(Params.model_fields) if loaded else set()


def _is_params(node: ast.expr) -> bool:
    """`params`, or `load_params()` itself: other things may have a method named as a section is (predict)."""
    called = node.func if isinstance(node, ast.Call) else node
    return isinstance(called, ast.Name) and called.id in ("params", "load_params")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_watches_the_parameters_it_reads(stage: str) -> None:
    """Where work is done decides no result, nor does which model is exported when it is trained; which corpus
    it is lies in the corpus' path.
    """
    without_effect = {"compute", "embed"} if stage == "finetune" else {"compute"}
    listed = {entry.split(".")[0] for entry in STAGES[stage].get("params", [])}
    paths = set(re.findall(r"\$\{(\w+)\.", " ".join(STAGES[stage]["deps"])))
    assert listed <= sections_read(stage)
    assert sections_read(stage) - without_effect <= listed | paths


def test_the_committed_params_are_the_sample_profile() -> None:
    """They run without a licence and without a network. What a user has made active since is their business."""
    committed = subprocess.run(
        ["git", "show", "HEAD:params.yaml"], cwd=REPOSITORY, check=True, capture_output=True
    )
    profile = subprocess.run(
        ["git", "show", "HEAD:profiles/sample.yaml"], cwd=REPOSITORY, check=True, capture_output=True
    )
    assert committed.stdout == profile.stdout


@pytest.mark.parametrize("profile", sorted(path.stem for path in (REPOSITORY / "profiles").glob("*.yaml")))
def test_a_profile_is_complete_and_legal(profile: str) -> None:
    path = REPOSITORY / "profiles" / f"{profile}.yaml"
    load_params(path)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(written) == list(Params.model_fields), "in the order of the pipeline"


def test_the_two_profiles_are_there() -> None:
    assert {"sample", "affwild2"} <= set(find_profiles(REPOSITORY))
