"""Folders, pictures and sound files, and the one table over all recordings."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

from valaro.trace import Trace

from .conftest import Run, record, summary, table


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video, a picture and a sound file."""
    folder = tmp_path_factory.mktemp("mixed")
    record(folder / "video.mp4")
    Image.fromarray(astronaut()[:288, 80:368]).save(folder / "picture.png")
    record(folder / "sound.m4a", picture=False)
    return folder


def test_a_folder_of_all_kinds_gives_one_table(run: Run, clips: Path, tmp_path: Path) -> None:
    result = run(clips, "--format", "csv,parquet,png", "--html", "--overlay")
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "out"
    suffixes = {
        place.name: sorted(path.suffix for path in place.glob("[!.]*"))
        for place in out.iterdir()
        if place.is_dir()
    }
    assert suffixes == {
        "picture": [".csv", ".json", ".parquet"],
        "sound": [".csv", ".json", ".parquet", ".png"],
        "video": [".csv", ".html", ".json", ".mp4", ".parquet", ".png"],
    }
    rows = pd.read_csv(out / "traces.csv").fillna({"person": ""})
    assert list(rows) == ["recording", *Trace.column_names()]
    assert rows["recording"].value_counts().to_dict() == {"video": 40, "sound": 40, "picture": 1}
    typed = pd.read_parquet(out / "traces.parquet")
    pd.testing.assert_frame_equal(
        rows, typed.astype({"detected": int, "speaking": int}), check_dtype=False, atol=1e-6
    )
    for name, part in rows.groupby("recording"):
        np.testing.assert_array_equal(part[["valence", "arousal"]], table(out / str(name))[1][:, 2:4])
    seen = rows[rows["recording"] != "sound"]
    assert (seen["face_right_px"] > seen["face_left_px"]).all()
    assert rows.loc[rows["recording"] == "sound", "face_score"].isna().all()
    for name in ("traces.csv", "traces.parquet"):
        (out / name).rename(tmp_path / name)
    again = run(clips, "--format", "csv,parquet,png", "--html", "--overlay")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "3 of 3 were finished before: kept" in again.stderr
    assert (out / "traces.csv").read_bytes() == (tmp_path / "traces.csv").read_bytes()
    assert pd.read_parquet(out / "traces.parquet").equals(typed)


def test_a_picture_is_a_row(run: Run, clips: Path, tmp_path: Path) -> None:
    result = run(clips / "picture.png")
    assert result.exit_code == 0, result.stderr
    assert "picture; valence" in result.stdout
    facts = summary(tmp_path / "out/picture")
    assert (facts["kind"], facts["frames"], facts["duration_s"], facts["detected_share"]) == (
        "picture",
        1,
        0,
        1,
    )
    assert facts["notes"] == []


def test_of_an_animated_picture_the_first_is_looked_at_and_a_note_says_so(run: Run, tmp_path: Path) -> None:
    face = Image.fromarray(astronaut()[:288, 80:368])
    face.save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=[Image.new("RGB", (288, 288), colour) for colour in ("red", "blue")],
    )
    assert run(tmp_path / "a.webp").exit_code == 0
    note = "it holds 3 pictures, of which the first was looked at: make a video of them for all"
    assert summary(tmp_path / "out/a")["notes"] == [note]


def test_a_turned_picture_is_looked_at_upright(run: Run, tmp_path: Path) -> None:
    upright = Image.fromarray(astronaut()[:288, 80:368])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    upright.save(tmp_path / "a.png")
    upright.rotate(90).save(tmp_path / "b.png", exif=exif)
    assert run(tmp_path / "a.png", tmp_path / "b.png").exit_code == 0
    a, b = (table(tmp_path / "out" / name)[1] for name in "ab")
    np.testing.assert_array_equal(a, b)


MODES = ["L", "RGBA", "CMYK", "I;16", "P", "1"]


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode_are_read(mode: str, tmp_path: Path) -> None:
    from stages.media.still import read_still

    picture = Image.fromarray(astronaut())
    grey = np.asarray(picture.convert("L"))
    path = tmp_path / ("p.tif" if mode in ("CMYK", "I;16") else "p.png")
    wide = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    wide.save(path)
    image = read_still(path)
    assert image.shape == (512, 512, 3)
    assert image.dtype == np.uint8
    if mode in ("L", "I;16"):
        np.testing.assert_array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))


def test_a_sound_file_is_heard_by_the_audio_system(run: Run, clips: Path, tmp_path: Path) -> None:
    """A WAV file of a video's sound says what the video says by its sound."""
    from stages.media.sound import decode_sound, write_wav

    sound = decode_sound(clips / "video.mp4")
    assert sound is not None
    write_wav(tmp_path / "same.wav", sound.samples, sound.rate_hz)
    assert run(clips / "video.mp4", "--system", "audio", "--format", "csv").exit_code == 0
    result = run(tmp_path / "same.wav", "--format", "csv")
    assert result.exit_code == 0, result.stderr
    facts = summary(tmp_path / "out/same")
    assert (facts["kind"], facts["system"]) == ("sound", "audio")
    assert facts["duration_s"] == pytest.approx(1.6)
    assert any("by audio alone" in note for note in facts["notes"])
    heard, seen = table(tmp_path / "out/same")[1], table(tmp_path / "out/video")[1]
    np.testing.assert_allclose(heard[:, :4], seen[:, :4], atol=1e-6)


def test_a_sound_file_needs_a_system_that_listens(run: Run, clips: Path) -> None:
    result = run(clips / "sound.m4a", "--system", "dynamic")
    assert result.exit_code == 1
    assert "no pictures, and dynamic needs them" in result.stderr
    assert "the starter has none" in result.stderr


BAD_PICTURES = {
    "empty": (b"", "not a picture"),
    "text": (b"no picture at all", "not a picture"),
    "cut off": (None, "not a picture"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_bad_picture_is_one_line(case: str, clips: Path, run: Run, tmp_path: Path) -> None:
    content, said = BAD_PICTURES[case]
    whole = (clips / "picture.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(whole[:4000] if content is None else content)
    result = run(tmp_path / "bad.png")
    assert result.exit_code == 1
    assert [line.startswith(f"error: {tmp_path}/bad.png: ") for line in result.stderr.splitlines()[:1]] == [
        True
    ]
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_picture_over_the_limits_is_refused_unread(tmp_path: Path) -> None:
    from stages.core.errors import BadInput
    from stages.media.limits import Limits
    from stages.media.still import read_still

    Image.new("1", (3000, 2000)).save(tmp_path / "large.png")
    with pytest.raises(BadInput, match="3000 × 2000 pixels"):
        read_still(tmp_path / "large.png", Limits(max_pixels=1_000_000))


def test_a_later_run_adds_to_the_table_and_replaces_its_own(run: Run, clips: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "picture.png", tmp_path / "other.png")
    assert run(clips / "picture.png", "--format", "csv,parquet").exit_code == 0
    assert run(tmp_path / "other.png", "--format", "csv,parquet").exit_code == 0
    assert run(clips / "picture.png", "--format", "csv,parquet", "--force").exit_code == 0
    for rows in (pd.read_csv(tmp_path / "out/traces.csv"), pd.read_parquet(tmp_path / "out/traces.parquet")):
        assert rows["recording"].tolist() == ["other", "picture"]


def test_a_table_of_somebody_else_is_left_alone(run: Run, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/traces.csv").write_text("mine\n1\n")
    result = run(clips / "picture.png")
    assert result.exit_code == 1
    assert "traces.csv is no table" in result.stderr
    assert (tmp_path / "out/traces.csv").read_text() == "mine\n1\n"


def test_missing_files_and_wrong_names_are_said_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from valaro.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, sorted({'torch', 'cv2', 'mediapipe', 'av'} & set(sys.modules)))"
    )
    for arguments, status, said in (
        (["none.mp4"], 1, "no such file"),
        (["none.mp4", "--system", "dynamc"], 2, "Did you mean dynamic"),
        (["none.mp4", "--device", "tpu"], 2, "cuda:1"),
        ([str(tmp_path)], 2, "holds no video, picture or sound"),
    ):
        command = [sys.executable, "-c", code, "predict", "--out", str(tmp_path / "out"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == f"{status} []"
        assert said in " ".join(done.stderr.split())


def test_nothing_done_speaks_of_no_results(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert "0 of 2" not in result.stderr or "results" not in result.stderr
    assert not (tmp_path / "out").exists()
