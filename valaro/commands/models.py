"""`valaro models` and `valaro fetch-model`: pretrained models by name, and how to get each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.core.download import Report
from stages.core.errors import ValaroError
from stages.core.hub import MissingOnHub, fetch_from_hub
from stages.core.weights import (
    AUTHORS_FOLDER,
    PACKAGED,
    PDEM,
    PDEM_LICENCE,
    POSE_FOLDER,
    PRETRAINED,
    WEIGHTS,
    find_weights,
    installed_files,
    user_folders,
)
from stages.engine.progress import plain_table
from stages.vision.hub import TIMM, hub_weights, local_hub_weights, timm_name
from valaro.commands.terminal import is_quiet, note, result

MEGA = 1_000_000
STARTER = Path("models/starter")
POSE_FILE = "pose_hrnet_w32_256x192.pth"


@dataclass(frozen=True)
class Model:
    """One pretrained model that is available.

    Args:
        name: what `valaro fetch-model` takes.
        size_bytes: of its files, about; None: unknown.
        licence: of the weights.
        task: what the pipeline uses it for.
        source: where it comes from.
        here: where it lies; None: it has to be fetched.
        fetch: gets it, reporting progress; None: only by hand.
        steps: what to do by hand.
    """

    name: str
    size_bytes: int | None
    licence: str
    task: str
    source: str
    here: str | None
    fetch: Callable[[Report | None], Path] | None
    steps: str = ""


def known_models(folder: Path = PRETRAINED) -> list[Model]:
    """Every model with a name, those of the installed checkout first.

    Args:
        folder: where downloads land, and where files are looked for first.
    """
    return [*_starter(), *_of_table(folder), *_of_hub(folder), _pdem(folder), *_by_hand(folder)]


def list_models(folder: Path = PRETRAINED) -> None:
    """Print them: name, size, where each lies, task, licence, source."""
    rows = [
        (m.name, _size(m.size_bytes), m.here or "no", m.task, m.licence, m.source)
        for m in known_models(folder)
    ]
    for line in plain_table(("name", "size", "here", "for", "licence", "from"), rows):
        result(line)
    note("valaro fetch-model NAME gets one; any pretrained backbone of timm has its name there too.")


def fetch_model(name: str, folder: Path = PRETRAINED) -> Path:
    """Get one model, and print where it lies.

    Args:
        name: of `known_models`, or timm's name of a backbone, with or without its tag.
        folder: where it lands.

    Raises:
        ValaroError: no such name, no connection, other bytes than expected, or it must be downloaded by hand.
    """
    found = {model.name: model for model in known_models(folder)}
    if name not in found:
        tagged = _timm_or_none(name.removeprefix("timm/"))
        if tagged is None:
            raise ValaroError(f"no model named {name!r}. Known: {', '.join(found)}, and timm's backbones.")
        found = {name: _hub_model(tagged, folder)}
    model = found[name]
    if model.fetch is None:
        if model.here:
            result(model.here)
            return Path(model.here)
        raise ValaroError(f"{name} can't be fetched by a program. {model.steps}")
    note(f"{model.name}: {_size(model.size_bytes)} from {model.source}; licence: {model.licence}")
    with _bar(model.name) as report:
        path = model.fetch(report)
    result(str(path))
    return path


def _starter() -> Iterator[Model]:
    for path in sorted(STARTER.glob("*.safetensors")):
        yield Model(
            name="starter" if path.stem == "starter" else f"starter/{path.stem}",
            size_bytes=path.stat().st_size,
            licence="see its card",
            task="valence and arousal of any face",
            source="this checkout",
            here=str(path),
            fetch=None,
        )


def _of_table(folder: Path) -> Iterator[Model]:
    for name, weights in WEIGHTS.items():
        package = PACKAGED.get(name)
        here = _lying(weights.file, folder) or _lying(f"{name}.safetensors", folder)
        if here is None and package and installed_files(package):
            here = f"in {package.distribution} {package.version}"
        source = weights.source.split(",")[0]
        yield Model(
            name,
            weights.size_bytes,
            weights.licence,
            weights.task,
            source,
            here,
            lambda report, name=name: find_weights(name, folder, report=report),  # type: ignore[misc]
        )


def _of_hub(folder: Path) -> Iterator[Model]:
    for name in TIMM:
        yield _hub_model(name, folder)


def _hub_model(name: str, folder: Path) -> Model:
    known = TIMM.get(name)
    here = local_hub_weights(name, folder)
    return Model(
        name,
        known.size_bytes if known else None,
        known.licence if known else "see its card",
        "face backbone",
        f"huggingface.co/{known.repository if known else f'timm/{name}'}",
        str(here) if here else None,
        lambda report: hub_weights(name, folder, report),
    )


def _pdem(folder: Path) -> Model:
    home = folder / PDEM.split("/")[1]
    return Model(
        "pdem",
        661_000_000,
        f"{PDEM_LICENCE}: no commercial use",
        "audio backbone",
        f"huggingface.co/{PDEM}",
        _pdem_here(home),
        lambda report: _fetch_pdem(home, report),
    )


def _pdem_here(home: Path) -> str | None:
    """Our folder, or the hub's cache, which transformers fills by itself."""
    if (home / "config.json").is_file():
        return str(home)
    from huggingface_hub import try_to_load_from_cache

    return "in the hub's cache" if isinstance(try_to_load_from_cache(PDEM, "config.json"), str) else None


def _fetch_pdem(home: Path, report: Report | None) -> Path:
    """The weights first: a folder with a configuration counts as complete."""
    if not (home / "config.json").is_file():
        try:
            fetch_from_hub(PDEM, "model.safetensors", home / "model.safetensors", report)
        except MissingOnHub:
            fetch_from_hub(PDEM, "pytorch_model.bin", home / "pytorch_model.bin", report)
        fetch_from_hub(PDEM, "config.json", home / "config.json")
    return home


def _by_hand(folder: Path) -> Iterator[Model]:
    yield Model(
        "pose_hrnet_w32",
        114_000_000,
        "MIT; COCO",
        "person backbone",
        POSE_FOLDER,
        _lying(POSE_FILE, folder),
        None,
        f"Download {POSE_FILE} (folder pytorch/pose_coco) from the model zoo that {POSE_FOLDER} links to, "
        f"and put it into {folder}.",
    )
    yield Model(
        "authors",
        None,
        "the authors'",
        "the paper's trained models",
        AUTHORS_FOLDER,
        None,
        None,
        f"Open https://{AUTHORS_FOLDER} in a browser, download the static, dynamic and audio checkpoints, "
        "then run `valaro import-checkpoint static FILE --out authors` (also dynamic, audio-v1 ...), then "
        "`valaro predict VIDEO --models authors/models --system dynamic --out TRACES`.",
    )


def _lying(file: str, folder: Path) -> str | None:
    return next((str(p) for place in (folder, *user_folders()) if (p := place / file).is_file()), None)


def _timm_or_none(name: str) -> str | None:
    try:
        return timm_name(name)
    except ValaroError:
        return None


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / MEGA:,.0f} MB"


@contextmanager
def _bar(name: str) -> Iterator[Report | None]:
    """A bar on a terminal: bytes, rate, time left; nothing elsewhere."""
    import sys

    if is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
