"""`valaro reproduce`: imported weights on validation, beside the paper's figures, without any training."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import read_json

TIMES_S = tuple(k / 25 for k in range(80))


@pytest.mark.slow
def test_the_authors_weights_are_scored_on_validation(
    shared: Path, code: Any, duplicate: Callable[..., Any], film: Callable[..., Path], tmp_path: Path
) -> None:
    for needed in ("golden/dynamic_v3.safetensors", "weights/mobilenet0.25_Final.pth"):
        if not (shared / needed).is_file():
            pytest.skip(f"{shared / needed} isn't here")
    repository = duplicate(code, tmp_path)
    repository.environment = repository.environment | {"VALARO_WEIGHTS": str(shared / "weights")}
    for name, hue in (("v1", 10), ("v2", 90)):
        repository.lay(film(f"{name}.mp4", hue=hue, times_s=TIMES_S), "Validation", rows=len(TIMES_S))
    repository.lay(film("t1.mp4", hue=50, times_s=TIMES_S), "Train", rows=len(TIMES_S))
    repository.set({"index": {"test_list": None}})
    for kind, file in (("static", "static_efficientnet_b1"), ("dynamic", "dynamic_v3")):
        weights = shared / f"golden/{file}.safetensors"
        repository.run(
            "python", "-m", "valaro.cli", "import-checkpoint", kind, str(weights), "--out", "authors"
        )

    output = repository.run("python", "-m", "valaro.cli", "reproduce", "--models", "authors")
    for target, paper in (("valence", "0.523"), ("arousal", "0.626"), ("mean", "0.574")):
        assert re.search(rf"{target} +-?0\.\d+ +\[-?\d.*\] +{paper} +[-+]0\.\d+", output), output
    corpus = read_json(repository / ".valaro/reproduce/data/index/corpus.json")
    assert [each["name"] for each in corpus["subjects"]] == ["v1", "v2"], "train is left alone"
    again = repository.run("python", "-m", "valaro.cli", "reproduce", "--models", "authors")
    assert "decode: 0 computed" in again or "decode: all 2 remembered" in again, again
