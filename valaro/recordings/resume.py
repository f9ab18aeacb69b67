"""Results of an earlier run that needn't be computed again: what they were made with, and the trace in full.

The summary's `made_with` has all that determines the values beside the recording itself. A hidden file in the
folder has the trace: its arrays and its summary, neither rounded nor at the native frames only.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import stages
import valaro
from stages.core.artefacts import read_arrays, write_arrays
from stages.core.errors import BadInput, ValaroError
from stages.core.params import Params
from stages.engine.device import torch_device
from stages.engine.fingerprint import LIBRARIES, key_of
from stages.exports.tables import to_json
from valaro.recordings.formats import TRACE
from valaro.recordings.trained import Trained
from valaro.trace import Faces, Trace

OF_TRACE = ("time_s", "valence_arousal", "detected", "speaking", "every_frame", "interval", "frame")
OF_FACES = ("time_s", "detected", "box_xyxy", "score", "count")
SUMMARY = "summary"
"""As JSON in UTF-8."""
_DIGITS = 16
_PLAIN = ("system", "detector", "device", "person", "audio_track", "hold", "abstain")
"""Of `made_with`, what a user chose; the other values are digests."""


def made_with(trained: Trained, person: str | None, *, hold: bool, abstain: float | None) -> dict[str, Any]:
    """What determines the values of every recording of a run: JSON for the summary.

    The number of threads and processes, and the kind of processor, aren't part of it: they affect the last
    digit.

    Args:
        trained: the system that was asked for.
        person: as `chain.analyse` takes it.
        hold: give values where nobody is there.
        abstain: leave out frames whose interval is wider; None: none.
    """
    params = trained.params
    models = {
        "md5": trained.models_md5,
        "corpus": trained.corpus,
        "notice": trained.notice,
        "margin": trained.margin,
    }
    return {
        "system": trained.system,
        "detector": params.faces.detector,
        "device": torch_device().partition(":")[0],
        "person": person or str(params.faces.target),
        "audio_track": params.decode.audio_track,
        "hold": hold,
        "abstain": None if abstain is None else str(abstain),  # JSON files have figures of six decimals
        "models": _digest(models),
        "parameters": {name: _digest(section) for name, section in _settings(params).items()},
        "code": _code(),
        "libraries": _libraries(),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two of `made_with`, in words."""
    found = [
        f"{name.replace('_', ' ')} {_word(then.get(name))}, now {_word(now.get(name))}"
        for name in _PLAIN
        if then.get(name) != now.get(name)
    ]
    for name in sorted({*then, *now} - {*_PLAIN}):
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            changed = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
            found += [f"other {name} ({', '.join(changed)})"] if changed else []
        elif before != after:
            found.append("another version of Valaro" if name == "code" else f"other {name}")
    return found


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _settings(params: Params) -> dict[str, Any]:
    """The sections of the parameters, without what `made_with` names, and without what affects no value."""
    sections = params.model_dump(mode="json", exclude={"app", "evaluate", "submission"})
    for name, keys in {"decode": ["audio_track"], "faces": ["detector", "target"]}.items():
        sections[name] = {key: value for key, value in sections[name].items() if key not in keys}
    return sections | {"compute": {key: sections["compute"][key] for key in ("engine", "precision")}}


def _digest(content: Any) -> str:
    return key_of(content=content)[:_DIGITS]


@cache
def _code() -> str:
    """Of the source of the whole program: which lines decide a value would take too long to find out."""
    found = hashlib.sha256()
    for package in (stages, valaro):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            found.update(f"{file.relative_to(root).as_posix()} ".encode())
            found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:_DIGITS]


@cache
def _libraries() -> dict[str, str]:
    versions = dict[str, str]()
    for library in sorted(LIBRARIES.values()):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return versions


def keep_trace(folder: Path, trace: Trace) -> None:
    """Write a trace, neither rounded nor shortened, into the folder of its results."""
    arrays = {name: getattr(trace, name) for name in OF_TRACE}
    arrays |= {f"faces_{name}": getattr(trace.faces, name) for name in OF_FACES}
    arrays[SUMMARY] = np.frombuffer(to_json(trace.summary), np.uint8)
    write_arrays(folder / TRACE, {name: array for name, array in arrays.items() if array is not None})


def kept_trace(folder: Path, video: Path) -> Trace:
    """The trace of a folder of results, as it was when it was computed.

    Args:
        folder: of one recording, or of one person in it.
        video: the recording, where it is now.

    Raises:
        BadInput: the file is missing, damaged or of another version.
    """
    try:
        arrays = read_arrays(folder / TRACE)
        summary = json.loads(arrays[SUMMARY].tobytes())
        faces = Faces(*(arrays[f"faces_{name}"] for name in OF_FACES))
        return Trace(
            name=folder.name,
            video=video,
            **{name: arrays.get(name) for name in OF_TRACE},  # type: ignore[arg-type]
            faces=faces,
            duration_s=summary["duration_s"],
            video_start_s=summary["video_start_s"],
            folder=folder,
            summary=summary,
            notice=summary["notice"] or "",
            person=summary["person"] or "",
        )
    except (ValaroError, OSError, KeyError, ValueError) as error:
        problem = f"{folder / TRACE} can't be read ({' '.join(str(error).split())})"
        raise BadInput(video, problem, "Use --force to replace these results, or another --out") from None
