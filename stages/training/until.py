"""Train for a number of epochs that is known: what stands for validation where there is none left."""

from torch import nn

from stages.training.loop import EpochRecord


class Until:
    """Scores that are best at given epochs, and stop rising after the last of them.

    Args:
        epochs: score -> the epoch whose weights are wanted, from 1.
        stop_on: name of the score that rises until the last of them; with a patience of 1 the run ends there.
    """

    def __init__(self, epochs: dict[str, int], stop_on: str) -> None:
        self._epochs, self._stop_on, self._last = epochs, stop_on, max(epochs.values())
        self._done = 0

    def __call__(self, _model: nn.Module) -> dict[str, float]:
        """What stands for the scores of the epoch after those that were noted."""
        epoch = self._done + 1
        scores = {name: -float(abs(epoch - wanted)) for name, wanted in self._epochs.items()}
        return {self._stop_on: float(min(epoch, self._last))} | scores

    def note(self, record: EpochRecord) -> None:
        """Count an epoch; on resumption those of before come first."""
        self._done = record.epoch
