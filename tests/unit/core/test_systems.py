"""A system or a fusion is one record: everything that decides by its name finds it there."""

from pathlib import Path

import pytest

from stages.core.params import Params, load_params
from stages.core.systems import FUSIONS, SYSTEMS, parts_of
from stages.evaluation import published
from stages.fusion.methods import METHODS
from valaro.recordings.chain import PREDICTORS

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(REPOSITORY / "profiles" / "affwild2.yaml")


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_systems_record_names_what_there_is(name: str, params: Params) -> None:
    system = SYSTEMS[name]
    assert set(system.sections) <= set(Params.model_fields)
    assert set(system.leans_on) <= set(SYSTEMS)
    assert all("{" not in file and file.endswith(".safetensors") for file in system.files(params))


def test_files_follow_the_parameters(params: Params) -> None:
    assert SYSTEMS["kelm"].files(params) == [
        "static/efficientnet_b1.safetensors",
        f"kelm/{params.kelm.functionals}.safetensors",
    ]


def test_every_system_can_predict_a_recording() -> None:
    assert set(PREDICTORS) == set(SYSTEMS)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusions_record_names_what_there_is(name: str) -> None:
    fusion = FUSIONS[name]
    assert set(fusion.systems) <= set(SYSTEMS)
    assert fusion.method in METHODS


def test_the_papers_rows_are_ours() -> None:
    assert set(published.SYSTEMS) == set(published.SYSTEMS_TEST) <= {*SYSTEMS, *FUSIONS}


@pytest.mark.parametrize(
    ("system", "parts"),
    [
        ("dynamic", ("dynamic",)),
        ("cross_attention", ("dynamic", "audio", "cross_attention")),
        ("dwf_dynamic_audio_kelm", ("dynamic", "audio", "kelm")),
    ],
)
def test_what_a_system_leans_on_runs_first(system: str, parts: tuple[str, ...]) -> None:
    assert parts_of(system) == parts


def test_no_system_and_fusion_share_a_name() -> None:
    assert not set(SYSTEMS) & set(FUSIONS)
