"""A file of no weights says why, to whoever asks, and is no model to whoever doesn't."""

import copy
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_config, read_header, write_tensors
from stages.core.errors import BadInput
from stages.core.notes import Note
from stages.core.untrained import Untrained, read_untrained, write_untrained

LACK = Untrained("nobody speaks", "See data/speech")


def test_the_reason_lies_in_place_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "audio" / "v3.safetensors"
    assert read_untrained(path) is None, "no file: not tried yet"
    write_untrained(path, LACK)
    found = read_untrained(path)
    assert found is not None
    assert str(found) == "nobody speaks. See data/speech."
    assert found.note("audio", path) == Note("audio", str(path), "no model: nobody speaks", "See data/speech")
    assert read_header(path).shapes == {}
    with pytest.raises(BadInput, match="no model configuration"):
        read_config(path)


def test_weights_are_a_model(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"weights": np.ones(3)})
    assert read_untrained(tmp_path / "a.safetensors") is None
    write_tensors(tmp_path / "a.safetensors", {"weights": np.ones(3)}, systems=["dynamic"])
    assert read_untrained(tmp_path / "a.safetensors") is None


def test_damage_is_no_reason(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x00")
    with pytest.raises(BadInput, match="not a readable safetensors file"):
        read_untrained(tmp_path / "a.safetensors")


def test_it_passes_between_processes() -> None:
    found = copy.copy(LACK)  # as pickle does it
    assert (found.reason, found.remedy) == (LACK.reason, LACK.remedy)
