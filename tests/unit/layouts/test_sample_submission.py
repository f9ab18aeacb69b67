"""The organisers' sample submission: what is accepted of it, and what is refused."""

from pathlib import Path

import pytest

from stages.core.errors import BadInput
from stages.layouts.texts import rows_expected


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a/00001.jpg", "a/00003.jpg"], r"line 3: 'a/00003.jpg' isn't frame 2"),
        (["a/1.jpg"], "isn't frame 1"),
        (["/00001.jpg"], "isn't frame 1"),
        (["00001.jpg"], "isn't frame 1"),
        ([""], "isn't frame 1"),
    ],
)
def test_a_sample_file_of_another_form_is_refused(tmp_path: Path, lines: list[str], says: str) -> None:
    rows = "".join(f"{line},-5,-5\n" for line in lines)
    (tmp_path / "sample.csv").write_text(f"image_location,valence,arousal\n{rows}")
    with pytest.raises(BadInput, match=says):
        rows_expected(tmp_path / "sample.csv")


def test_a_sample_file_may_lack_its_header_or_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("\ufeffa/00001.jpg,-5,-5\r\na/00002.jpg,-5,-5\r\n", encoding="utf-8")
    assert rows_expected(tmp_path / "sample.csv") == {"a": 2}
    with pytest.raises(BadInput, match=r"no such file\. Set submission\.sample_file, or make it null"):
        rows_expected(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("content", [b"a/00001.jpg,\x80", b'"' + b"x" * 200_000])
def test_a_sample_file_that_is_no_csv_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sample.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"sample\.txt: not a CSV in UTF-8"):
        rows_expected(path)
