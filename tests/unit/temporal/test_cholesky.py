"""The panel solver against numpy's."""

import numpy as np
import pytest

from stages.temporal.cholesky import factor_bytes, solve_in_panels


@pytest.mark.parametrize(("n", "block"), [(1, 4), (7, 3), (64, 16), (65, 16), (200, 1024)])
def test_it_solves_what_numpy_solves(n: int, block: int) -> None:
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n))
    matrix = root @ root.T + np.eye(n)
    right = rng.standard_normal((n, 2))
    kept = right.copy()
    found = solve_in_panels(lambda begin, end: matrix[begin:, begin:end].copy(), right, block)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), atol=1e-9)
    np.testing.assert_array_equal(right, kept)


def test_an_indefinite_matrix_is_refused() -> None:
    matrix = np.diag([1.0, 2.0, -1.0, 1.0])
    with pytest.raises(np.linalg.LinAlgError):
        solve_in_panels(lambda begin, end: matrix[begin:, begin:end].copy(), np.ones((4, 1)), block=2)


def test_half_of_the_matrix_is_held() -> None:
    assert factor_bytes(28_000) == pytest.approx(28_000**2 * 4, rel=0.35)
