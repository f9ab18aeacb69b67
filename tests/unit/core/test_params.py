"""Parameters are checked before any work, and an error says what to write instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core.errors import ValaroError
from stages.core.params import Params, load_params

Load = Callable[[dict[str, Any]], Params]


@pytest.fixture
def profile(repository: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (repository / "profiles" / "sample.yaml").read_text(encoding="utf-8")
    )
    return content


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def through_a_file(content: dict[str, Any]) -> Params:
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_params(path)

    return through_a_file


def put(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        content = content[section]
    content[name] = value


def test_every_profile_and_the_active_one_are_legal(repository: Path) -> None:
    files = [repository / "params.yaml", *sorted((repository / "profiles").glob("*.yaml"))]
    files.append(repository / "valaro" / "starter" / "params.yaml")
    assert len(files) >= 2
    for file in files:
        assert load_params(file).decode.fps_hz > 0


@pytest.mark.parametrize("name", ["sample", "affwild2", "affwild2_recommended", "ferplus"])
def test_dvc_reads_a_profile_and_what_its_option_s_makes_of_it(
    repository: Path, tmp_path: Path, name: str
) -> None:
    """`dvc exp run -S` writes params.yaml anew, by another parser than the one that reads it."""
    from dvc.utils.serialize import load_yaml, modify_yaml

    file = tmp_path / "params.yaml"
    file.write_bytes((repository / "profiles" / f"{name}.yaml").read_bytes())
    before = load_params(file)
    assert load_yaml(str(file))["finetune"]["compare"] == before.finetune.compare
    with modify_yaml(str(file)) as content:
        content["finetune"]["compare"] = list(before.finetune.backbones)
    assert load_yaml(str(file))["finetune"]["compare"] == list(before.finetune.backbones)
    assert load_params(file).finetune.backbones == before.finetune.backbones


def test_a_profile_survives_the_way_through_the_types(profile: dict[str, Any], load: Load) -> None:
    """Nothing is dropped, renamed, or replaced by a default."""
    assert load(profile).model_dump(mode="json", exclude_unset=True) == profile


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [
        ("index.on_bad_input", "ignore", "'warn' or 'fail'"),
        ("index.max_label_surplus", 1.5, "less than or equal to 1"),
        ("decode.fps_hz", 0, "greater than 0"),
        ("decode.fps_hz", 121, "less than or equal to 120"),
        ("decode.fps_hz", "fast", "must be a number"),
        ("decode.audio_rate_hz", 7999, "greater than or equal to 8000"),
        ("decode.max_side_px", 63, "greater than or equal to 64"),
        ("decode.jpeg_quality", 101, "less than or equal to 100"),
        ("faces.detector", "viola_jones", "retinaface, centerface, "),
        ("faces.min_score", -0.1, "greater than or equal to 0"),
        ("faces.pad_px", None, "must be a number"),
        ("decode.fps_hz", True, "must be no flag"),
        ("dynamic.window_s", float("inf"), "must be a finite number"),
        ("dynamic.optimisation.seed", True, "must be no flag"),
        ("dynamic.optimisation.learning_rate", float("inf"), "must be a finite number"),
        ("mouth.min_confidence", 2, "less than or equal to 1"),
        ("voice.rate_hz", 16000.5, "must be an integer"),
        ("speech.hop_s", -1, "greater than 0"),
        ("finetune.compare", [], "at least 1 item"),
        ("finetune.compare", ["../escape"], "pattern"),
        ("finetune.backbones.test_resnet.image_size", 16, "greater than or equal to 32"),
        ("finetune.backbones.test_resnet.input", "hand", "'face', 'square', 'frame' or 'person'"),
        ("finetune.augmentation.probability", 1.01, "less than or equal to 1"),
        ("finetune.optimisation.learning_rate", 0, "greater than 0"),
        ("finetune.optimisation.epochs", 0, "greater than or equal to 1"),
        ("finetune.optimisation.mixed_precision", "fp8", "'no', 'fp16' or 'bf16'"),
        ("embed.batch_size", 0, "greater than or equal to 1"),
        ("dynamic.kind", "lstm", "'transformer'"),
        ("dynamic.normalisation", "zscore", "'minmax'"),
        ("kelm.compare", [], "at least 1 item"),
        ("kelm.compare", ["median"], "'mean_min_max', 'mean_max', 'mean_min'"),
        ("kelm.functionals", "median", "'mean_min_max', 'mean_max', 'mean_min'"),
        ("kelm.c", [1, 0], "greater than 0"),
        ("kelm.folds", 1, "greater than or equal to 2"),
        ("audio.version", "v4", "'v1', 'v2' or 'v3'"),
        ("audio.versions.v1.heads", [8], "is missing"),
        ("audio.versions.v1.trainable_layers", -1, "greater than or equal to 0"),
        ("smooth.window_s", -0.5, "greater than or equal to 0"),
        ("smooth.window_s", 1e12, "less than or equal to 3600"),
        ("fuse.draws", 0, "greater than or equal to 1"),
        ("fuse.trees", [], "at least 1 item"),
        ("evaluate.confidence", 1, "less than 1"),
        ("evaluate.resamples", 99, "greater than or equal to 100"),
        ("submission.system", 3, "must be a string"),
        ("compute.jobs", 0, "greater than or equal to 1"),
    ],
)
def test_an_illegal_value_is_named_with_its_key_and_what_is_legal(
    profile: dict[str, Any], load: Load, key: str, value: Any, legal: str
) -> None:
    put(profile, key, value)
    with pytest.raises(ValaroError) as caught:
        load(profile)
    message = str(caught.value)
    assert "params.yaml: " + key in message
    assert legal in message
    assert message.endswith(".")
    if legal != "is missing":
        shown = value[-1] if isinstance(value, list) and value else value
        assert repr(shown) in message


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "finetune.compare",
            ["test_resnet", "vgg"],
            "compare names 'vgg', which is none of test_pose, test_resnet",
        ),
        ("embed.backbone", "vgg", "embed.backbone names 'vgg'"),
        ("kelm.compare", ["mean_max"], "functionals names 'mean_min_max', which is none of mean_max"),
        ("audio.compare", ["v1"], "version names 'v3', which is none of v1"),
        ("audio.versions", {}, "compare names 'v1'"),
        ("dynamic.heads", 3, "dynamic: heads is 3, which doesn't divide d_model, 64"),
        ("cross_attention.heads", 3, "cross_attention: heads is 3, which doesn't divide d_model, 32"),
    ],
)
def test_what_goes_on_must_be_among_what_is_compared_and_described(
    profile: dict[str, Any], load: Load, key: str, value: Any, says: str
) -> None:
    put(profile, key, value)
    with pytest.raises(ValaroError) as caught:
        load(profile)
    assert says in str(caught.value)


def test_unknown_and_missing_keys_are_named(profile: dict[str, Any], load: Load) -> None:
    put(profile, "decode.fps", 5)
    put(profile, "smooooth", {})
    del profile["kelm"]["folds"], profile["evaluate"]
    with pytest.raises(ValaroError) as caught:
        load(profile)
    for part in (
        "decode.fps: no such parameter",
        "smooooth: no such parameter",
        "kelm.folds: is missing",
        "evaluate: is missing",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "Run this from the repository"),
        ("index: [", "not valid YAML"),
        ("index: 2001-99-99", "not valid YAML"),
        ("index: !!int ''", "not valid YAML"),
        ("[" * 500, "not valid YAML"),
        ("", "section of keys and values"),
        ("just words", "section of keys and values"),
        ("- index", "section of keys and values"),
    ],
)
def test_a_file_that_is_no_parameter_file(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValaroError, match=says) as caught:
        load_params(path)
    assert str(path) in str(caught.value)


def test_aliases_of_aliases_are_refused_without_spelling_them_out(tmp_path: Path) -> None:
    """Ten to the power of twenty words, in less than a kilobyte."""
    lists = [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 20)]
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(["a0: &a0 [word]", *lists, "index: *a19"]))
    with pytest.raises(ValaroError, match=r"index: must be a section of keys and values") as caught:
        load_params(path)
    assert len(str(caught.value)) < 10_000


def test_a_file_that_dvc_has_rewritten_means_the_same(
    profile: dict[str, Any], repository: Path, tmp_path: Path
) -> None:
    """`dvc exp run -S` keeps the meaning by YAML 1.2, where `no` is a word and 1e-05 a number."""
    text = (repository / "profiles" / "sample.yaml").read_text(encoding="utf-8")
    rewritten = text.replace('mixed_precision: "no"', "mixed_precision: no").replace("0.00001", "1e-05")
    assert rewritten.count(": no\n") == rewritten.count("mixed_precision") > 0
    path = tmp_path / "params.yaml"
    path.write_text(rewritten, encoding="utf-8")
    assert load_params(path).model_dump(mode="json", exclude_unset=True) == profile


def test_a_key_that_is_there_twice_is_refused(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (repository / "profiles" / "sample.yaml").read_text(encoding="utf-8")
    path.write_text(text + "smooth:\n  window_s: 1.0\n", encoding="utf-8")
    with pytest.raises(ValaroError, match='duplicate key "smooth"'):
        load_params(path)


def test_a_window_of_one_step_is_refused(profile: dict[str, Any], load: Load) -> None:
    put(profile, "dynamic.window_s", 0.3)  # at 5 Hz
    with pytest.raises(ValaroError, match=r"1\.5 steps; at least 2 are needed"):
        load(profile)
    put(profile, "decode.fps_hz", 10)
    assert load(profile).dynamic.window_s == 0.3


def test_parameters_cannot_be_changed_after_reading(profile: dict[str, Any], load: Load) -> None:
    params = load(profile)
    with pytest.raises(ValueError, match="frozen"):
        params.decode.fps_hz = 25  # type: ignore[misc]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"index: \x80")
    with pytest.raises(ValaroError, match=r"params\.yaml: byte 7 is not UTF-8"):
        load_params(path)
