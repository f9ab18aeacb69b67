"""A repository of its own for every test: the checkout's code, a tiny corpus, the smallest models.

The whole pipeline runs once in a session; tests work on copies of the finished repository, through the real
commands. The films show the public-domain portrait of scikit-image: it opens its mouth and hums.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest
import yaml
from ruamel.yaml import YAML

from stages.core.artefacts import PARTIAL, files_of

RATE_HZ = 25
CLIP_S = 3.2
SOUND_HZ = 44_100
ANNOTATIONS = "annotations/VA_Estimation_Challenge"
MOUTH_HZ, OPEN_PX = 1.0, 8
"""How often the mouth opens, and how wide: seen at 5 frames a second it moves, as in speech."""
PATIENCE_S = 900
NOT_COPIED = ("tests/", "benchmarks/", "data/", "models/", "metrics/", "dvc.lock")

SMALLEST: dict[str, Any] = {
    "index": {"corpus": "corpus"},
    "voice": {"backend": "classical"},  # Spleeter's weights would be converted anew in every repository
    "speech": {"min_run_s": 0.4, "window_s": 1.0, "hop_s": 0.6, "max_closure_s": 0.2, "open_window_s": 0.6},
    "finetune": {
        "compare": ["test_resnet"],
        "backbones": {"test_resnet": {"image_size": 32}},
        "optimisation": {"epochs": 1},
    },
    "dynamic": {"window_s": 1, "layers": 1, "d_model": 8, "heads": 2, "optimisation": {"epochs": 2}},
    "kelm": {"compare": ["mean_min_max"], "window_s": 1.0, "c": [1], "gamma_scale": [1], "folds": 2},
    "audio": {"compare": ["v3"], "versions": {"v3": {"heads": [2, 2]}}, "optimisation": {"epochs": 1}},
    "cross_attention": {"window_s": 1.0, "d_model": 8, "heads": 2, "optimisation": {"epochs": 2}},
    "fuse": {"draws": 200, "trees": [4], "min_leaf": [5], "max_samples": [1]},
    "intervals": {"trees": 4},
    "evaluate": {"resamples": 100},
    "submission": {"sample_file": None},  # nobody's corpus here has the organisers' form
    "compute": {"jobs": 1},  # starting a worker costs more than these films
}

SMALLEST_WAV2VEC = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": [8, 8],
    "conv_kernel": [400, 3],
    "conv_stride": [160, 2],
    "num_feat_extract_layers": 2,
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}

Film = Callable[..., Path]
Digests = dict[str, str]


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the second over the first."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = merge(base[key], value) if isinstance(value, dict) else value
    return merged


class Repository:
    """A git and DVC repository, and the commands that people type in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def start(self, *command: str, **keywords: Any) -> subprocess.Popen[str]:
        """Start a command in a session (and process group) of its own."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | keywords
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, start_new_session=True, **options
        )

    def run(self, *command: str, fails: bool = False, patience_s: float = PATIENCE_S) -> str:
        """Run a command to its end; what it printed."""
        with self.start(*command) as process:
            try:
                output, _ = process.communicate(timeout=patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert (process.returncode != 0) == fails, f"{' '.join(command)}: {process.returncode}\n{output}"
        return output

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """Run dvc."""
        return self.run("dvc", *arguments, fails=fails)

    def git(self, *arguments: str) -> str:
        """Run git."""
        return self.run("git", *arguments)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)

    def stage(self, name: str, *arguments: str, fails: bool = False) -> str:
        """Run one stage without DVC."""
        return self.run("python", "-m", f"stages.{name}", *arguments, fails=fails)

    def params(self) -> dict[str, Any]:
        """The active parameters."""
        text = (self / "params.yaml").read_text(encoding="utf-8")
        content: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
        return content

    def set(self, changes: dict[str, Any]) -> None:
        """Change some of them."""
        self.write_params(merge(self.params(), changes))

    def write_params(self, params: dict[str, Any]) -> None:
        """Replace all of them."""
        text = yaml.safe_dump(params, sort_keys=False, allow_unicode=True)
        (self / "params.yaml").write_text(text, encoding="utf-8")

    def digests(self, *folders: str) -> Digests:
        """SHA-256 of every artefact in some folders."""
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in folders
            for path in files_of(self / folder)
            if not path.name.startswith(".")
        }

    def lay(self, video: Path, split: str, subjects: Sequence[str] = (), **labels: Any) -> None:
        """Put a video into the corpus, with labels for its subjects (default: one, named like it)."""
        folder = self / "corpus" / "videos"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, folder)
        for place, subject in enumerate(subjects or [video.stem]):
            if split == "test":
                with (self / "corpus/annotations/VA_test_set_release.txt").open(
                    "a", encoding="utf-8"
                ) as file:
                    file.write(f"{subject}\n")
            else:
                write_labels(
                    self / "corpus" / ANNOTATIONS / f"{split}_Set" / f"{subject}.txt", place, **labels
                )

    def lost(self) -> list[Path]:
        """Unfinished files below data, models and metrics."""
        return [p for folder in ("data", "models", "metrics") for p in (self / folder).rglob(f"{PARTIAL}*")]

    def remembered(self, stage: str) -> list[Path]:
        """The memo's records of a stage, one per finished unit."""
        folder = self / ".valaro/memo" / stage
        files = files_of(folder) if folder.is_dir() else []
        return [path for path in files if path.suffix == ".json" and not path.name.startswith(PARTIAL)]

    def members(self, session: int) -> list[psutil.Process]:
        """The living processes of a session: dvc, its stage, the stage's workers."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def named(self, session: int, word: str) -> list[psutil.Process]:
        """Those of them with this word in their command line, such as `stages.decode`."""
        found = []
        for process in self.members(session):
            try:
                if word in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_until(self, true: Callable[[], bool], otherwise: str) -> None:
        """Look now and then, for minutes."""
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.02)


def write_labels(path: Path, seed: int, rows: int = round(CLIP_S * RATE_HZ)) -> None:
    """Slow waves between -1 and 1, a line per frame."""
    rng = np.random.default_rng([seed, *path.stem.encode()])
    time_s = np.arange(rows)[:, None] / RATE_HZ
    waves = 0.8 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.6, 2) * time_s + rng.uniform(0, 1, 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{valence:.3f},{arousal:.3f}" for valence, arousal in waves]
    path.write_text("\n".join(["valence,arousal", *lines]) + "\n", encoding="utf-8")


def ran(output: str) -> list[str]:
    """The stages that dvc ran, in order."""
    return re.findall(r"Running stage '([^']+)'", output)


def computed(output: str) -> dict[str, tuple[int, int]]:
    """Units computed and remembered, summed per stage."""
    sums: dict[str, tuple[int, int]] = {}
    for stage, new, old in re.findall(r"(\w+): (\d+) computed in [\d.]+ s, (\d+) remembered", output):
        before = sums.get(stage, (0, 0))
        sums[stage] = (before[0] + int(new), before[1] + int(old))
    return sums


@pytest.fixture(scope="session", name="ran")
def ran_fixture() -> Callable[[str], list[str]]:
    """The stages that dvc ran, by its output."""
    return ran


@pytest.fixture(scope="session", name="computed")
def computed_fixture() -> Callable[[str], dict[str, tuple[int, int]]]:
    """(computed, remembered) units per stage, by the output."""
    return computed


def portrait(opening: float, hue: int, mirrored: bool = False) -> np.ndarray:
    """(256, 256, 3): the portrait with its mouth open by `opening` from 0 to 1, on a wall of some hue."""
    from skimage import data

    image = np.ascontiguousarray(data.astronaut()[0:256, 96:352])
    chin, drop = slice(147, 176), round(OPEN_PX * opening)
    jaw = image[chin, 104:150].copy()
    image[147 : 147 + drop, 104:150] = (60, 10, 15)
    image[147 + drop : 176 + drop, 104:150] = jaw
    image[:, :12] = cv2.cvtColor(np.uint8([[[hue % 180, 160, 160]]]), cv2.COLOR_HSV2RGB)
    return np.ascontiguousarray(image[:, ::-1]) if mirrored else image


def draw_people(hue: int, people: int) -> Callable[[float], np.ndarray]:
    """A drawing of one person, or of two side by side who talk in turn, as a function of time."""

    def draw(time_s: float) -> np.ndarray:
        openings = [
            max(0.0, np.sin(2 * np.pi * MOUTH_HZ * time_s)) * (np.sin(2 * time_s + k) > -0.3)
            for k in range(people)
        ]
        return np.hstack([portrait(opening, hue, mirrored=bool(k)) for k, opening in enumerate(openings)])

    return draw


def scaled(draw: Callable[[float], np.ndarray], side_px: int | None) -> Callable[[float], np.ndarray]:
    """A drawing in another size; None leaves it as it is."""
    if side_px is None:
        return draw
    return lambda time_s: cv2.resize(draw(time_s), (side_px, side_px), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Write a film; returns its path."""
    folder = tmp_path_factory.mktemp("films")

    def shoot(
        name: str,
        *,
        hue: int = 0,
        people: int = 1,
        times_s: Sequence[float] = tuple(np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ),
        sound: bool = True,
        draw: Callable[[float], np.ndarray] | None = None,
        side_px: int | None = None,
    ) -> Path:
        path = folder / name
        draw = scaled(draw or draw_people(hue, people), side_px)
        tick = Fraction(1, 90_000)
        with av.open(str(path), "w") as out:
            height, width = draw(0.0).shape[:2]
            pictures = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "ultrafast", "crf": "18"})
            pictures.height, pictures.width, pictures.pix_fmt = height, width, "yuv420p"
            pictures.codec_context.time_base = tick
            speaker = out.add_stream("aac", rate=SOUND_HZ, layout="stereo") if sound else None
            for time_s in times_s:
                frame = av.VideoFrame.from_ndarray(draw(time_s), format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = round(time_s / tick), tick
                out.mux(pictures.encode(frame))
            out.mux(pictures.encode(None))
            if speaker is not None:
                _hum(out, speaker, times_s[-1] + 1 / RATE_HZ, 110 + hue)
        return path

    return shoot


def _hum(out: Any, speaker: Any, duration_s: float, pitch_hz: float) -> None:
    time_s = np.arange(round(duration_s * SOUND_HZ)) / SOUND_HZ
    voice = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 6)) * 0.2
    voice = np.stack([voice * (np.sin(2 * time_s) > -0.3)] * 2).astype(np.float32)
    for start in range(0, voice.shape[1], 1024):
        block = np.ascontiguousarray(voice[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = SOUND_HZ, Fraction(1, SOUND_HZ), start
        out.mux(speaker.encode(frame))
    out.mux(speaker.encode(None))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands see: this Python first on the path, and nobody's own git or DVC settings."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    name = {"NAME": "A. Tester", "EMAIL": "tester@example.org"}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SHELL": "/bin/sh",
        "COLUMNS": "200",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in name.items()},
        **{f"DVC_{what}_DIR": str(home / what) for what in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")},
        "DVC_NO_ANALYTICS": "1",
    }


@pytest.fixture(scope="session")
def code(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Repository:
    """The checkout's files, as they are now, in a git and DVC repository without any corpus."""
    copy = Repository(tmp_path_factory.mktemp("code"), environment)
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listing, cwd=repository, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source = repository / name
        if (source.is_file() or source.is_symlink()) and not name.startswith(NOT_COPIED):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name, follow_symlinks=False)
    for folder in ("data/pretraining", "metrics/sweeps"):
        (copy / folder).mkdir(parents=True)
        shutil.copy2(repository / folder / "README.md", copy / folder)
    shutil.copy2(repository / "profiles" / "sample.yaml", copy / "params.yaml")
    params = merge(copy.params(), SMALLEST)
    params["audio"]["backbone"] = SMALLEST_WAV2VEC
    copy.write_params(params)
    copy.git("init", "--quiet", "--initial-branch=main")
    copy.commit("The code")
    return copy


@pytest.fixture(scope="session")
def films(film: Film) -> dict[str, Path]:
    """Six films by name."""
    return {
        "t1": film("t1.mp4", hue=10),
        "pair": film("pair.mp4", hue=30, people=2),
        "mute": film("mute.mp4", hue=50, sound=False),
        "v1": film("v1.mp4", hue=70),
        "v2": film("v2.mp4", hue=90),
        "v3": film("v3.mp4", hue=110),
        "hidden": film("hidden.mp4", hue=130),
    }


@pytest.fixture(scope="session")
def running(
    code: Repository, films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Repository, subprocess.Popen[str], Path]]:
    """A repository in which the whole pipeline has begun to run, and the file of what it prints."""
    folder = tmp_path_factory.mktemp("finished")
    repository = clone(code, folder / "repository")
    lay_corpus(repository, films)
    repository.dvc("add", "--quiet", "corpus")
    repository.commit("The corpus")
    with (folder / "output").open("w") as output, repository.start("dvc", "repro", stdout=output) as process:
        yield repository, process, folder / "output"
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    """Let the pipeline run in the background, once, if any test will want its results."""
    if any(wants_results(item) for item in request.session.items):
        request.getfixturevalue("running")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that want the pipeline's results come last, so that nobody waits for it."""
    items.sort(key=wants_results)


def wants_results(item: pytest.Item) -> bool:
    """Whether a test works on the finished repository."""
    return "finished" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def finished(running: tuple[Repository, subprocess.Popen[str], Path]) -> Repository:
    """A repository in which the whole pipeline has run; for reading only."""
    repository, process, output = running
    assert process.wait(PATIENCE_S) == 0, output.read_text()
    repository.commit("The results")
    return repository


def lay_corpus(repository: Repository, films: dict[str, Path]) -> None:
    """Three training videos (one with two people), three to validate on, one to test on."""
    repository.lay(films["t1"], "Train")
    repository.lay(films["pair"], "Train", ["pair_left", "pair_right"])
    repository.lay(films["mute"], "Train")
    for name in ("v1", "v2", "v3"):
        repository.lay(films[name], "Validation")
    repository.lay(films["hidden"], "test")


def clone(repository: Repository, folder: Path) -> Repository:
    """A copy of everything, hardlinks and times included."""
    subprocess.run(("cp", "-a", str(repository.folder), str(folder)), check=True)
    return Repository(folder, repository.environment)


@pytest.fixture(scope="session")
def duplicate() -> Callable[[Repository, Path], Repository]:
    """Copy a repository into a folder."""
    return lambda repository, folder: clone(repository, folder / "project")


@pytest.fixture
def project(finished: Repository, tmp_path: Path) -> Repository:
    """A finished repository to work on."""
    return clone(finished, tmp_path / "project")


@pytest.fixture
def workspace(code: Repository, tmp_path: Path) -> Repository:
    """The code and no corpus: for single stages without DVC."""
    return clone(code, tmp_path / "workspace")
