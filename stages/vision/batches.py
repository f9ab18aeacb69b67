"""Batches of images for the static models, and scores of a model's estimates of single images."""

from typing import Any

import numpy as np
from torch.utils.data import DataLoader, RandomSampler

from stages.core.arrays import Floats
from stages.core.measures import TARGETS, ccc_per_target, rmse_per_target
from stages.engine.prefetch import loader_workers


def training_batches(images: Any, batch_size: int, limit: int | None) -> DataLoader[Any]:
    """Shuffled batches, all of one size: a batch norm can't train on a last batch of one image.

    Args:
        images: a data set.
        batch_size: images in a batch; fewer images than that are one batch.
        limit: draw this many images anew each epoch; None: all of them.
    """
    fewer = limit is not None and limit < len(images)
    count = min(limit or len(images), len(images))
    return DataLoader(
        images,
        batch_size=batch_size,
        shuffle=not fewer,
        sampler=RandomSampler(images, num_samples=limit) if fewer else None,
        drop_last=count > batch_size,
        **_loading(images),
    )


def scoring_batches(images: Any, batch_size: int) -> DataLoader[Any]:
    """All images in their order."""
    return DataLoader(images, batch_size=batch_size, **_loading(images))


def _loading(images: Any) -> dict[str, Any]:
    """Pictures in memory come as batches; others are decoded by processes of their own beside a GPU."""
    if hasattr(images, "__getitems__"):
        return {"collate_fn": _as_it_comes}
    return {"num_workers": loader_workers(), "persistent_workers": loader_workers() > 0}


def _as_it_comes(batch: Any) -> Any:
    return batch


def image_scores(truth: Floats, estimated: Floats) -> dict[str, float]:
    """RMSE (paper, table 3) and CCC over single images, per target and their mean.

    Shape: (N, 2), (N, 2).
    """
    scores: dict[str, float] = {}
    for measure, of in (("rmse", rmse_per_target), ("ccc", ccc_per_target)):
        values = of(truth, estimated)
        scores |= {f"{target}_{measure}": float(value) for target, value in zip(TARGETS, values, strict=True)}
        scores[f"mean_{measure}"] = float(np.mean(values))
    return scores
