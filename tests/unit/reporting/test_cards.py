"""A card for every model of a run, read back by the hub's own parser."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from stages.core.artefacts import write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.params import Params, load_params
from stages.core.systems import FUSIONS
from stages.core.untrained import Untrained, write_untrained
from stages.engine.fingerprint import md5_of
from stages.report import made
from stages.reporting.cards import cards_in, write_cards

from .conftest import LayModels

PDEM = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
HOSTILE = "</script><script>alert(1)</script> | `x` ``` [a](javascript:b) =HYPERLINK(1)"


def figures(value: float) -> dict[str, Any]:
    """As `evaluate` writes them."""
    ccc = {name: {"value": value, "low": value - 0.1, "high": value + 0.1} for name in TARGETS}
    return {"ccc": ccc, "rmse": {"mean": 0.3}}


TARGETS = ("valence", "arousal", "mean")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay_models: LayModels) -> Workspace:
    """A run's models, its evaluation, its corpus of two subjects."""
    monkeypatch.chdir(tmp_path)
    workspace = Workspace()
    lay_models(workspace)
    name_corpus(workspace, "data/sample/corpus")
    single = {"out_of_fold": figures(0.5), "train": figures(0.9)}
    systems: dict[str, Any] = dict.fromkeys(("dynamic", "kelm", "audio", "cross_attention"), single)
    for fusion in FUSIONS:
        systems[fusion] = {"out_of_fold": figures(0.6), "as_published": figures(0.7)}
    write_json(workspace.metrics("evaluate.json"), {"best": "", "confidence": 0.9, "systems": systems})
    return workspace


def name_corpus(workspace: Workspace, source: str) -> None:
    """One subject to learn from, one to validate on."""
    subjects = [Subject("a", "a", None, "train"), Subject("b", "b", None, "validation")]
    facts = {name: {"duration_s": 1800.0, "labelled_frames": 40} for name in "ab"}
    workspace.write_corpus(Corpus(subjects, {}), source=source, facts=facts)


def change(section: str, **values: Any) -> None:
    """Some of the active parameters."""
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def written(workspace: Workspace) -> dict[str, ModelCard]:
    """Every card, as the hub reads it."""
    write_cards(Path("cards"), workspace, made())
    return {name: ModelCard.load(path) for name, path in cards_in(Path("cards")).items()}


def test_every_file_of_weights_is_in_a_card(workspace: Workspace) -> None:
    cards = written(workspace)
    files = {path.as_posix() for path in Path("models").rglob("*.safetensors")}
    told = {
        file: [name for name, card in cards.items() if f"| `{file}` | 6 |" in card.text] for file in files
    }
    assert [file for file, names in told.items() if len(names) != 1] == []
    for file, (name,) in told.items():
        assert md5_of(Path(file)) in cards[name].text
    titles = ["Use", "Data", "Scores", "Output", "Parameters", "Licences", "Intended use and limits"]
    for card in cards.values():
        assert [line[3:] for line in card.text.splitlines() if line.startswith("## ")] == titles


def test_scores_with_intervals_are_the_evaluations(workspace: Workspace, params: Params) -> None:
    cards = written(workspace)
    evaluated = {name for name, card in cards.items() if "[0.400, 0.600]" in card.text}
    fused = {name for name, card in cards.items() if "| out_of_fold | 0.600 [0.500, 0.700]" in card.text}
    assert evaluated == {
        "dynamic", "cross_attention", f"kelm/{params.kelm.functionals}", f"audio/{params.audio.version}"
    }  # fmt: skip
    assert fused == {f"fusion/{fusion}" for fusion in FUSIONS}
    for name, card in cards.items():
        results = [result.metric_value for result in card.data.eval_results or []]
        assert results == ([0.5] * 3 if name in evaluated else [0.6] * 3 if name in fused else [])
        assert ("hasn't been evaluated" in card.text) == (name not in evaluated | fused)


@pytest.fixture
def params(workspace: Workspace) -> Params:
    """The active ones."""
    return load_params()


def test_a_model_without_a_score_says_what_was_measured_and_that_it_has_no_interval(
    workspace: Workspace, params: Params
) -> None:
    cards = written(workspace)
    static = cards[f"static/{params.embed.backbone}"].text
    assert "| RMSE, mean | 0.300 | 2 |" in static, "the epoch that was kept, not the last"
    assert "| CCC, valence | 0.625 | 2 |" in static
    assert "have no interval" in static
    assert "Training data: 12 train images, 6 validation images." in static
    other = next(version for version in params.audio.compare if version != params.audio.version)
    assert "| CCC, arousal | 0.300 | 2 |" in cards[f"audio/{other}"].text
    start = cards[f"pretrained_static/{params.embed.backbone}"].text
    assert "Not trained: no pre-training corpus is there." in start
    assert "interval" not in start


def test_a_card_holds_the_parameters_of_its_own_model(workspace: Workspace, params: Params) -> None:
    cards = written(workspace)
    for name in (*params.finetune.compare, *params.audio.compare, *params.kelm.compare):
        (found,) = [each for each in cards if each.endswith(f"/{name}") and not each.startswith("pre")]
        content = yaml.safe_load(cards[found].text.split("```yaml\n")[1].split("```")[0])
        kind = found.split("/")[0]
        chosen = {
            "static": lambda c: [*c["finetune"]["backbones"]],
            "audio": lambda c: [c["audio"]["version"], *c["audio"]["versions"]][1:],
            "kelm": lambda c: [c["kelm"]["functionals"]],
        }[kind](content)
        assert chosen == [name]
        assert content["decode"]["fps_hz"] == params.decode.fps_hz


def test_what_hears_through_pdem_is_under_its_licence(workspace: Workspace) -> None:
    change("audio", backbone=PDEM)
    for name, card in written(workspace).items():
        hears = name.startswith(("audio/", "fusion/", "cross_attention"))
        assert card.data.license == ("cc-by-nc-sa-4.0" if hears else "mit")
        assert (card.data.base_model == [PDEM]) == hears
        assert ("CC-BY-NC-SA-4.0: no commercial use" in card.text) == hears


def test_corpora_of_pre_training_bind_what_came_of_them(workspace: Workspace, params: Params) -> None:
    backbone = params.embed.backbone
    counts = {"speakers": 4, "train_images": 30, "validation_images": 10}
    best = {"score": {"epoch": 3, "value": 0.4}}
    learnt = {"corpora": {"affectnet": counts}, "start": "weights drawn at random", "best": best}
    learnt |= {"scores": {"mean_ccc": 0.45, "score": 0.4}}
    write_json(workspace.metrics(f"pretrain/{backbone}/metrics.json"), learnt)
    cards = written(workspace)
    start = cards[f"pretrained_static/{backbone}"].text
    assert "Training data: 4 speakers, 30 train images, 10 validation images." in start
    assert "| CCC, mean | 0.450 | 3 |" in start
    bound = {name for name, card in cards.items() if "| affectnet |" in card.text}
    assert {name for name, card in cards.items() if card.data.license == "other"} == bound
    assert bound >= {f"static/{backbone}", "dynamic", "cross_attention", f"kelm/{params.kelm.functionals}"}
    assert not [name for name in bound if name.startswith("audio/")]


def test_a_model_that_is_no_more_has_no_card(workspace: Workspace, params: Params) -> None:
    before = written(workspace)
    change("kelm", compare=[params.kelm.functionals])
    after = written(workspace)
    gone = {f"kelm/{name}" for name in params.kelm.compare if name != params.kelm.functionals}
    assert gone
    assert before.keys() - after.keys() == gone


def test_a_model_that_could_not_be_trained_has_no_card(workspace: Workspace, params: Params) -> None:
    before, lack = written(workspace), Untrained("nobody speaks", "See data/speech")
    audio, fusion = f"audio/{params.audio.version}", "fusion/dwf_dynamic_audio"
    for name in (audio, "cross_attention/valence", fusion):
        write_untrained(workspace.model(f"{name}.safetensors"), lack)
    for name in (audio, "cross_attention"):
        write_json(workspace.metrics(f"{name}/metrics.json"), {"reason": lack.reason})
    assert before.keys() - written(workspace).keys() == {audio, "cross_attention", fusion}


@pytest.mark.parametrize("damage", [None, b"nonsense"])
def test_weights_that_are_missing_or_damaged_are_named(workspace: Workspace, damage: bytes | None) -> None:
    path = Path("models/cross_attention/arousal.safetensors")
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(ValaroError, match=rf"{path}: (no such weights|not a readable safetensors file)"):
        written(workspace)
    assert not Path("cards").exists(), "all cards or none"


def test_the_output_is_in_order_and_in_range(workspace: Workspace) -> None:
    change("finetune", tanh_output=False)
    for name, card in written(workspace).items():
        output = card.text.split("## Output")[1].split("## Parameters")[0]
        assert output.index("1. `valence`") < output.index("2. `arousal`")
        free = name.startswith(("static/", "pretrained_static/", "kelm/"))
        assert ("both from -1 to 1" in output) != free


def test_a_hostile_name_of_the_corpus_stays_text(workspace: Workspace) -> None:
    name_corpus(workspace, HOSTILE)
    for card in written(workspace).values():
        body = card.text
        code = [line for line in body.splitlines() if HOSTILE in line]
        assert all("````" in line for line in code), "only as a span of code, whose ticks outnumber its own"
        shown = "\n".join(line for line in body.splitlines() if line not in code)
        assert "<script>" not in shown
        assert "[a](" not in shown
        for row in (line for line in shown.splitlines() if "alert" in line):
            assert row.replace("\\|", "").count("|") == 4, "one row of three cells"
        assert card.data.license == "other" or "pretrained_static" in body
