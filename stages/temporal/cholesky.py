"""Solve a large symmetric positive definite system, holding only the lower half of its matrix.

    1. The lower triangle is cut into panels of `block` columns; each is made when its turn comes.
    2. What the finished panels contribute is subtracted from it (matrix products, nearly all of the work).
    3. Its square corner is factored, the rest solved against the corner.
    4. Forward and backward substitution run over the panels.

The factor takes about 4 n^2 bytes, half of what the whole matrix would; no library call sees a triangle
larger than one block.
"""

from collections.abc import Callable

import numpy as np

from stages.core.arrays import Floats

BLOCK = 1024


def solve_in_panels(panel: Callable[[int, int], Floats], right: Floats, block: int = BLOCK) -> Floats:
    """Solve A X = B without ever holding the whole of A.

    Shape: B is (n, t) -> (n, t) float64.

    Args:
        panel: panel(begin, end) is a new array A[begin:, begin:end], float64; it is overwritten.
        right: B.
        block: columns in a panel.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.
    """
    from scipy.linalg import solve_triangular

    begins = range(0, len(right), block)
    panels: list[Floats] = []
    for begin in begins:
        panels.append(_factored(panel(begin, min(begin + block, len(right))), panels, begins))
    solution = right.astype(np.float64)
    for begin, factor in zip(begins, panels, strict=True):
        width = factor.shape[1]
        here, below = slice(begin, begin + width), slice(begin + width, None)
        solution[here] = solve_triangular(factor[:width], solution[here], lower=True)
        solution[below] -= factor[width:] @ solution[here]
    for begin, factor in zip(reversed(begins), reversed(panels), strict=True):
        width = factor.shape[1]
        here, below = slice(begin, begin + width), slice(begin + width, None)
        rest = solution[here] - factor[width:].T @ solution[below]
        solution[here] = solve_triangular(factor[:width], rest, lower=True, trans="T")
    return solution


def solve_on_device(
    panel: Callable[[int, int], Floats], right: Floats, device: str, block: int = BLOCK
) -> Floats:
    """Solve A X = B by PyTorch, with the whole of A on a GPU: there 16 n^2 bytes (n = 28 000: 12.5 GB).

    Shape: B is (n, t) -> (n, t) float64.

    Args:
        panel: as for `solve_in_panels`; the host holds one at a time.
        right: B.
        device: a name PyTorch knows.
        block: columns in a panel.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.
        torch.OutOfMemoryError: the device has too little memory.
    """
    import torch

    n = len(right)
    matrix = torch.zeros(n, n, dtype=torch.float64, device=device)
    for begin in range(0, n, block):
        end = min(begin + block, n)
        matrix[begin:, begin:end] = torch.from_numpy(panel(begin, end)).to(device)
    factor, failed = torch.linalg.cholesky_ex(matrix)  # reads the lower half only
    if failed:
        raise np.linalg.LinAlgError(f"not positive definite at row {int(failed)}")
    known = torch.from_numpy(right.astype(np.float64)).to(device)
    solution: Floats = torch.cholesky_solve(known, factor).cpu().numpy()
    return solution


def factor_bytes(n: int, block: int = BLOCK) -> int:
    """Peak memory of `solve_in_panels`: the lower half in panels, and four panels of working space."""
    widths = [(n - begin, min(block, n - begin)) for begin in range(0, n, block)]
    return 8 * (sum(rows * width for rows, width in widths) + 4 * n * min(block, n))


def _factored(panel: Floats, before: list[Floats], begins: range) -> Floats:
    """Columns of the Cholesky factor, from the same columns of A and the factor's columns before them."""
    from scipy.linalg import solve_triangular

    width = panel.shape[1]
    begin = begins[len(before)]
    for done_begin, done in zip(begins, before, strict=False):
        rows = done[begin - done_begin :]
        panel -= rows @ rows[:width].T
    corner = np.linalg.cholesky(panel[:width])
    panel[:width] = corner
    panel[width:] = solve_triangular(corner, panel[width:].T, lower=True, check_finite=False).T
    return panel
