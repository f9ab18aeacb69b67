"""Steps without a face, and how the temporal model treats them.

A crop that is reused, or a black image, stands at a step whose face was not found. `mask` leaves such steps
out of the statistics, the attention and the loss, and bridges them in the predictions; `input` gives the
model one more feature, 1 where the face was found; `as_seen` treats them as real faces, as the authors do.
"""

from typing import Literal

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.temporal.normalisation import Normaliser

Missing = Literal["mask", "input", "as_seen"]


def known_steps(detected: Flags, missing: Missing) -> Flags | None:
    """The steps that count; None: all of them, also where no face is ever found. Shape: (T,)."""
    return detected if missing != "as_seen" and detected.any() else None


def fitted_on(embedding: Floats, detected: Flags, missing: Missing) -> Floats:
    """The rows that statistics are taken from. Shape: (T, F), (T,) -> (K, F)."""
    known = known_steps(detected, missing)
    return embedding if known is None else embedding[known]


def model_input(
    normaliser: Normaliser, embedding: Floats, detected: Flags, missing: Missing
) -> tuple[Floats, Flags | None]:
    """The model's input for one recording, and the steps that it may attend to (None: all).

    Shape: (T, F), (T,) -> (T, F), or (T, F + 1) for `input`; (T,) bool.
    """
    known = known_steps(detected, missing)
    scaled = normaliser.apply(embedding, known)
    if missing == "input":
        return np.column_stack([scaled, detected]).astype(np.float32), None
    return scaled, known if missing == "mask" else None


def bridge(values: Floats, known: Flags) -> Floats:
    """Interpolate the rows that aren't known between those that are, held at the ends.

    Shape: (T, C), (T,) -> (T, C); at least one row is known.
    """
    if known.all():
        return values
    steps = np.arange(len(values))
    return np.column_stack([np.interp(steps, steps[known], column[known]) for column in values.T])
