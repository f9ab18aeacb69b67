"""Every voice backend has one record, and one line that builds it."""

from pathlib import Path

import pytest

from stages.core.params import VoiceParams, load_params
from stages.core.voices import VOICES, VoiceBackend, known_voice
from stages.core.weights import WEIGHTS
from stages.exports import origins
from stages.exports.origins import Origin
from stages.separation.separators import BUILDERS, separator_of, weights_of


def voice(repository: Path, backend: str, **changes: str) -> VoiceParams:
    settings = load_params(repository / "profiles" / "sample.yaml").voice.model_dump()
    return VoiceParams.model_validate(settings | {"backend": backend} | changes)


def test_every_builder_has_a_record() -> None:
    assert set(BUILDERS) == set(VOICES)


def test_the_weights_of_every_backend_are_in_the_table() -> None:
    for record in VOICES.values():
        needed = record.weights("4stems")
        assert needed is None or WEIGHTS[needed].source


def test_an_unknown_name_is_refused_with_those_that_are_known(repository: Path) -> None:
    with pytest.raises(ValueError, match="'demucs' is none of none, classical, spleeter_torch, spleeter"):
        known_voice("demucs")
    with pytest.raises(ValueError, match="'demucs' is none of"):
        voice(repository, "demucs")


@pytest.mark.parametrize("backend", ["none", "classical"])
def test_what_needs_no_weights_is_built_without_looking_for_any(
    backend: str, repository: Path, tmp_path: Path
) -> None:
    settings = voice(repository, backend)
    assert weights_of(settings, tmp_path) is None
    assert separator_of(settings, None) is separator_of(settings.model_copy(), None), "one per process"
    assert not list(tmp_path.iterdir())


def test_the_original_program_needs_its_python(repository: Path) -> None:
    with pytest.raises(ValueError, match="spleeter_python"):
        voice(repository, "spleeter")
    assert voice(repository, "spleeter", spleeter_python="python").backend == "spleeter"


def test_a_card_credits_a_backend_by_its_record_and_not_by_its_name(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VOICES, "spleeter_like", VoiceBackend("Trained here"))  # type: ignore[arg-type]
    monkeypatch.setattr(origins, "VOICES", VOICES)
    params = load_params(repository / "profiles" / "sample.yaml")
    for backend, credited in (("spleeter_like", False), ("spleeter_torch", True)):
        origin = Origin("corpus", params.faces, voice(repository, backend), None, None)
        assert any("deezer" in each[0] for each in origin.upstream()) == credited
