"""Scores of emotion classification in which every class has the same weight."""

import numpy as np

from stages.core.arrays import Integers


def emotion_scores(truth: Integers, predicted: Integers) -> dict[str, float]:
    """Accuracy, balanced accuracy, informedness and macro F1.

    Shape: (N,), (N,) class numbers.

    Returns:
        `accuracy`: share of correct rows; `balanced_accuracy`: mean recall of the K classes that occur;
        `informedness`: balanced accuracy rescaled so that chance, 1 / K, is 0; `macro_f1`: mean F1 of the
        classes that occur or are predicted.

    Raises:
        ValueError: lengths differ, or fewer than two classes occur.

    >>> emotion_scores(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))["balanced_accuracy"]
    0.75
    """
    if len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} true classes, {len(predicted)} predicted ones")
    classes = int(max([*truth, *predicted, 0])) + 1
    pairs = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    hits, true, predicted_as = pairs.diagonal(), pairs.sum(axis=1), pairs.sum(axis=0)
    occurring = int((true > 0).sum())
    if occurring < 2:
        raise ValueError(f"{occurring} classes occur; at least two are needed")
    recall = float((hits[true > 0] / true[true > 0]).mean())
    counted = true + predicted_as > 0
    return {
        "accuracy": float(hits.sum() / len(truth)),
        "balanced_accuracy": recall,
        "informedness": (recall - 1 / occurring) / (1 - 1 / occurring),
        "macro_f1": float((2 * hits[counted] / (true + predicted_as)[counted]).mean()),
    }
