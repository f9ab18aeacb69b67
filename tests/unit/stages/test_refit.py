"""Refitting takes both splits, the folds' epochs, and leaves the systems that were evaluated alone."""

from pathlib import Path

import pytest

from stages.core.artefacts import write_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.engine.units import Unit
from stages.refit import Refitted, both, chosen
from stages.seeds import spread
from stages.submission import refitted


def test_epochs_are_the_median_over_the_folds(tmp_path: Path) -> None:
    by_fold = {str(k): {"valence": v, "arousal": a} for k, (v, a) in enumerate([(3, 9), (30, 8), (4, 10)])}
    write_json(tmp_path / "m.json", {"epochs_by_fold": by_fold})
    assert chosen(tmp_path / "m.json") == {"valence": 4, "arousal": 9}
    write_json(tmp_path / "m.json", {"epochs_by_fold": {}})
    with pytest.raises(ValaroError, match="needs two validation recordings"):
        chosen(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("train", "validation", "joined"),
    [(["a"], ["b"], ["a", "b"]), ({"a": "x"}, {"b": "y"}, {"a": "x", "b": "y"})],
)
def test_validation_teaches_and_the_models_lie_apart(
    train: object, validation: object, joined: object
) -> None:
    writes = {"model": Path("root/models/dynamic"), "metrics": Path("root/metrics/dynamic/metrics.json")}
    facts = {"train": train, "validation": validation, "folds": {"b": 0}}
    found = both(Unit("dynamic", {}, writes, facts), epochs={"valence_ccc": 3})
    assert found.facts["train"] == joined
    assert found.facts["folds"] == {}
    assert found.facts["epochs"] == {"valence_ccc": 3}
    assert found.writes == {"model": Path("root/models/refit/dynamic")}


def test_only_the_three_systems_are_others(tmp_path: Path) -> None:
    models = Refitted(tmp_path)
    assert models.model("dynamic") == tmp_path / "models/refit/dynamic"
    assert models.model("kelm/mean.safetensors") == tmp_path / "models/refit/kelm/mean.safetensors"
    assert models.model("fusion/x.safetensors") == tmp_path / "models/fusion/x.safetensors"


def test_a_system_that_is_not_refitted_is_not_submitted_in_its_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.folder("refit/traces/dynamic").mkdir(parents=True)
    assert refitted("traces/dynamic", workspace) == "refit/traces/dynamic"
    with pytest.raises(ValaroError, match="cross_attention isn't refitted"):
        refitted("traces/cross_attention", workspace)


def test_the_spread_over_seeds_by_hand() -> None:
    figures = [{"as_published": 0.5, "out_of_fold": 0.4}, {"as_published": 0.7, "out_of_fold": None}]
    found = spread(figures)
    assert found["as_published"]["mean"] == pytest.approx(0.6)
    assert found["as_published"]["sd"] == pytest.approx(0.1 * 2**0.5)
    assert "out_of_fold" not in found
    assert spread([]) == {}
