"""A real browser, and the pages that it looks at.

Every page passes the same examination (`test_every_page.py`): to add one, write a fixture that gives its path
and name the fixture in PAGES.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages import report as stage
from stages.core.arrays import Floats
from stages.core.artefacts import read_json
from stages.core.corpus import Workspace
from stages.media.jpeg import pack_jpegs
from stages.reporting.cards import CARDS
from stages.reporting.overview import write_overview
from stages.reporting.timeline import Band, Boxes, Crop, Curve, TimelinePage, write_timeline

from .run import write_run
from .webdriver import Browser, browser, missing_programs

PAGES = ("timeline", "without_video", "report", "subject_page")
DURATION_S, FPS_HZ = 6.0, 10
HOSTILE = "\"><script>alert(1)</script> & </title> '☃"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each opens its pages anew."""
    missing = missing_programs()
    if missing:
        reason = f"no {' and no '.join(missing)}: `apt-get install chromium chromium-driver`"
        if os.environ.get("VALARO_EXPECT_BROWSER") == "1":
            pytest.fail(f"VALARO_EXPECT_BROWSER=1, but there is {reason}")
        pytest.skip(reason)
    with browser() as session:
        yield session


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> Path:
    """Every page in turn."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it, its video in another folder, all names hostile."""
    folder = tmp_path_factory.mktemp("run")
    video = folder / "videos here" / "50 % #1 ☃'.webm"
    write_video(video)
    path = folder / "pages" / "timeline.html"
    write_timeline(path, full_page(video))
    return path


@pytest.fixture(scope="session")
def without_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a video that no browser plays."""
    folder = tmp_path_factory.mktemp("strange")
    video = folder / "strange.avi"
    video.write_bytes(b"RIFF" + bytes(400))
    write_timeline(folder / "page.html", full_page(video))
    return folder / "page.html"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Workspace:
    """A finished run, and the pages of its subjects."""
    root = tmp_path_factory.mktemp("finished")
    write_video(root / "clip.webm")
    workspace = write_run(root, repository, root / "clip.webm")
    folder, best = workspace.metrics("report"), read_json(workspace.metrics("evaluate.json"))["best"]
    corpus = workspace.corpus()
    for subject in corpus.of("validation"):
        unit = stage.unit_of(workspace, subject, corpus.videos[subject.video], folder, best)
        stage.draw_video(unit, None)
    card = folder / CARDS / "fusion" / "rf_grouped_dynamic_audio_kelm.md"
    card.parent.mkdir(parents=True)
    card.write_text("# A card", encoding="utf-8")
    write_overview(folder / "index.html", workspace, repository / "dvc.yaml", folder, None)
    return workspace


@pytest.fixture(scope="session")
def report(run: Workspace) -> Path:
    """The report of the run."""
    return run.metrics("report/index.html")


@pytest.fixture(scope="session")
def subject_page(run: Workspace) -> Path:
    """The page of a validation subject, as the report makes it."""
    return min(run.metrics("report/videos").iterdir())


def full_page(video: Path) -> TimelinePage:
    """Six seconds, three curves, every kind of band, crops, boxes, facts, a notice, a way home."""
    time_s = np.arange(int(DURATION_S * FPS_HZ)) / FPS_HZ
    truth = ramp(time_s)
    truth[20:30] = np.nan
    interval = np.stack([truth - 0.2, truth + 0.2], axis=2)
    curves = [
        Curve("truth", time_s, truth, "truth"),
        Curve(f"fused {HOSTILE}", time_s, ramp(time_s) * 0.8, "fused", interval),
        Curve("audio", time_s, ramp(time_s) * 0.5, "audio", shown=False),
    ]
    bands = [Band(name, np.array([[1.0, 2.5]])) for name in ("no face", "not speaking", HOSTILE)]
    grey = [np.full((64, 64, 3), 8 * k, np.uint8) for k in range(12)]
    crops = [Crop(0.5 * k, pack_jpegs([grey[k]], quality=70)[0].tobytes()) for k in range(12)]
    boxes = Boxes(time_s, np.tile([0.25, 0.25, 0.75, 0.75], (len(time_s), 1)))
    facts = {"length": "6 s", HOSTILE: HOSTILE}
    home = (video.parent / "index.html", f"Report {HOSTILE}")
    return TimelinePage(HOSTILE, video, DURATION_S, curves, bands, crops, boxes, facts, HOSTILE, home)


def ramp(time_s: Floats) -> Floats:
    """Valence up from -1 to 1 over the video, arousal down. (N,) -> (N, 2)."""
    valence = 2 * time_s / DURATION_S - 1
    return np.column_stack([valence, -valence])


def write_video(path: Path, *, picture_begins_s: float = 0.0) -> None:
    """Six seconds of VP8 or H.264 that Chromium plays, with sound from 0 where the picture begins later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    webm = path.suffix != ".mp4"
    fast = {"deadline": "realtime", "cpu-used": "8"} if webm else {"preset": "ultrafast"}
    with av.open(path, "w", format="webm" if webm else "mp4") as container:
        pictures = container.add_stream("libvpx" if webm else "libx264", rate=FPS_HZ, options=fast)
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        pictures.time_base = pictures.codec_context.time_base = Fraction(1, 1000)
        codec = "libopus" if webm else "aac"
        sound = container.add_stream(codec, rate=48000, layout="mono") if picture_begins_s else None
        if sound:
            for k in range(int(DURATION_S * 50)):
                chunk = av.AudioFrame.from_ndarray(
                    np.zeros((1, 960), np.float32), format="fltp", layout="mono"
                )
                chunk.sample_rate, chunk.pts, chunk.time_base = 48000, k * 960, Fraction(1, 48000)
                container.mux(sound.encode(chunk))
            container.mux(sound.encode(None))
        for k in range(int(DURATION_S * FPS_HZ)):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 4 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (picture_begins_s + k / FPS_HZ)), Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
