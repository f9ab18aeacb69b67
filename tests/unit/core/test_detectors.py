"""A face detector is one record: its weights, its licence, its least score are found there and nowhere else."""

from pathlib import Path

import pytest

from stages.core.detectors import DETECTORS, Detector, known_detector
from stages.core.params import FacesParams, Params, load_params
from stages.core.weights import WEIGHTS
from stages.exports import origins
from stages.exports.origins import Origin
from stages.vision.detectors import BUILDERS
from valaro.commands.weights import needed_weights

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(REPOSITORY / "profiles" / "sample.yaml")


def faces_of(params: Params, detector: str) -> FacesParams:
    return FacesParams.model_validate(params.faces.model_dump() | {"detector": detector})


@pytest.mark.parametrize("name", DETECTORS)
def test_a_record_names_what_there_is(name: str, params: Params) -> None:
    record = DETECTORS[name]
    assert name in BUILDERS
    assert 0 < record.least_score < 1
    voice = params.voice.model_copy(update={"backend": "none"})
    needed = needed_weights(params.model_copy(update={"faces": faces_of(params, name), "voice": voice}))
    assert needed == ({record.weights} if record.weights else set())
    if record.weights:
        assert WEIGHTS[record.weights].source in record.source
        assert WEIGHTS[record.weights].licence in record.licence


def test_every_builder_has_a_record() -> None:
    assert set(BUILDERS) == set(DETECTORS)


def test_an_unknown_name_is_refused_with_those_that_are_known(params: Params) -> None:
    with pytest.raises(ValueError, match=r"'eyes' is none of retinaface, centerface, "):
        known_detector("eyes")
    with pytest.raises(ValueError, match="'eyes' is none of retinaface"):
        faces_of(params, "eyes")


def test_a_card_credits_a_new_detector_to_its_own_authors(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Detector("Eyes", "Example Lab, trained on EXAMPLE", "GPL-3.0", 0.5)
    monkeypatch.setitem(DETECTORS, "eyes", record)  # type: ignore[arg-type]
    monkeypatch.setattr(origins, "DETECTORS", DETECTORS)
    origin = Origin("corpus", faces_of(params, "eyes"), None, None, None, mouth=False)
    terms = {(each[0], each[1]) for each in origin.upstream()}
    assert ("Example Lab, trained on EXAMPLE", "GPL-3.0") in terms
    assert not any("MediaPipe" in name for name, _ in terms)
