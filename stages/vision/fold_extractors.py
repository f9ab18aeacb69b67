"""Extractors fitted on folds of training: which one hasn't seen a recording, and how its space is aligned.

An embedding has no axes of its own: two extractors fine-tuned apart agree up to a rotation at best. A model
that learns from the embeddings of several, and is applied to those of one, needs them in one space.
"""

from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.core.corpus import Workspace

FOLDER, FOLDS = "static_folds", "folds.json"
"""Below models/, and in it: training subject -> fold."""


def alignment(own: Floats, whole: Floats) -> dict[str, Floats]:
    """The rotation, with both means, that brings embeddings nearest to others of the same pictures.

    Shape: (N, F), (N, F) -> from (F,), rotation (F, F), to (F,).

    >>> turned = alignment(np.eye(3), np.roll(np.eye(3), 1, axis=1))
    >>> bool(np.allclose(aligned(np.eye(3), turned), np.roll(np.eye(3), 1, axis=1)))
    True
    """
    from scipy.linalg import orthogonal_procrustes

    start, end = own.mean(axis=0), whole.mean(axis=0)
    rotation, _ = orthogonal_procrustes(own - start, whole - end)
    return {"from": start, "rotation": rotation, "to": end}


def aligned(embedding: Floats, found: dict[str, Floats]) -> Floats:
    """Embeddings in the whole model's space. Shape: (N, F) -> (N, F) float32."""
    return ((embedding - found["from"]) @ found["rotation"] + found["to"]).astype(np.float32)


def extractor_of(models: Workspace, subject: str, folds: dict[str, int]) -> dict[str, Path]:
    """The extractor that hasn't seen a training subject, and its alignment; empty for all others."""
    if subject not in folds:
        return {}
    fold = folds[subject]
    return {
        "model": models.model(f"{FOLDER}/fold_{fold}.safetensors"),
        "alignment": models.model(f"{FOLDER}/alignment_{fold}.safetensors"),
    }
