"""A corpus that isn't there is named before anything runs, with the remedy that `valaro doctor` gives."""

import re
from pathlib import Path

import pytest

from stages import inputs
from stages.core.corpus import WITHOUT_CORPUS
from stages.core.errors import ValaroError


@pytest.fixture
def workspace(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    text = (repository / "profiles/sample.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("data/sample/corpus", "data/elsewhere"))
    return tmp_path


def test_a_corpus_that_is_missing_is_named_with_a_remedy(workspace: Path) -> None:
    with pytest.raises(ValaroError, match=rf"data/elsewhere: no such folder\. {re.escape(WITHOUT_CORPUS)}"):
        inputs.inputs()
    (workspace / "data/elsewhere/videos").mkdir(parents=True)
    with pytest.raises(ValaroError, match=r"data/elsewhere/annotations: no such folder.*index\.annotations"):
        inputs.inputs()
    (workspace / "data/elsewhere/annotations").mkdir()
    inputs.inputs()
    assert (workspace / inputs.FILE).is_file()


def test_the_sample_may_still_have_to_be_drawn(workspace: Path, repository: Path) -> None:
    text = (repository / "profiles/sample.yaml").read_text(encoding="utf-8")
    (workspace / "params.yaml").write_text(text)
    inputs.inputs()
