"""`valaro info`: what is said of a file, against how the file was made."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner, Result

from valaro.cli import app


def run(*videos: Path) -> Result:
    return CliRunner().invoke(app, ["info", *map(str, videos)])


@pytest.fixture(autouse=True)
def _parameters(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample's parameters: 5 Hz, windows of 4 s."""
    text = (repository / "profiles/sample.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def film(path: Path, times_s: np.ndarray, *, sound: bool = False) -> Path:
    """Grey pictures at some times, of 64 × 48 pixels."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = tick = Fraction(1, 1000)
        track = out.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for time_s in times_s:
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = round(time_s * 1000), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None:
            frame = av.AudioFrame.from_ndarray(
                np.full((1, 16_000), 0.25, np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
    return path


def said_of(result: Result) -> dict[str, str]:
    """Name -> words of each line after the first."""
    return {line.split()[0]: line[12:] for line in result.stdout.splitlines()[1:] if line.strip()}


def test_a_plain_film(tmp_path: Path) -> None:
    result = run(film(tmp_path / "Zoë.mp4", np.arange(250) / 25, sound=True))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].endswith("Zoë.mp4")
    said = said_of(result)
    assert said["picture"] == "64 × 48; h264, yuv420p"
    assert said["rate"] == "25 frames/s, constant"
    assert said["length"] == "10.00 s, 250 frames"
    assert said["sound"].startswith("aac, 1 channel, 16000 Hz")
    assert said["pipeline"] == "keeps 50 frames, 5 a second; a value for all 250"
    assert said["windows"] == "dynamic 4 of 4 s every 2 s; kelm 5 of 2 s; audio 7 of 4 s every 1 s"


def test_a_variable_rate_and_no_sound(tmp_path: Path) -> None:
    result = run(film(tmp_path / "v.mp4", np.cumsum(np.tile([0.02, 0.06, 0.04], 12)) - 0.02))
    said = said_of(result)
    assert "variable: 20 to 60 ms" in said["rate"]
    assert said["sound"] == "none"
    assert "audio" not in said["windows"]
    assert "padded" in said["windows"]
    assert "abstain" in result.stdout


def test_a_sound_file(tmp_path: Path) -> None:
    """It has no pictures, and is read by the system audio."""
    path = tmp_path / "talk.w64"
    soundfile.write(path, np.full(80_000, 0.25), 16_000)
    result = run(path)
    assert result.exit_code == 0, result.output
    said = said_of(result)
    assert said["length"] == "5.00 s"
    assert said["sound"].startswith("pcm_s16le, 1 channel, 16000 Hz")
    assert said["pipeline"] == "125 rows, 25 a second, by the system audio alone"
    assert said["windows"] == "audio 2 of 4 s every 1 s"
    assert "picture" not in said


def test_a_picture(tmp_path: Path) -> None:
    """It was taken for a picture under another name."""
    path = tmp_path / "face.png"
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path)
    result = run(path)
    assert result.exit_code == 0, result.output
    assert said_of(result)["picture"] == "40 × 30"


def test_what_is_over_the_limits_is_described_all_the_same(tmp_path: Path) -> None:
    text = (tmp_path / "params.yaml").read_text().replace("max_pixels: 35389440", "max_pixels: 3000")
    (tmp_path / "params.yaml").write_text(text)
    said = said_of(run(film(tmp_path / "v.mp4", np.arange(5) / 25)))
    assert said["picture"].startswith("64 × 48")
    assert "refuses it: frames of 64 × 48 pixels" in said["pipeline"]
    assert "max_pixels" in said["pipeline"]


def test_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video " * 100)
    result = run(tmp_path / "text.mp4", tmp_path / "none.mp4", film(tmp_path / "v.mp4", np.arange(5) / 25))
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 2
    assert "keeps 1 frames" in result.stdout
    assert "Traceback" not in result.output


TURNED = ["12_videoretalking_vfr.mp4", "22_carphone_qcif_noaudio.mp4", "24_nasa_voiceover_multistream.mp4"]


@pytest.mark.parametrize("name", TURNED)
def test_real_files(name: str, shared: Path) -> None:
    result = run(shared / "media/clips" / name)
    assert result.exit_code == 0, result.output
    said = said_of(result)
    assert ("variable" in said["rate"]) == ("vfr" in name)
    assert (said["sound"] == "none") == ("noaudio" in name)
    assert ("streams" in said) == ("multistream" in name)
