"""EMOTIC (Kosti et al. 2019): people in scenes; valence, arousal and dominance from 1 to 10, 26 categories.

    Annotations/Annotations.mat       structures train, val, test: filename, folder, person(s) with
                                      body_bbox [x1 y1 x2 y2], annotations_continuous (val and test:
                                      combined_continuous) with valence, arousal, dominance
    <folder>/<filename>, e.g. emotic/mscoco/images/COCO_val2014_000000562243.jpg

or the tables that public code writes from the .mat file:

    train.csv, val.csv, test.csv      Index,Folder,Filename,Image Size,BBox,Categorical_Labels,
                                      Continuous_Labels,Gender,Age; continuous: valence, arousal, dominance

Names and orders follow public readers of both. The 26 categories aren't Ekman's emotions, so only valence and
arousal are used. The box is that of the body: the face found in it is used, and a person without one is left
out. A picture, with all people in it, is a speaker. The test part isn't used.
"""

import csv
import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.measures import TARGETS
from stages.corpora.table import Part, Problems, Sample, below, box_of, existing, scaled
from stages.engine.crashes import call_in_own_process

RANGE = (1.0, 10.0)
PARTS: dict[str, Part] = {"train": "train", "val": "validation"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?|nan")


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """Read the corpus; see `table.Adapter`."""
    tables = [path for path in below(folder, {".csv"}) if path.stem in PARTS]
    for table in tables:
        yield from _of_table(folder, table, PARTS[table.stem], problems)
    if not tables:
        for annotations in below(folder, {".mat"}):
            yield from _of_mat(folder, annotations, problems)


def _of_table(folder: Path, table: Path, part: Part, problems: Problems) -> Iterator[Sample]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            try:
                values = np.array([float(v) for v in NUMBER.findall(row["Continuous_Labels"])]).reshape(-1, 3)
                box = [float(edge) for edge in NUMBER.findall(row["BBox"])]
                valence, arousal = np.nanmean(values[:, :2], axis=0).tolist()
                yield _sample(folder, row["Folder"], row["Filename"], box, valence, arousal, part)
            except (ValueError, TypeError, KeyError) as error:
                problems.add(f"{table}:{rows.line_num}", str(error))


def _of_mat(folder: Path, annotations: Path, problems: Problems) -> Iterator[Sample]:
    try:
        people = call_in_own_process(
            _people, annotations
        )  # native code that reads damaged files can end its process
    except BrokenProcessPool:
        problems.add(annotations, "it crashes the reader of MATLAB files", "Get an intact copy")
        return
    except Exception as error:  # SciPy's own class, or any error that a damaged file causes
        problems.add(annotations, f"not a MATLAB file of version 5 or 7 ({error!r:.80})")
        return
    for name, person in people:
        try:
            if isinstance(person, str):
                raise ValueError(person)
            yield _sample(folder, *person)
        except ValueError as error:
            problems.add(f"{annotations}: {name}", str(error))


_Person = tuple[str, str, list[float], float, float, Part]
"""Folder, file name, box, valence, arousal, part."""


def _people(annotations: Path) -> list[tuple[str, _Person | str]]:
    """(file name, facts of a person or what is wrong with them) of everyone in the file."""
    from scipy.io import loadmat

    content = loadmat(annotations, squeeze_me=True, struct_as_record=False)
    people: list[tuple[str, _Person | str]] = []
    for part_name, part in PARTS.items():
        for entry in np.atleast_1d(content.get(part_name, [])):
            name = str(getattr(entry, "filename", "?"))
            for person in np.atleast_1d(getattr(entry, "person", [])):
                try:
                    box = [float(edge) for edge in person.body_bbox]
                    people.append((name, (str(entry.folder), name, box, *_continuous(person), part)))
                except (ValueError, TypeError, AttributeError) as error:
                    people.append((name, str(error)))
    return people


def _continuous(person: Any) -> tuple[float, float]:
    """Valence and arousal: those that the file has combined, else the mean over the annotators."""
    given = getattr(person, "combined_continuous", None)
    ratings = np.atleast_1d(person.annotations_continuous if given is None else given)
    valence, arousal = (
        float(np.nanmean([float(getattr(rating, target)) for rating in ratings])) for target in TARGETS
    )
    return valence, arousal


def _sample(
    folder: Path, place: str, name: str, box: list[float], valence: float, arousal: float, part: Part
) -> Sample:
    try:
        source = existing(folder, f"{place}/{name}")
    except ValueError:
        source = existing(folder, f"emotic/{place}/{name}")
    left, top, right, bottom = box
    body = box_of(left, top, right, bottom)
    labels = scaled(valence, *RANGE), scaled(arousal, *RANGE)
    return Sample(source, source, "person", body, None, *labels, part=part)
