"""State dicts out of others' checkpoints, whatever is around them; nothing in them runs."""

import argparse
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.errors import BadInput
from valaro.recordings.state_dicts import state_dict_of

STATE = OrderedDict({"a.weight": torch.ones(2), "b.bias": torch.zeros(1)})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model_state_dict": state, "epoch": 3},
        lambda state: {"state_dict": state, "best_ccc": np.float64(0.5)},
        lambda state: {"model": state, "history": np.arange(3), "optimizer": {"state": {}, "groups": [1]}},
        lambda state: {"net": state, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"epoch": np.int64(3), "model": {"state_dict": state}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_loops_save(tmp_path: Path, wrap: Callable[[Any], Any], zipped: bool) -> None:
    torch.save(wrap(STATE), tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    found = state_dict_of(tmp_path / "c.pth")
    assert found.keys() == STATE.keys()
    assert torch.equal(found["a.weight"], STATE["a.weight"])


@pytest.mark.parametrize(
    "name",
    ["module.a.w", "module.module.a.w", "_orig_mod.a.w", "module._orig_mod.module.a.w", "a._orig_mod.w"],
)
def test_names_lose_what_wrappers_put_before_them(tmp_path: Path, name: str) -> None:
    torch.save({name: torch.ones(1)}, tmp_path / "c.pth")
    assert state_dict_of(tmp_path / "c.pth").keys() == {"a.w"}


def test_a_module_within_a_model_keeps_its_name(tmp_path: Path) -> None:
    torch.save({"head.module.w": torch.ones(1)}, tmp_path / "c.pth")
    assert state_dict_of(tmp_path / "c.pth").keys() == {"head.module.w"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 1, "optimizer": {"state": {}}}, r"but the keys epoch, optimizer\."),
        ({f"k{k}": k for k in range(20)}, r"but the keys k0, .* k7 and 12 more\."),
        (nn.Linear(2, 2), r"but an object of a class\."),
        ([1, 2], r"but a list\."),
        ({}, r"but nothing\."),
        ({"w": torch.ones(1), "module.w": torch.ones(1)}, "differ only in a prefix"),
    ],
)
def test_anything_else_is_one_plain_line(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(BadInput, match=says) as caught:
        state_dict_of(tmp_path / "c.pth")
    told = str(caught.value)
    assert len(told) < 400
    assert "weights_only" not in told
    assert "torch.save(model.state_dict(), FILE)" in told


class Harmful:
    """Its pickle runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "it ran"
    content = {"state_dict": STATE, "loss": Harmful(f"touch '{trap}'")}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match=r"not a loadable checkpoint \(it would run \w+\.system\)"):
        state_dict_of(tmp_path / "c.pth")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "says"), [(b"x" * 500, "damaged, or of another kind"), (b"", "not a loadable checkpoint")]
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(BadInput, match=says):
        state_dict_of(tmp_path / "c.pth")


@pytest.mark.parametrize("file", ["checkpoint_numpy_scalar.pth", "checkpoint_model_key.pth"])
def test_checkpoints_of_others_are_read(shared: Path, file: str) -> None:
    if not (path := shared / "cases" / file).is_file():
        pytest.skip(f"{path} isn't here")
    assert state_dict_of(path).keys() == {"start_batch_norm.weight"}


def test_an_archive_that_unpacks_to_more_than_its_file_is_refused(tmp_path):
    """A megabyte of it could stand for a gigabyte of memory."""
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "plain.pth")
    assert state_dict_of(tmp_path / "plain.pth")["w"].shape == (100_000,)
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "c.pth", "w") as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "c.pth").stat().st_size < 10_000
    with pytest.raises(BadInput, match=r"c\.pth: not a loadable checkpoint \(an archive that unpacks to 40"):
        state_dict_of(tmp_path / "c.pth")
