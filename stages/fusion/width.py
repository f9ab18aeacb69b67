"""Systems weighed by how sure each is: the widths of their intervals, frame by frame.

With w_m the width of system m's interval at a frame, the mean by inverse squared width,

    sum_m prediction_m w_m^-2 / sum_m w_m^-2,

is the best estimate from independent errors of such spreads. It stands beside the systems as one more column
of the stack: Dirichlet weights then say how far to follow it, and never leave the systems' own range. A
forest gets the widths themselves as columns, and may split by them.
"""

import numpy as np

from stages.core.arrays import Floats

WIDEST = 2.0
"""From -1 to 1: of a system that says nothing."""
NARROWEST = 0.02


def with_surest(stack: Floats, widths: Floats) -> Floats:
    """The systems, and their mean by inverse squared width. Shape: (N, M, C), (N, M, C) -> (N, M + 1, C).

    >>> stack, widths = np.array([[[0.0], [1.0]]]), np.array([[[0.2], [0.4]]])
    >>> with_surest(stack, widths)[0, :, 0].round(3).tolist()
    [0.0, 1.0, 0.2]
    """
    trust = 1 / np.maximum(widths, NARROWEST) ** 2
    mean = (stack * trust).sum(axis=1, keepdims=True) / trust.sum(axis=1, keepdims=True)
    return np.concatenate([stack, mean], axis=1)


def with_widths(stack: Floats, widths: Floats) -> Floats:
    """The systems, then their widths. Shape: (N, M, C), (N, M, C) -> (N, 2 M, C)."""
    return np.concatenate([stack, widths], axis=1)
