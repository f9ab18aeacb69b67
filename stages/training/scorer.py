"""What temporal models are selected by: CCC of whole validation recordings (paper, section 4.3)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.measures import moments_per_target
from stages.fusion.postprocessing import smooth_to_native
from stages.training.crossfit import fold_scores
from stages.training.kept import Kept

Predict = Callable[[Any, str], tuple[Floats, Floats]]
"""Model, recording -> valence and arousal (T, 2) on the grid, their times (T,)."""


class RecordingScorer:
    """Called with a model, it gives the scores that `fold_scores` names; `loop.fit` validates with it.

    Args:
        predict: predicts one recording.
        index: recording -> its file in data/index, with the labels of the native frames.
        smooth_s: length of the Hamming window, after interpolation.
        folds: recording -> its fold.
    """

    def __init__(
        self, predict: Predict, index: Mapping[str, Path], smooth_s: float, folds: Mapping[str, int]
    ) -> None:
        self._predict, self._index, self._smooth_s, self._folds = predict, index, smooth_s, folds
        self._labels = Kept(self._read_labels)

    def __call__(self, model: Any) -> dict[str, float]:
        """The scores, as `fold_scores` names them.

        Raises:
            ValueError: no frame is labelled.
        """
        parts = {}
        for name in self._index:
            predicted, time_s = self._predict(model, name)
            valence_arousal, native_s = self._labels(name)
            trace = smooth_to_native(predicted, time_s, native_s, self._smooth_s)
            parts[name] = moments_per_target(valence_arousal, trace)
        return fold_scores(parts, self._folds)

    def _read_labels(self, name: str) -> tuple[Floats, Floats]:
        """Of the native frames, and their times."""
        index = read_arrays(self._index[name], "valence_arousal", "time_s")
        return index["valence_arousal"], index["time_s"]
