"""What every artefact must look like: its arrays, their types, and lengths that agree across stages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import open_arrays
from stages.core.errors import ValaroError

Shape = tuple[str | int, ...]
Contract = dict[str, tuple[str, Shape]]

_TRACE: Contract = {"time_s": ("float64", ("N",)), "valence_arousal": ("float32", ("N", 2))}
_PREDICTION: Contract = {"time_s": ("float64", ("T",)), "valence_arousal": ("float32", ("T", 2))}

_PICTURES: Contract = {"jpeg": ("uint8", ("bytes",)), "jpeg_offset": ("int64", ("images + 1",))}
"""Whatever file has the one must have the other."""

_FACES: Contract = {
    "time_s": ("float64", ("T",)),
    "detected": ("bool", ("T",)),
    "box_xyxy": ("float32", ("T", 4)),
    "score": ("float32", ("T",)),
    "crop_index": ("int64", ("T",)),
    "faces_in_frame": ("int32", ("T",)),
    "jump": ("bool", ("T",)),
    "others": ("uint8", ("T",)),
}

CONTRACTS: dict[str, Contract] = {
    "index": _TRACE | {"labelled": ("bool", ("N",)), "row": ("int64", ("N",))},
    "decode": {
        "time_s": ("float64", ("T",)),
        "frame": ("int64", ("T",)),
        "frame_time_s": ("float64", ("T",)),
        "native_time_s": ("float64", ("natives",)),
        "shift_stream": ("int64", ("shifts",)),
        "shift_packet": ("int64", ("shifts",)),
        "shift_s": ("float64", ("shifts",)),
    },
    "degraded/*/faces": _FACES,  # of the degraded copies no pictures are kept
    "faces": _FACES | _PICTURES,
    "mouth": {
        "time_s": ("float64", ("T",)),
        "detected": ("bool", ("T",)),
        "area": ("float32", ("T",)),
        "opening": ("float32", ("T",)),
    },
    "speech": {
        "time_s": ("float64", ("T",)),
        "speaking": ("bool", ("T",)),
        "training_window_s": ("float64", ("windows", 2)),
        "targets": ("float32", ("windows", "steps", 2)),
        "valid": ("bool", ("windows", "steps")),
        "inference_window_s": ("float64", ("tiles", 2)),
    },
    "embeddings": _PREDICTION | {"embedding": ("float32", ("T", "E")), "detected": ("bool", ("T",))},
    "predictions/*": _PREDICTION,
    "traces/*": _TRACE,
    "fused/*": _TRACE,
}
"""By folder below `data/`; the first that matches counts. N: native frames of the subject, T: points of its
5 Hz grid; both are the same in every stage. The other letters are a file's own."""
ACROSS = {"N", "T"}


@dataclass
class Lengths:
    """Lengths that a subject's artefacts agree on, and which file said so first."""

    first: dict[tuple[str, str], tuple[int, Path]] = field(default_factory=dict)

    def differ(self, subject: str, name: str, length: int, path: Path) -> str | None:
        """What is wrong with a length, if another file of the subject has another."""
        known, where = self.first.setdefault((subject, name), (length, path))
        return None if known == length else f"{name} is {length}, but {known} in {where}"


def contract_of(folder: Path) -> Contract | None:
    """The contract for the files of a folder, relative to `data/`; None if there is none."""
    return next((contract for pattern, contract in CONTRACTS.items() if folder.match(pattern)), None)


def faults_of(path: Path, contract: Contract, subjects: list[str], lengths: Lengths) -> list[str]:
    """Everything that is wrong with one artefact.

    Args:
        path: the HDF5 file.
        contract: what it must hold.
        subjects: whose it is; a video's are all in it.
        lengths: those seen in other files; this one's are added.
    """
    try:
        with open_arrays(path) as file:
            return list(_faults(path, file, contract, subjects, lengths))
    except ValaroError as error:
        return [str(error).removeprefix(f"{path}: ")]
    except (OSError, RuntimeError, ValueError) as error:
        return [f"can't be read through ({error})"]


def _faults(
    path: Path, file: Any, contract: Contract, subjects: list[str], lengths: Lengths
) -> Iterator[str]:
    own: dict[str, int] = {}
    kept = _PICTURES if any(name in file for name in _PICTURES) else {}
    for name, (kind, shape) in (contract | kept).items():
        if name not in file:
            yield f"no array {name}"
            continue
        array = file[name][()]  # reads all: a checksum or a missing block shows here
        if str(array.dtype) != kind or array.ndim != len(shape):
            yield f"{name} is {array.dtype} {array.shape}, not {kind} {shape}"
            continue
        for letter, length in zip(shape, array.shape, strict=True):
            if isinstance(letter, int):
                wrong = None if letter == length else f"{name} has {length} columns, not {letter}"
            elif own.setdefault(letter, length) != length:
                wrong = f"{name} has {length} rows, not {own[letter]}"
            else:
                agreed = [lengths.differ(s, letter, length, path) for s in subjects if letter in ACROSS]
                wrong = next(filter(None, agreed), None)
            if wrong:
                yield wrong
        if name == "time_s" and not (np.isfinite(array).all() and (np.diff(array) > 0).all()):
            yield "time_s doesn't increase"
        held = file["jpeg"].size if "jpeg" in file else None  # its absence has been said
        if name == "jpeg_offset" and (
            not len(array) or (np.diff(array) < 0).any() or held not in (None, array[-1])
        ):
            yield "jpeg_offset doesn't fit jpeg"
