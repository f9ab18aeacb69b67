"""A corpus on disk for the benchmarks of the pipeline: links to one generated clip.

A video of the public-domain portrait of scikit-image that opens its mouth, hums and wanders over a textured
wall, in Aff-Wild2's layout; and a repository of its own with this checkout's code, so that the stages run as
users run them.
"""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml
from ruamel.yaml import YAML
from skimage import data

from stages.engine.runlog import Run, history

CHECKOUT = Path(__file__).resolve().parents[1]
RATE_HZ, SOUND_HZ = 30, 44_100
LABELS = "annotations/VA_Estimation_Challenge/Train_Set"
NOT_COPIED = ("tests/", "benchmarks/", "data/", "models/", "metrics/", "dvc.lock")


def film(path: Path, seconds: float, width: int = 640, height: int = 480) -> None:
    """Write the clip: H.264 at 30 Hz, AAC stereo."""
    rng, portrait = np.random.default_rng(3), data.astronaut()[0:256, 96:352]
    wall = cv2.resize(
        rng.integers(60, 180, (12, 16, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    side = min(width, height) // 2
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "veryfast", "crf": "22"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = out.add_stream("aac", rate=SOUND_HZ, layout="stereo")
        for k in range(round(seconds * RATE_HZ)):
            face = portrait.copy()
            drop = round(12 * max(0.0, np.sin(k / 2)))
            face[147 + drop : 176 + drop, 8:54] = portrait[147:176, 8:54]
            image = wall.copy()
            x = round((width - side) / 2 * (1 + np.sin(k / 60)))
            image[height // 4 : height // 4 + side, x : x + side] = cv2.resize(face, (side, side))
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(picture.encode(None))
        time_s = np.arange(round(seconds * SOUND_HZ)) / SOUND_HZ
        hum = sum(np.sin(2 * np.pi * 120 * n * time_s) / n for n in range(1, 8)) * 0.1
        wave = np.stack([hum, hum]).astype(np.float32)
        for start in range(0, wave.shape[1], 1024):
            block = np.ascontiguousarray(wave[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base, frame.pts = SOUND_HZ, Fraction(1, SOUND_HZ), start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


class Project:
    """A git and DVC repository with the checkout's code and a corpus of links.

    Args:
        folder: an empty or absent folder.
        changes: of the sample profile's parameters, by section.
        checkout: whose code: this one's, or an earlier commit's.
    """

    def __init__(self, folder: Path, changes: dict[str, dict[str, Any]], checkout: Path = CHECKOUT) -> None:
        self.folder = folder
        listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listing, cwd=checkout, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (checkout / name).is_file() and not name.startswith(NOT_COPIED):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / name, folder / name)
        params = YAML(typ="safe", pure=True).load((checkout / "profiles" / "sample.yaml").read_text())
        params["index"]["corpus"] = "corpus"
        params["index"]["test_list"] = params["submission"]["sample_file"] = None
        for section, values in changes.items():
            params[section] |= values
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        self.run("git", "init", "--quiet")

    def lay(self, clip: Path, numbers: range) -> None:
        """Link the clip under more names, with labels."""
        for part in ("videos", LABELS):
            (self.folder / "corpus" / part).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            os.link(clip, self.folder / "corpus" / "videos" / f"v{number:04d}.mp4")
            labels = "valence,arousal\n" + "0.1,0.2\n" * 30
            (self.folder / "corpus" / LABELS / f"v{number:04d}.txt").write_text(labels)

    def run(self, *command: str) -> str:
        """Run a command there, with this Python and this code first."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "DVC_NO_ANALYTICS": "1",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
        return done.stdout

    def last_runs(self) -> list[Run]:
        """What the stages took when they last computed something."""
        return [runs[-1] for runs in history(self.folder / ".valaro").values()]
