"""Every reader of files that others write, on mutated ones: a result that keeps its promise, or one plain error.

A few hundred inputs a reader by default; over 100 000 together in the slow run.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import KINDS, READERS, Edit, attempt, edited

DRIVER = Path(__file__).with_name("read_mutated.py")
MAX_GROWN_MIB = 50
EDITS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)
FEW = 150
ALONE = [name for name, reader in READERS.items() if reader.alone]


@pytest.mark.parametrize("much", ["few", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in READERS if name not in ALONE])
def test_a_mutated_file_is_read_or_refused(name: str, much: str, tmp_path: Path) -> None:
    reader = READERS[name]
    seed = reader.seed(tmp_path / f"seed{reader.suffix}")
    path = tmp_path / f"edited{reader.suffix}"
    wanted, tried = reader.many if much == "many" else min(FEW, reader.many // 20), 0

    @settings(
        max_examples=wanted,
        deadline=5_000,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def run(edits: list[Edit]) -> None:
        nonlocal tried
        tried += 1
        attempt(reader, path, edited(seed, edits))

    run()
    assert tried >= wanted


def test_hdf5_survives_mutated_artefacts() -> None:
    """In a process of its own: a crash must not take the other tests along."""
    kinds = [name for name in ALONE if READERS[name].suffix == ".h5"]
    outcomes = in_a_process(FEW, *kinds)
    assert [one["name"] for one in outcomes] == kinds
    refused = {one["name"] for one in outcomes if not one["read"]}
    assert refused == {"foreign_hdf5", "old_hdf5"}, "the others must get past the door"


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_process_that_reads_many_does_not_grow(name: str) -> None:
    (outcome,) = in_a_process(READERS[name].many if name in ALONE else READERS[name].many // 4, name)
    assert outcome["grown_mib"] < MAX_GROWN_MIB, outcome


def in_a_process(count: int, *names: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(DRIVER), "0", str(count), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=840)
    assert done.returncode == 0, f"after {done.stdout.splitlines()[-1:]}: {done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_what_is_sealed_again_is_as_it_was(tmp_path: Path) -> None:
    """Else no edit gets past the checksums, and the readers behind them are never tried."""
    sealing = {name: reader for name, reader in READERS.items() if reader.sealed is not bytes}
    assert len(sealing) == 4
    for name, reader in sealing.items():
        seed = reader.seed(tmp_path / f"{name}{reader.suffix}")
        assert reader.sealed(seed) == seed, name


def test_together_they_are_over_a_hundred_thousand() -> None:
    assert sum(reader.many for reader in READERS.values()) >= 100_000


def test_csv_has_its_default_limit() -> None:
    """A field of a gigabyte is refused by the reader itself."""
    assert csv.field_size_limit() == 131_072
