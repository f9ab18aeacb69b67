"""Train for a known number of epochs: a substitute for validation where all data is used for training."""

from torch import nn

from stages.training.loop import EpochRecord


class Until:
    """A `validate` function for `loop.fit` whose scores are highest at given epochs.

    Args:
        epochs: score -> the epoch whose weights to keep, counted from 1.
        stop_on: a further score, which rises until the last of these epochs; with a patience of 1 in it, the
            run ends one epoch later.
    """

    def __init__(self, epochs: dict[str, int], stop_on: str) -> None:
        self._epochs, self._stop_on, self._last = epochs, stop_on, max(epochs.values())
        self._done = 0

    def __call__(self, _model: nn.Module) -> dict[str, float]:
        """The scores of the epoch that follows the noted ones."""
        epoch = self._done + 1
        scores = {name: -float(abs(epoch - wanted)) for name, wanted in self._epochs.items()}
        return {self._stop_on: float(min(epoch, self._last))} | scores

    def note(self, record: EpochRecord) -> None:
        """Count an epoch; a resumed run notes its earlier epochs first."""
        self._done = record.epoch
