"""Weight systems by their confidence: the width of each one's interval at each frame.

With w_m the width of system m's interval at a frame, the mean by inverse squared width,

    sum_m prediction_m w_m^-2 / sum_m w_m^-2,

is the best linear estimate if the errors are independent and their standard deviations proportional to the
widths (inverse-variance weighting). Dirichlet-weighted fusion gets it as one more column of the stack and
chooses its weight like that of a system, so the result stays between the systems' predictions. A random
forest gets the widths themselves as columns and can split on them.
"""

import numpy as np

from stages.core.arrays import Floats

WIDEST = 2.0
"""The whole range, -1 to 1: the width of a system without an interval."""
NARROWEST = 0.02
"""Lower limit of a width, so that its inverse square stays finite."""


def with_precision_weighted_mean(stack: Floats, widths: Floats) -> Floats:
    """Append the mean of the systems by inverse squared width to the stack.

    Shape: (N, M, C), (N, M, C) -> (N, M + 1, C).

    >>> stack, widths = np.array([[[0.0], [1.0]]]), np.array([[[0.2], [0.4]]])
    >>> with_precision_weighted_mean(stack, widths)[0, :, 0].round(3).tolist()
    [0.0, 1.0, 0.2]
    """
    trust = 1 / np.maximum(widths, NARROWEST) ** 2
    mean = (stack * trust).sum(axis=1, keepdims=True) / trust.sum(axis=1, keepdims=True)
    return np.concatenate([stack, mean], axis=1)


def with_widths(stack: Floats, widths: Floats) -> Floats:
    """Append the widths to the stack. Shape: (N, M, C), (N, M, C) -> (N, 2 M, C)."""
    return np.concatenate([stack, widths], axis=1)
