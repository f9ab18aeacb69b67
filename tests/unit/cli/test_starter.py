"""The starter: whole, small, in step with its profile, and used exactly where nothing better is there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_config, read_json, write_json
from stages.core.params import load_params
from valaro.commands.make_starter import CORPUS, FILE, starter_params
from valaro.recordings import starter
from valaro.recordings.chain import doubtful
from valaro.recordings.starter import STARTER, STARTER_NOTICE, models_unless_named
from valaro.recordings.trained import find_trained

LARGEST_MB = 10


def test_the_folder_is_a_trained_system_with_its_notice() -> None:
    trained = find_trained(STARTER)
    assert (trained.system, trained.corpus, trained.notice) == ("static", CORPUS, STARTER_NOTICE)
    assert trained.notes == (), "nothing is odd about it"
    assert trained.facts()["trained_on"] == CORPUS


def test_the_model_is_one_small_file_and_brings_its_interval() -> None:
    file = STARTER / "models" / FILE
    assert file.stat().st_size <= LARGEST_MB * 1e6
    config = read_config(file)
    assert (config["input"], config["pixels"], config["mirror"]) == ("square", "grey", True)
    assert set(config["doubt"]) == {"coefficients", "factor"}
    assert read_json(STARTER / "config.json")["models_md5"].keys() == {FILE}


def test_its_parameters_are_the_profiles(repository: Path) -> None:
    profile = (repository / "profiles" / "ferplus.yaml").read_text(encoding="utf-8")
    assert (STARTER / "params.yaml").read_text(encoding="utf-8") == starter_params(profile)
    made, plain = (load_params(repository / "profiles" / f"{name}.yaml") for name in ("ferplus", "sample"))
    differing = {name for name in type(made).model_fields if getattr(made, name) != getattr(plain, name)}
    assert differing == {"pretrain", "finetune", "embed"}


def test_it_lies_among_the_models_too(repository: Path) -> None:
    assert (repository / "models" / "starter" / "models" / FILE).is_file()


def test_the_card_holds_the_figures_that_were_measured() -> None:
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    figures = read_json(STARTER / "metrics" / "ferplus.json")
    for part in ("official", "without_copies"):
        for key in ("valence_ccc", "arousal_ccc"):
            assert f"{figures[part][key]:.3f}" in card
    for words in ("derived", "no identities", "disgust", "fear", "15 px", "licence", "Small faces"):
        assert words in card


@pytest.mark.parametrize(
    ("corpus", "system", "chosen"),
    [
        (None, "best", "starter"),
        ("data/sample/corpus", "best", "starter"),
        ("data/sample/corpus", "static", "starter"),
        ("data/sample/corpus", "dynamic", "trained"),
        ("data/affwild2", "best", "trained"),
        ("data/affwild2", "static", "trained"),
    ],
)
def test_what_serves_where_nobody_names_models(
    corpus: str | None, system: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "default_models", lambda: tmp_path / "models")
    if corpus:
        write_json(tmp_path / "models" / "fusion" / "provenance.json", {"corpus": corpus})
    expected: Any = {"starter": STARTER, "trained": tmp_path / "models"}[chosen]
    assert models_unless_named(system) == expected


@pytest.mark.slow
def test_crying_is_negative_laughing_positive_and_speech_near_0(shared: Path) -> None:
    """An actress cries until 9.5 s and laughs from 10.5 s; a woman says one neutral sentence."""
    import valaro

    model = valaro.load_model(STARTER, device="cpu")
    trace = valaro.predict(shared / "media/clips/13_pyfeat_emotions_silent_track.mp4", model=model)
    assert not isinstance(trace, list)
    valence = trace.valence_arousal[:, 0]
    assert np.nanmean(valence[trace.time_s < 9.0]) < -0.25
    assert np.nanmean(valence[trace.time_s > 10.5]) > 0.5
    assert trace.notice == STARTER_NOTICE
    assert trace.interval is not None
    speech = valaro.predict(shared / "media/clips/02_grid_female_lbbc2a.mpg", model=model)
    assert not isinstance(speech, list)
    assert np.abs(np.nanmean(speech.valence_arousal, axis=0)).max() < 0.2
    small = valaro.predict(shared / "media/clips/22_carphone_qcif_noaudio.mp4", model=model)
    widths = [np.nanmean(each.interval[:, 0, 1] - each.interval[:, 0, 0]) for each in (speech, small)]
    assert widths[1] > 1.5 * widths[0], "a face of 50 px"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "half_width"),
    [
        ("08_gray_1channel_profile.jpg", (0.4, 1)),
        ("02_dogs_noface.jpg", (0.4, 1)),
        ("13_group_small_faces.jpg", (0.25, 1)),
        ("03_single_face.jpg", (0.05, 0.15)),
        ("17_astronaut_public_domain.png", (0.05, 0.15)),
    ],
)
def test_small_turned_and_unlikely_faces_have_a_value_that_is_doubtful(
    picture: str, half_width: tuple[float, float], shared: Path
) -> None:
    import valaro

    trace = valaro.predict(shared / "media/images" / picture, model=valaro.load_model(STARTER, device="cpu"))
    assert not isinstance(trace, list) and trace.interval is not None
    assert np.isfinite(trace.valence_arousal).all()
    half = (trace.interval[..., 1] - trace.interval[..., 0]).max() / 2
    assert half_width[0] <= half <= half_width[1]


@pytest.mark.slow
def test_of_a_picture_everyone_can_be_chosen(shared: Path) -> None:
    import valaro

    picture, model = shared / "media/images/09_two_men.jpg", valaro.load_model(STARTER, device="cpu")
    alone = valaro.predict(picture, model=model)
    assert "2 faces in it; --person chooses another, or all" in alone.summary["notes"]
    everyone = list(valaro.predict(picture, model=model, person="all"))
    assert [trace.person for trace in everyone] == ["1", "2"]
    second = valaro.predict(picture, model=model, person=2)
    np.testing.assert_array_equal(second.valence_arousal, everyone[1].valence_arousal)
    assert abs(everyone[0].faces.box_xyxy[0, 0] - everyone[1].faces.box_xyxy[0, 0]) > 300


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["images/01_noface_landscape.jpg", "clips/24_nasa_voiceover_multistream.mp4"]
)
def test_where_nobody_is_there_is_no_value(name: str, shared: Path) -> None:
    import valaro

    with pytest.raises(valaro.ValaroError, match="no face in any"):
        valaro.predict(shared / "media" / name, model=valaro.load_model(STARTER, device="cpu"))


def test_a_note_says_how_much_is_doubtful_of_what_has_a_value() -> None:
    interval = np.zeros((10, 2, 2))
    interval[:, :, 1] = 0.4
    assert doubtful(None) == doubtful(interval) == []
    interval[:4] = np.nan
    assert doubtful(interval) == [], "nobody there is no doubt"
    interval[4:7, 0, 1] = 1.2
    assert doubtful(interval)[0].startswith("doubtful in 50% of the frames with a value: ")
    interval[:4] = 0
    assert doubtful(interval)[0].startswith("doubtful in 30% of the frames: ")
    assert doubtful(np.full((3, 2, 2), np.nan)) == []
