"""The page of a recording: its curves and their interval, and what it plays."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

import valaro.recordings.page
from stages.core.errors import BadInput
from stages.exports.origins import SAMPLE_NOTICE
from stages.media.container import probe
from valaro.recordings.page import obstacle_of

from .conftest import MARGIN, Run, export_model, record


def test_the_page_shows_each_system_and_plays_the_video_from_where_it_lies(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    clip = shutil.copy(portrait, tmp_path / "a & b.mp4")
    assert run(clip, "--format", "html").exit_code == 0
    text = (tmp_path / "out/a & b/a & b.html").read_text()
    [source] = re.findall(r'<video[^>]* src="([^"]+)"', text)
    assert (tmp_path / "out/a & b" / unquote(source)).samefile(clip)
    [block] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    data = json.loads(block)
    assert [curve["name"] for curve in data["curves"]] == ["dwf_dynamic_audio", "audio", "dynamic"]
    assert [band["name"] for band in data["bands"]] == ["no face", "not speaking"]
    assert text.count("data:image/jpeg;base64,") == 8  # 1.6 s at 5 Hz
    assert SAMPLE_NOTICE in text


def curves_of(page: Path) -> list[dict[str, Any]]:
    """The curves in a page's data."""
    [block] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    found: list[dict[str, Any]] = json.loads(block)["curves"]
    return found


@pytest.mark.parametrize("exported", [False, True])
def test_the_page_draws_the_interval_that_validation_taught(
    exported: bool, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    models = trained / "models"
    if exported:
        models = tmp_path / "shared"
        assert export_model(trained, models).exit_code == 0
        told = json.loads((models / "config.json").read_text())["interval"]
        assert told == {"coverage": 0.9, "valence": [-0.25, 0.125], "arousal": [-0.5, 0.375], "videos": 6}
    result = run(portrait, "--format", "html", models=models)
    assert result.exit_code == 0, result.output
    page = tmp_path / "out/portrait/portrait.html"
    system, *parts = curves_of(page)
    for target, errors in zip(system["targets"], MARGIN[:2], strict=True):
        values = np.array(target["y"])
        for bound, error in zip(("low", "high"), errors, strict=True):
            assert target[bound] == pytest.approx(np.clip(values + error, -1, 1), abs=0.002)
    assert not [part for part in parts for target in part["targets"] if "low" in target]
    assert "contains the truth in 90% of the frames of 6 other videos" in page.read_text()


def test_without_margins_that_fit_a_page_has_no_interval(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    assert export_model(trained, before).exit_code == 0
    (before / "metrics/margins.json").unlink()  # as folders were before there were margins
    page = tmp_path / "out/portrait/portrait.html"
    assert run(portrait, "--format", "html", models=before).exit_code == 0
    assert "low" not in curves_of(page)[0]["targets"][0]
    other = ("--detector", "blazeface_full", "--force")  # the margins are those of other faces
    assert run(portrait, "--format", "html", *other).exit_code == 0
    assert "low" not in curves_of(page)[0]["targets"][0]
    assert "<li>faces found by blazeface_full; in training it was " in page.read_text(), "the summary's notes"


def test_a_film_stands_in_for_what_browsers_do_not_play(run: Run, portrait: Path, tmp_path: Path) -> None:
    clip = shutil.copy(portrait, tmp_path / "clip.avi")
    assert run(clip, "--format", "html,mp4").exit_code == 0
    page = (tmp_path / "out/clip/clip.html").read_text()
    assert 'src="clip.mp4"' in page
    assert '"boxes": null' in page or '"boxes":null' in page, "they are in the film's own picture"
    phone = record(tmp_path / "phone.mp4", codec="libx265")
    assert run(phone, "--format", "html,mp4").exit_code == 0
    assert 'src="phone.mp4"' in (tmp_path / "out/phone/phone.html").read_text()


def test_without_a_film_a_copy_for_browsers_stands_in(run: Run, tmp_path: Path) -> None:
    phone = record(tmp_path / "phone.mov", codec="libx265")
    assert run(phone, "--format", "html").exit_code == 0
    folder = tmp_path / "out/phone"
    assert 'src="phone.playable.mp4"' in (folder / "phone.html").read_text()
    copy = folder / "phone.playable.mp4"
    assert obstacle_of(copy) == ""
    assert np.allclose(probe(copy).time_s, probe(phone).time_s, atol=1e-4)
    assert run(phone, "--format", "html", "--force").exit_code == 0, "the copy is one of our files"


def test_without_film_and_copy_the_page_says_why_the_video_may_not_show(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(video: Path, *_: object) -> None:
        raise BadInput(video, "FFmpeg can't convert it", "Use --overlay")

    monkeypatch.setattr(valaro.recordings.page, "write_playable_copy", refuse)
    phone = record(tmp_path / "phone.mp4", codec="libx265")
    assert run(phone, "--format", "html").exit_code == 0
    text = " ".join((tmp_path / "out/phone/phone.html").read_text().split())
    assert 'src="../../phone.mp4"' in text
    assert "it holds HEVC (H.265) video, which not every browser shows. With --overlay," in text
