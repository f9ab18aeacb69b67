"""Every corpus in its published layout: the rows it gives, and what of it is noted and left out."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.corpora import emotic
from stages.corpora.adapters import ADAPTERS, present
from stages.corpora.table import (
    EMOTIONS,
    NO_EMOTION,
    NOTES_PER_CORPUS,
    Problems,
    Sample,
    emotion,
    existing,
    scaled,
)
from stages.gather import read_corpus

FRAMES_HZ = 5.0


def assert_row(sample: Sample, expected: dict[str, Any]) -> None:
    for field, value in expected.items():
        found = getattr(sample, field)
        if field == "emotion":
            value = NO_EMOTION if value is None else EMOTIONS.index(value)
        assert found == (pytest.approx(value) if isinstance(value, float | tuple) else value), (field, sample)


def test_the_rows_of_a_tree_and_its_faults(tree: tuple[str, Path, Any]) -> None:
    corpus, folder, expected = tree
    samples, notes = read_corpus(corpus, folder, FRAMES_HZ)
    assert len(samples) == expected.count, samples
    for sample, row in zip(samples, expected.rows, strict=True):
        assert_row(sample, row)
        assert (folder / sample.source).is_file()
    assert len(notes) == len(expected.problems), notes
    for place, problem in expected.problems:
        assert any(note.file.endswith(place) and problem in note.problem for note in notes), (place, notes)
    assert all(note.quarantined and note.subject == corpus for note in notes)


def test_every_corpus_of_table_1_has_an_adapter_and_a_line_in_the_readme(repository: Path) -> None:
    assert list(ADAPTERS) == ["recola", "sewa", "semaine", "afew_va", "affectnet", "savee", "emotic", "expw",
                              "ferplus", "rafdb"]  # fmt: skip
    readme = (repository / "data" / "pretraining" / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}/` |" in readme for name in ADAPTERS)


@pytest.mark.parametrize("corpus", ADAPTERS)
@pytest.mark.parametrize("content", ["nothing", "something else"])
def test_a_folder_without_the_corpus_is_noted(tmp_path: Path, corpus: str, content: str) -> None:
    if content != "nothing":
        (tmp_path / "readme.txt").write_text("download me")
        (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00nonsense\n")
        (tmp_path / "a.mat").write_bytes(b"nonsense")
    samples, notes = read_corpus(corpus, tmp_path, FRAMES_HZ)
    assert samples == []
    assert "no labelled image" in notes[-1].problem
    assert "README" in notes[-1].remedy


def test_only_what_is_there_is_read(tmp_path: Path) -> None:
    (tmp_path / "rafdb").mkdir()
    (tmp_path / "savee").mkdir()
    (tmp_path / "README.md").write_text("")
    (tmp_path / "ferplus").write_text("a file, no corpus")
    assert present(tmp_path) == {"savee": tmp_path / "savee", "rafdb": tmp_path / "rafdb"}
    assert present(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    "layout", ["rafdb", "expw", "recola", "affectnet", "emotic, tables", "ferplus, pixels"]
)
def test_what_may_not_be_read_breaks_nothing(
    tmp_path: Path, lay: Callable[[str, Path], Any], monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    lay(layout, tmp_path)

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    samples, notes = read_corpus(layout.partition(",")[0], tmp_path, FRAMES_HZ)
    assert [sample for sample in samples if sample.source.endswith((".csv", ".mp4"))] == []
    assert any("Permission denied" in note.problem for note in notes)


@pytest.mark.parametrize("time_s", ["inf", "nan", "1e12", "-1e12"])
def test_a_time_beyond_a_day_is_noted_and_makes_no_grid(
    tmp_path: Path, lay: Callable[[str, Path], Any], time_s: str
) -> None:
    lay("semaine", tmp_path)
    before, _ = read_corpus("semaine", tmp_path, FRAMES_HZ)
    for trace in tmp_path.rglob("*D[AV].txt"):
        trace.write_text(trace.read_text() + f"\n{time_s} 0.5\n")
    samples, notes = read_corpus("semaine", tmp_path, FRAMES_HZ)
    assert samples == before
    assert any(f"{time_s} 0.5" in note.problem for note in notes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"frames": {"00000": {"valence": 1' + "0" * 400 + ', "arousal": 0}}}', "too large"),
        ("[" * 100_000, "not a clip's annotation"),
    ],
)
def test_a_clip_of_absurd_json_is_noted_and_the_others_go_on(
    tmp_path: Path, lay: Callable[[str, Path], Any], text: str, problem: str
) -> None:
    lay("afew_va", tmp_path)
    before, _ = read_corpus("afew_va", tmp_path, FRAMES_HZ)
    (tmp_path / "000").mkdir()
    (tmp_path / "000" / "00000.png").write_text("")
    (tmp_path / "000" / "000.json").write_text(text)
    samples, notes = read_corpus("afew_va", tmp_path, FRAMES_HZ)
    assert samples == before
    assert any("000.json" in note.file and problem in note.problem for note in notes)


def test_a_file_whose_reader_ends_its_process_is_noted(
    tmp_path: Path, lay: Callable[[str, Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_annotations: Path) -> None:
        os._exit(1)

    lay("emotic, MATLAB", tmp_path)
    (table,) = tmp_path.rglob("*.mat")
    monkeypatch.setattr(emotic, "_people", ends)
    samples, notes = read_corpus("emotic", tmp_path, FRAMES_HZ)
    assert samples == []
    assert notes[0].file == str(table)
    assert "crashes the reader" in notes[0].problem


def test_thousands_of_faults_are_a_few_notes_and_their_number() -> None:
    problems = Problems("expw", Path("expw"))
    for number in range(NOTES_PER_CORPUS + 7):
        problems.add(f"label.lst:{number}", "no picture")
    assert len(problems.notes) == NOTES_PER_CORPUS + 1
    assert "7 more" in problems.notes[-1].problem


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(-10, -10, 10, -1), (10, -10, 10, 1), (5.5, 1, 10, 0), (1, 1, 10, -1), (0.3, -1, 1, 0.3), (1 + 1e-9, -1, 1, 1)],
)  # fmt: skip
def test_scales(value: float, low: float, high: float, expected: float) -> None:
    assert scaled(value, low, high) == pytest.approx(expected)


@pytest.mark.parametrize("value", [10.1, -10.1, float("nan"), float("inf")])
def test_what_lies_outside_its_scale_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="outside -10 to 10"):
        scaled(value, -10, 10)


@pytest.mark.parametrize(
    "name", ["", " ", "/etc/hostname", "../out.jpg", "a/../../out.jpg", "gone.jpg", "a" * 300, "a\0b"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out.jpg").write_text("")
    folder = tmp_path / "corpus"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"missing|isn't a (path|file)"):
        existing(folder, name)


def test_windows_separators_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.jpg").write_text("")
    assert existing(tmp_path, "a\\b.jpg") == "a/b.jpg"


def test_the_classes_are_those_of_the_models() -> None:
    from stages.vision.static_model import CLASSES

    assert EMOTIONS == CLASSES
    assert emotion("other") == 7
