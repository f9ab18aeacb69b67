"""Graphs of temporal networks are called with few shapes."""

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.inference.modules import joined_outputs


def test_recordings_of_many_lengths_meet_few_numbers_of_rows() -> None:
    asked: set[int] = set()

    def run(values: Floats, valid: Flags) -> list[Floats]:
        asked.add(len(values))
        return [2 * values, np.where(valid[..., None], values, 0)]

    predict = joined_outputs(run)
    rng = np.random.default_rng(0)
    for rows in range(1, 300, 7):
        values, valid = rng.standard_normal((rows, 4, 3)), rng.random((rows, 4)) > 0.5
        predicted = predict(values, valid)
        wanted = np.concatenate([2 * values, np.where(valid[..., None], values, 0)], axis=-1)
        np.testing.assert_array_equal(predicted, wanted)
    assert max(asked) <= 32
