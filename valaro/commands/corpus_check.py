"""What `valaro doctor` says about the corpus: what was found, and whether it is enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.corpus import FITTED_SPLITS, LEAST_RECORDINGS, WITHOUT_CORPUS, Split
from stages.core.errors import ValaroError
from stages.core.labels import read_labels
from stages.core.params import Params
from stages.layouts.leaks import leaks
from stages.layouts.listing import Found, Listing
from stages.layouts.readers import list_corpus


class Remark(NamedTuple):
    """How one thing stands (`ok`, `note`, `MISSING`), in words, and what to do about it."""

    grade: str
    words: str
    remedy: str = ""


def check_corpus(params: Params) -> Iterator[Remark]:
    """Look for annotations, test list, sample submission and videos, as the first stage will."""
    try:
        listing = list_corpus(params.index, params.submission.sample_file)
    except ValaroError as error:
        yield Remark("MISSING", str(error), "" if Path(params.index.corpus).exists() else WITHOUT_CORPUS)
        return
    first, *rest = listing.summary
    yield Remark("ok", f"{params.index.corpus}: {first}", "; ".join(rest))
    yield from _left_out(listing)
    yield from _leaks(listing)
    yield from _lists(params, listing)
    for split in FITTED_SPLITS:
        yield from _enough(listing, split)


def _left_out(listing: Listing) -> Iterator[Remark]:
    aside = [note for note in listing.notes if note.quarantined]
    if aside:
        usable = f"{len(listing.found)} of {listing.annotations} annotations usable"
        words = f"{usable}; the first that isn't: {aside[0]}"
        yield Remark("note", words, "`python -m stages.index` lists all of them.")


def _leaks(listing: Listing) -> Iterator[Remark]:
    if notes := [*leaks(listing.found)]:
        words = f"recordings in several splits, or there twice: {len(notes)}; the first: {notes[0]}"
        yield Remark("note", words, "`python -m stages.index` lists all of them.")


def _lists(params: Params, listing: Listing) -> Iterator[Remark]:
    """What the submission will lack, reported now rather than in the last stage."""
    if params.index.test_list and not any(one.subject.split == "test" for one in listing.found):
        yield Remark("note", "no list of test subjects", "Set index.test_list, or make it null.")
    elif params.submission.sample_file and not listing.sample_rows:
        remedy = "Without it every native frame gets a row. Set submission.sample_file, or make it null."
        yield Remark("note", "no sample submission of the organisers", remedy)


def _enough(listing: Listing, split: Split) -> Iterator[Remark]:
    """Whether a split has as many labelled recordings as later stages need; no more are read than that."""
    least = LEAST_RECORDINGS[split]
    labelled: set[str] = set()
    for one in listing.found:
        if len(labelled) >= least:
            return
        if one.subject.split == split and one.subject.recording not in labelled and _is_labelled(one):
            labelled.add(one.subject.recording)
    if len(labelled) < least:
        words = f"{len(labelled)} labelled recordings in the {split} split; {least} are needed"
        yield Remark("MISSING", words, "Add some: `dvc repro` would fail in its last stages.")


def _is_labelled(one: Found) -> bool:
    try:
        return one.label_file is not None and bool(np.isfinite(read_labels(one.label_file)).any())
    except ValaroError:
        return False
