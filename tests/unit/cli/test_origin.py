"""Figures of another corpus, or of other parameters, than those that are active are said to be."""

import shutil
from pathlib import Path

import pytest
import yaml

from stages.core.artefacts import write_json
from stages.core.corpus import Workspace
from valaro.commands.origin import other_origin


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository whose figures were made with its parameters, the sample's."""
    shutil.copy(repository / "profiles/sample.yaml", tmp_path / "params.yaml")
    shutil.copytree(repository / "profiles", tmp_path / "profiles")
    content = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    sections = {name: content[name] for name in ("index", "smooth", "faces")}
    lock = {"stages": {"evaluate": {"params": {"params.yaml": sections}}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    write_json(tmp_path / "models/fusion/provenance.json", {"corpus": content["index"]["corpus"]})
    return tmp_path


def change(root: Path, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    (root / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")


def test_figures_of_the_active_parameters_need_no_word(root: Path) -> None:
    assert other_origin(Workspace(root)) == []


def test_another_corpus_is_said_with_its_profile(root: Path) -> None:
    shutil.copy(root / "profiles/affwild2.yaml", root / "params.yaml")
    [said] = other_origin(Workspace(root))
    assert "of the corpus data/sample/corpus" in said
    assert "(profile affwild2) now names data/affwild2" in said


def test_a_clone_without_models_knows_it_from_dvc_lock(root: Path) -> None:
    shutil.rmtree(root / "models")
    change(root, "corpus: data/sample/corpus", "corpus: data/mine")
    [said] = other_origin(Workspace(root))
    assert "now names data/mine" in said


def test_other_parameters_are_named(root: Path) -> None:
    change(root, "pad_px: 15", "pad_px: 20")
    [said] = other_origin(Workspace(root))
    assert "other parameters" in said
    assert "(faces.pad_px)" in said


def test_a_run_that_stopped_before_the_evaluation_is_said(root: Path) -> None:
    """Its index is of the new corpus, the figures are still those of the old one."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    evaluate, index = lock["stages"]["evaluate"], {"outs": [{"path": "data/index", "md5": "1.dir"}]}
    evaluate["outs"] = [{"path": "metrics/evaluate.json", "md5": "4"}]
    evaluate["deps"] = [{"path": "data/fused", "md5": "3.dir"}, {"path": "stages", "md5": "9.dir"}]
    fuse = {
        "deps": [{"path": "data/index", "md5": "1.dir"}],
        "outs": [{"path": "data/fused", "md5": "3.dir"}],
    }
    lock["stages"] = {"index": index, "fuse": fuse, "evaluate": evaluate}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    assert other_origin(Workspace(root)) == []
    index["outs"][0]["md5"] = "2.dir"
    (root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    [said] = other_origin(Workspace(root))
    assert said.startswith("these figures are of an earlier run: index ran since then")


def test_what_the_lock_remembers_of_stages_that_are_gone_counts_for_nothing(root: Path) -> None:
    """DVC doesn't forget the entry of a stage that was renamed, or that lost its matrix."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    evaluate = lock["stages"]["evaluate"]
    evaluate |= {"outs": [{"path": "metrics/evaluate.json", "md5": "4"}]}
    evaluate |= {"deps": [{"path": "models/kelm/mean.safetensors", "md5": "7"}]}
    gone = {"outs": [{"path": "models/kelm/mean.safetensors", "md5": "6"}]}
    gone |= {"params": {"params.yaml": {"smooth": {"window_s": 77.0}}}}
    lock["stages"] |= {"kelm@mean": gone}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    stages: dict[str, dict[str, object]] = {"evaluate": {}, "kelm": {"matrix": {}}}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    [said] = other_origin(Workspace(root))
    assert "kelm@mean ran since then" in said
    stages["kelm"].clear()
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    assert other_origin(Workspace(root)) == []


def test_without_parameters_nothing_can_be_said(tmp_path: Path) -> None:
    assert other_origin(Workspace(tmp_path)) == []
