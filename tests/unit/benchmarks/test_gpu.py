"""The GPU check: it fails loudly without a GPU, tells what is missed or broken, and runs to its end in small."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def part(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import one of the check's modules."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    return importlib.import_module


def run(repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "benchmarks/gpu.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("options", "words"),
    [((), "sees no CUDA device: nothing was checked"), (("--device", "cpu"), "add --tiny")],
)
def test_without_a_gpu_it_fails_and_says_so(repository: Path, options: tuple[str, ...], words: str) -> None:
    done = run(repository, *options)
    assert done.returncode == 1
    assert words in done.stderr


def test_missed_targets_and_what_broke_are_lines_of_the_report(part: Any) -> None:
    module = part("gpu_report")
    report = module.Report("cpu", judged=True)

    def slow() -> Iterator[Any]:
        yield module.Finding("speed", "9 x", ">= 10 x", False)
        yield module.Finding("size", "3", "<= 4", True)
        raise RuntimeError("no more")

    report.run("First", slow)
    report.run("Second", lambda: iter([module.Finding("memory", "1 GB")]))
    text = "\n".join(report.lines())
    assert "**MISSED** First: speed: 9 x, target >= 10 x" in text
    assert "**BROKEN** First: RuntimeError at test_gpu.py" in text
    assert "| size | 3 | <= 4 | met |" in text
    assert "| memory | 1 GB |" in text
    assert not module.Report("cpu", judged=False, sections=report.sections, costs=report.costs).missed


def test_a_stored_answer_counts_only_for_the_same_weights_and_inputs(part: Any, tmp_path: Path) -> None:
    networks = part("gpu_networks")
    case = networks.Case("net", torch.nn.Linear(3, 2), (torch.ones(4, 3),), 0.1)
    answer = networks.sampled(networks.answer(case, "cpu"))
    stored = {"net/fingerprint": networks.fingerprint(case), "net/answer": answer + 1}
    assert networks.expected(case, stored)[1] == "file"
    other = networks.Case("net", torch.nn.Linear(3, 2), (torch.ones(4, 3),), 0.1)
    values, place = networks.expected(other, stored)
    assert place == "here"
    assert len(values) == 8


@pytest.mark.slow
def test_every_line_runs_in_small(repository: Path, tmp_path: Path) -> None:
    answers = str(tmp_path / "answers.npz")
    assert run(repository, "--make", "--tiny", "--answers", answers).returncode == 0
    done = run(repository, "--device", "cpu", "--tiny", "--answers", answers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(answers: file)" in done.stdout
    assert "(answers: here)" not in done.stdout
    assert "BROKEN" not in done.stdout


@pytest.mark.long
def test_it_imports_nothing_that_a_bare_environment_lacks(repository: Path) -> None:
    """Also what its parts import late; see benchmarks/gpu-requirements.txt."""
    program = (
        "import importlib, re, sys\n"
        "from pathlib import Path\n"
        "lacking = 'av cv2 dvc h5py imageio matplotlib mediapipe openvino pandas scipy skimage sklearn'.split()\n"
        "for name in lacking: sys.modules[name] = None\n"
        "text = ''.join(path.read_text() for path in Path('benchmarks').glob('gpu*.py'))\n"
        "names = sorted(set(re.findall(r'(?m)^ *from (stages[.\\w]+) import', text)))\n"
        "for name in names: importlib.import_module(name)\n"
        "assert len(names) > 15\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 0, done.stderr
