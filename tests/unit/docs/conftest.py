"""The pages of docs/, and the blocks in them that are marked for running."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

MARKED = re.compile(r"^<!-- tested: (\w+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Blocks = dict[str, str]


@pytest.fixture(scope="session")
def blocks(repository: Path) -> Callable[[str, str], Blocks]:
    """The marked blocks of one example on a page, by language."""

    def find(page: str, example: str) -> Blocks:
        text = (repository / "docs" / page).read_text(encoding="utf-8")
        return {language: code for name, language, code in MARKED.findall(text) if name == example}

    return find


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A copy of the code to edit, with the tests of the DAG."""
    copy = tmp_path / "checkout"
    for folder in ("stages", "profiles"):
        shutil.copytree(repository / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    tests = copy / "tests" / "unit" / "core"
    tests.mkdir(parents=True)
    shutil.copy(repository / "tests" / "unit" / "core" / "test_dag.py", tests)
    for file in ("dvc.yaml", ".dvcignore", "pyproject.toml"):
        shutil.copy(repository / file, copy)
    shutil.copy(repository / "profiles" / "sample.yaml", copy / "params.yaml")
    starter = Path("valaro", "starter", "params.yaml")
    (copy / starter).parent.mkdir(parents=True)
    shutil.copy(repository / starter, copy / starter)
    return copy
