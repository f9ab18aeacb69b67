"""`valaro doctor`: is everything there that the active parameters need, and what to do where it isn't."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import typer

from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.params import Params, load_params
from stages.core.profiles import active_profile
from stages.core.systems import SYSTEMS
from stages.engine.fingerprint import ROOT
from valaro.commands.corpus_check import check_corpus
from valaro.commands.terminal import is_quiet, readable
from valaro.commands.weights import check_weights
from valaro.recordings.trained import lack_of

GIGA = 1_000_000_000
LOW_BYTES, LEAST_BYTES = 20 * GIGA, 2 * GIGA
"""Free disk space below which `doctor` warns, and below which no run can finish."""
SAMPLE = Path("data/sample/corpus")


class Grade(StrEnum):
    """The result of a check."""

    OK = "ok"
    NOTE = "note"
    MISSING = "MISSING"


COLOURS = {Grade.OK: typer.colors.GREEN, Grade.NOTE: typer.colors.YELLOW, Grade.MISSING: typer.colors.RED}


class Finding(NamedTuple):
    """One check: its result, what was found, and what to do about it ("" for nothing)."""

    grade: Grade
    name: str
    words: str
    remedy: str = ""


def doctor() -> bool:
    """Check everything and print the findings; whether nothing needed is missing."""
    well = True
    for finding in findings():
        well &= finding.grade is not Grade.MISSING
        if not is_quiet() or finding.grade is Grade.MISSING:
            _say(finding)
    return well


def _say(finding: Finding) -> None:
    mark = typer.style(f"{finding.grade:8}", fg=COLOURS[finding.grade])
    typer.echo(f"{mark}{readable(f'{finding.name:11} {finding.words}')}")
    if finding.remedy:
        typer.echo(f"{'':20}{readable(finding.remedy)}")


def findings() -> Iterator[Finding]:
    """All checks, quick ones first."""
    yield _python()
    yield from _packages()
    params = None
    try:
        params = load_params()
        yield Finding(Grade.OK, "params.yaml", f"valid; {_profile()}")
    except ValaroError as error:
        yield _without_params(error)
    yield from _repository()
    yield _disk()
    if params:
        yield from _corpus(params)
        yield from _untrained(params)
        yield from (Finding(Grade(grade), *rest) for grade, *rest in check_weights(params))
    yield from _imported("ffmpeg", _ffmpeg)
    yield from _imported("processor", _processor)


def _python() -> Finding:
    version, wanted = platform.python_version(), str(_project()["requires-python"])
    from packaging.specifiers import SpecifierSet

    if SpecifierSet(wanted).contains(version):
        return Finding(Grade.OK, "python", f"{version}, {platform.system()} {platform.machine()}")
    return Finding(
        Grade.MISSING, "python", f"{version}, wanted {wanted}", "Create the environment with another Python."
    )


def _project() -> dict[str, object]:
    """What the project says it needs: of the checkout, else of the installed package."""
    file = ROOT / "pyproject.toml"
    if file.is_file():
        project: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        return project
    metadata = importlib.metadata.metadata("valaro")
    needed = importlib.metadata.requires("valaro") or []
    return {
        "requires-python": metadata["Requires-Python"],
        "dependencies": [n for n in needed if "extra ==" not in n],
    }


def _packages() -> Iterator[Finding]:
    """Every dependency against what is installed."""
    from packaging.requirements import Requirement

    needed = [Requirement(str(line)) for line in _project()["dependencies"]]  # type: ignore[attr-defined]
    wrong = []
    for one in needed:
        try:
            version = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
            continue
        if not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} is {version}, wanted {one.specifier}")
    if wrong:
        yield Finding(Grade.MISSING, "packages", "; ".join(wrong), "Run `make setup` in the checkout.")
    else:
        yield Finding(Grade.OK, "packages", f"all {len(needed)} that are needed")


def _without_params(error: ValaroError) -> Finding:
    """Parameters are needed for the pipeline only, which is where dvc.yaml is."""
    if Path("params.yaml").exists() or Path("dvc.yaml").exists():
        return Finding(Grade.MISSING, "params.yaml", str(error))
    remedy = "Run this from the checkout for the pipeline; predict and app work anywhere."
    return Finding(Grade.NOTE, "params.yaml", "none here", remedy)


def _profile() -> str:
    name = active_profile(Path()) if Path("profiles").is_dir() else None
    return f"profile {name}" if name else "no profile as it is"


def _repository() -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding(Grade.MISSING, "git", "not found", "Install git: DVC's experiments live in it.")
        return
    inside = _git("rev-parse", "--show-toplevel")
    if not inside:
        remedy = "Run this from a clone; predict works anywhere, the pipeline doesn't."
        yield Finding(Grade.NOTE, "git", "this is no repository", remedy)
    elif not _git("rev-parse", "--short", "HEAD"):
        remedy = "Run `git add --all && git commit --message start`: training is logged through DVCLive."
        yield Finding(Grade.NOTE, "git", "no commit yet", remedy)
    else:
        changed = len(_git("status", "--porcelain", "--untracked-files=no").splitlines())
        words = f"files that differ from it: {changed}" if changed else "nothing differs from it"
        yield Finding(Grade.OK, "git", f"commit {_git('rev-parse', '--short', 'HEAD') or 'none'}, {words}")
    if not Path(".dvc/config").is_file() or not Path("dvc.yaml").is_file():
        yield Finding(
            Grade.NOTE,
            "dvc",
            "no pipeline here (.dvc, dvc.yaml)",
            "Run this from the checkout for `dvc repro`.",
        )
    elif not Path("metrics/evaluate.json").is_file():
        yield Finding(Grade.NOTE, "dvc", "the pipeline hasn't run yet", "Run `dvc repro`.")
    elif not Path("models/fusion/provenance.json").is_file():  # git keeps figures, not models
        words = "the figures here are the commit's: the pipeline hasn't run on this machine yet"
        yield Finding(Grade.NOTE, "dvc", words, "Run `dvc repro`.")
    else:
        yield Finding(Grade.OK, "dvc", "the pipeline has run; `dvc status` says whether it is up to date")


def _git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _disk() -> Finding:
    free = shutil.disk_usage(Path()).free
    words = f"{free / GIGA:,.0f} GB free"
    if free < LEAST_BYTES:
        return Finding(
            Grade.MISSING, "disk", words, "Free some space: frames and weights need it (`dvc gc -w` helps)."
        )
    if free < LOW_BYTES:
        return Finding(
            Grade.NOTE, "disk", words, "Enough for the sample; `valaro plan` says what your corpus needs."
        )
    return Finding(Grade.OK, "disk", words)


def _corpus(params: Params) -> Iterator[Finding]:
    if Path(params.index.corpus) == SAMPLE and not SAMPLE.is_dir():
        yield Finding(Grade.NOTE, "corpus", f"{SAMPLE} isn't generated yet", "`make repro` generates it.")
        return
    for grade, words, remedy in check_corpus(params):
        yield Finding(Grade(grade), "corpus", words, remedy)


def _untrained(params: Params) -> Iterator[Finding]:
    """The systems that the last run had nothing to train on."""
    for name in SYSTEMS:
        with suppress(BadInput):  # a damaged file is for `valaro verify`
            if lack := lack_of(name, Workspace(), params):
                yield Finding(Grade.NOTE, "models", f"{name} isn't trained: {lack.reason}", f"{lack.remedy}.")


def _imported(name: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """A check that imports libraries; one that can't be imported is a finding too."""
    try:
        yield look()
    except (ImportError, OSError) as error:
        yield Finding(Grade.MISSING, name, f"can't be loaded: {error}", "Run `make setup` in the checkout.")


def _ffmpeg() -> Finding:
    import av

    missing = [
        name for name, mode in (("h264", "r"), ("aac", "r"), ("libx264", "w")) if not _codec(name, mode)
    ]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    words = f"PyAV {av.__version__} with libavcodec {version}"
    if missing:
        return Finding(
            Grade.MISSING, "ffmpeg", f"{words}: no {', '.join(missing)}", "Install PyAV's own wheel."
        )
    return Finding(Grade.OK, "ffmpeg", f"{words}; the ffmpeg program isn't needed")


def _codec(name: str, mode: str) -> bool:
    import av

    try:
        av.Codec(name, mode)
    except Exception:  # PyAV's class for it changes from version to version
        return False
    return True


def _processor() -> Finding:
    import psutil

    from stages.engine.device import torch_device
    from stages.engine.mapping import cores

    machine = f"{cores()} cores, {psutil.virtual_memory().total / GIGA:.0f} GB memory"
    device = torch_device()
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            remedy = "Unset VALARO_DEVICE, or install the driver."
            return Finding(
                Grade.MISSING, "processor", f"VALARO_DEVICE={device}, but torch sees no GPU", remedy
            )
        gpu = torch.cuda.get_device_properties(torch.device(device))
        return Finding(Grade.OK, "processor", f"{gpu.name}, {gpu.total_memory / GIGA:.0f} GB; {machine}")
    if os.environ.get("VALARO_DEVICE"):
        return Finding(Grade.OK, "processor", f"{machine}; VALARO_DEVICE={device}")
    driver = " though nvidia-smi is there" if shutil.which("nvidia-smi") else ""
    remedy = "The sample needs none; training on Aff-Wild2 wants one."
    return Finding(Grade.NOTE, "processor", f"{machine}; no GPU in use{driver}", remedy)
