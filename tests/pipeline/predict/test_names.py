"""File names may be anything."""

import os
import shutil
from pathlib import Path

from stages.recordings.outputs import KNOWN_FORMATS

from .conftest import Run, summary

NAMES = [
    "a.b.mp4",
    "...mp4",  # its stem would be the folder above
    "with  space.mp4",
    "quo'te\".mp4",
    "Zoë 微笑 🙂.mp4",
    "100%d.mp4",
    "$(exit).mp4",
    "no_suffix",
    "-v.mp4",
]


def test_any_file_name_works(run: Run, portrait: Path, tmp_path: Path) -> None:
    for name in NAMES:
        shutil.copy(portrait, tmp_path / name)
    result = run("--no-overlay", *(tmp_path / name for name in NAMES))
    assert result.exit_code == 0, result.stderr
    stems = {Path(name).stem for name in NAMES} - {".."} | {"...mp4"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == stems
    assert all(summary(tmp_path / "out" / stem)["frames"] == 40 for stem in stems)


def test_a_name_that_is_no_text_works_in_every_format(run: Run, portrait: Path, tmp_path: Path) -> None:
    clip = shutil.copy(portrait, tmp_path / os.fsdecode(b"caf\xe9 <b>.mp4"))
    result = run(clip, "--format", ",".join((*KNOWN_FORMATS, "abaw")))
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / Path(clip).stem
    assert {path.suffix[1:] for path in folder.iterdir()} == {*KNOWN_FORMATS}
    assert summary(folder)["file"].endswith("caf\\udce9 <b>.mp4")
