"""File names may be anything."""

import csv
import html
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

from typer.testing import CliRunner

from valaro.cli import app
from valaro.recordings.formats import KNOWN_FORMATS

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
    assert {p.name for p in (tmp_path / "out").iterdir()} == stems | {"traces.csv"}
    assert all(summary(tmp_path / "out" / stem)["frames"] == 40 for stem in stems)


def test_a_name_that_is_no_text_works_in_every_format(run: Run, portrait: Path, tmp_path: Path) -> None:
    clip = shutil.copy(portrait, tmp_path / os.fsdecode(b"caf\xe9 <b>.mp4"))
    result = run(clip, "--format", ",".join((*KNOWN_FORMATS, "abaw")))
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / Path(clip).stem
    assert {path.suffix[1:] for path in folder.glob("[!.]*")} == {*KNOWN_FORMATS}
    assert summary(folder)["file"].endswith("caf\\udce9 <b>.mp4")


HOSTILE = ["<script>alert(1)<script>", '" onmouseover=alert(1) x="', "=HYPERLINK(1)"]


class Elements(HTMLParser):
    """The tags of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [key for key, _ in attrs]


def test_a_hostile_name_becomes_no_element_and_no_formula(run: Run, portrait: Path, tmp_path: Path) -> None:
    for name in HOSTILE:
        shutil.copy(portrait, tmp_path / f"{name}.mp4")
    result = run("--format", "html,abaw", *(tmp_path / f"{name}.mp4" for name in HOSTILE))
    assert result.exit_code == 0, result.stderr
    for name in HOSTILE:
        text = (tmp_path / "out" / name / f"{name}.html").read_text(encoding="utf-8")
        page = Elements(text)
        assert page.tags.count("script") == 2, "the data, and the page's own script"
        assert not [key for key in page.attributes if key.startswith("on")]
        assert f"<title>{html.escape(name)}" in text.replace("&#34;", "&quot;")
    with (tmp_path / "out/submission.csv").open(newline="", encoding="utf-8") as file:
        subjects = {row["image_location"].rpartition("/")[0] for row in csv.DictReader(file)}
    assert subjects == {*HOSTILE[:2], "'=HYPERLINK(1)"}


def test_recordings_of_equal_name_get_the_folder_that_tells_them_apart(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    """The usual order of a study, `sessions/*/cam.mp4`; whichever are given, none replaces another's results."""
    cams = [tmp_path / f"sessions/P0{k}/cam.mp4" for k in (1, 2)]
    for cam in cams:
        cam.parent.mkdir(parents=True)
        shutil.copy(portrait, cam)
    out = tmp_path / "sessions/traces"
    wanted = ("--out", out, "--format", "csv,parquet,png,eaf,html,abaw", "--force")
    for given in ([tmp_path / "sessions", "--recursive"], cams, cams[:1], cams[1:]):
        result = run(*given, *wanted)
        assert result.exit_code == 0, result.stderr
        assert {path.name for path in out.iterdir() if path.is_dir()} == {"P01_cam", "P02_cam"}
    for name, cam in zip(("P01_cam", "P02_cam"), cams, strict=True):
        assert summary(out / name)["file"] == str(cam)
        assert f'MEDIA_URL="file://{cam}"' in (out / name / f"{name}.eaf").read_text()
        assert f"../../{cam.parent.name}/cam.mp4" in (out / name / f"{name}.html").read_text()
    with (out / "traces.csv").open(newline="", encoding="utf-8") as file:
        rows = [row["recording"] for row in csv.DictReader(file)]
    assert {name: rows.count(name) for name in rows} == {"P01_cam": 40, "P02_cam": 40}
    exported = CliRunner().invoke(app, ["export", str(out), "--format", "eaf", "--out", str(tmp_path / "e")])
    assert exported.exit_code == 0, exported.output
    assert f'MEDIA_URL="file://{cams[1]}"' in (tmp_path / "e/P02_cam.eaf").read_text()
