"""Model cards, read back by the hub's own parser."""

import dataclasses

import pytest
import yaml
from huggingface_hub import ModelCard

from stages.exports.card import Card, Part, Split, Upstream, render

PDEM = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"


def figures(valence: float, arousal: float) -> dict:
    ccc = {"valence": valence, "arousal": arousal, "mean": (valence + arousal) / 2}
    return {
        "ccc": {t: {"value": v, "low": v - 0.05, "high": v + 0.05} for t, v in ccc.items()},
        "rmse": {"mean": 0.321},
    }


CARD = Card(
    system="dwf_dynamic_audio",
    parts=[Part("models/audio/v3.safetensors", 1_234_567, "0" * 32)],
    corpus="data/affwild2",
    splits={"train": Split(351, 20.5, 1_600_000), "validation": Split(76, 4.25, 370_000)},
    scores={"as_published": figures(0.54, 0.66), "out_of_fold": figures(0.52, 0.64)},
    confidence=0.9,
    params={"dynamic": {"window_s": 4.0, "heads": 8}},
    upstream=[Upstream(PDEM, "CC-BY-NC-SA-4.0: no commercial use", "audio backbone, in the weights")],
    licence="cc-by-nc-sa-4.0",
    base_models=[PDEM],
    notice="",
    version="0.1.0",
)


def test_the_hub_reads_licence_origin_and_out_of_fold_scores() -> None:
    data = ModelCard(render(CARD)).data
    assert data.license == "cc-by-nc-sa-4.0"
    assert data.base_model == [PDEM]
    assert data.library_name == "valaro"
    read = {result.metric_name: result.metric_value for result in data.eval_results}
    assert read == {
        "CCC, valence (out_of_fold)": 0.52,
        "CCC, arousal (out_of_fold)": 0.64,
        "CCC, mean (out_of_fold)": 0.58,
    }
    assert {result.dataset_split for result in data.eval_results} == {"validation"}


def test_without_folds_the_hub_gets_the_score_as_published() -> None:
    card = dataclasses.replace(CARD, scores={"as_published": figures(0.54, 0.66)})
    read = {result.metric_name: result.metric_value for result in ModelCard(render(card)).data.eval_results}
    assert read["CCC, valence (as_published)"] == 0.54


def test_the_text_holds_every_section_and_figure() -> None:
    text = ModelCard(render(CARD)).text
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["Use", "Data", "Scores", "Output", "Parameters", "Licences", "Intended use and limits"]
    assert (
        "| out_of_fold | 0.520 [0.470, 0.570] | 0.640 [0.590, 0.690] | 0.580 [0.530, 0.630] | 0.321 |" in text
    )
    assert "90% interval" in text
    assert "| train | 351 | 20.50 | 1600000 |" in text
    assert "| `models/audio/v3.safetensors` | 1,234,567 |" in text
    assert f"| {PDEM} | CC-BY-NC-SA-4.0: no commercial use |" in text
    assert text.index("1. `valence`") < text.index("2. `arousal`")
    assert "from -1 to 1" in text
    block = text.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == CARD.params


def test_without_an_evaluation_it_says_so() -> None:
    text = render(dataclasses.replace(CARD, scores={}, splits={}))
    assert "hasn't been evaluated" in text
    assert not ModelCard(text).data.eval_results
    assert "| train |" not in text


def test_a_notice_stands_at_the_top() -> None:
    text = ModelCard(render(dataclasses.replace(CARD, notice="means nothing"))).text
    assert text.index("**Means nothing.**") < text.index("## Use")


@pytest.mark.parametrize("licence", ["other", "mit"])
def test_a_licence_that_the_hub_does_not_know_has_a_name_and_a_link(licence: str) -> None:
    data = ModelCard(render(dataclasses.replace(CARD, licence=licence))).data.to_dict()
    assert ("license_name" in data) == (licence == "other")
    assert ("license_link" in data) == (licence == "other")
