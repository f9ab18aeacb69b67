"""Every benchmark runs to its end, in small, and leaves a dated report; what it measured is nobody's promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "decode": ("--seconds", "2", "--rounds", "1"),
    "detection": ("--frames", "4", "--rounds", "1", "--weights", "{shared}/weights"),
    "dwf": ("--frames", "2000", "--draws", "2000", "--rounds", "1"),
    "embedding": ("--architecture", "resnet10t", "--size", "64", "--images", "6", "--rounds", "1"),
    "frames": ("--seconds", "2", "--rounds", "1"),
    "growth": ("--few", "2", "--many", "3", "--seconds", "2"),
    "kelm": ("--windows", "200", "--rounds", "1"),
    "loading": ("--crops", "2", "--rounds", "1"),
    "memory": ("--minutes", "0.4"),
    "mesh": ("--crops", "4", "--rounds", "1"),
    "recipe": ("--seeds", "1", "--epochs", "1"),
    "throughput": ("--videos", "2", "--seconds", "3", "--layers", "1", "--detector", "blazeface_short"),
    "windows": ("--layers", "1", "--seconds", "5", "--rounds", "1"),
}
NEED_A_REPOSITORY_OR_A_PEER = {"cold", "intervals", "peers", "predict", "starter", "repro", "separation"}
NEED_A_GPU = {"gpu"}  # test_gpu.py
PARTS_OF_OTHERS = {
    "peer_models",
    "measure",
    "corpus",
    "original_spleeter",
    "gpu_networks",
    "gpu_report",
    "gpu_speed",
    "gpu_training",
}


def test_every_benchmark_is_tried(repository: Path) -> None:
    there = {path.stem for path in (repository / "benchmarks").glob("*.py")}
    assert there == BENCHMARKS.keys() | NEED_A_REPOSITORY_OR_A_PEER | NEED_A_GPU | PARTS_OF_OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_in_small(
    name: str, repository: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    options = list(BENCHMARKS[name])
    if "{shared}" in " ".join(options):
        options = [option.format(shared=request.getfixturevalue("shared")) for option in options]
    done = subprocess.run(
        [sys.executable, repository / "benchmarks" / f"{name}.py", *options, "--results", tmp_path],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob(f"{name}-20??-??-??.md")
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "no GPU: nothing here was measured on one" in text
    assert re.search(r"\*\*[\d,.]+ ?[x%]", text), "the ratio stands out"
