"""The panel solver against numpy's."""

import numpy as np
import pytest

from stages.temporal.cholesky import factor_bytes, solve_in_panels, solve_on_device


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


@pytest.mark.parametrize(("n", "block"), [(1, 4), (7, 3), (65, 16)])
def test_pytorch_solves_the_same(n: int, block: int) -> None:
    _solves_the_same("cpu", n, block)


@pytest.mark.gpu
def test_a_gpu_solves_the_same(cuda: str) -> None:
    _solves_the_same(cuda, 3000, 1024)


def _solves_the_same(device: str, n: int, block: int) -> None:
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n))
    matrix = root @ root.T / n + np.eye(n)
    right = rng.standard_normal((n, 2))
    found = solve_on_device(lambda begin, end: matrix[begin:, begin:end].copy(), right, device, block)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), atol=1e-9)


def test_pytorch_refuses_an_indefinite_matrix() -> None:
    matrix = np.diag([1.0, 2.0, -1.0, 1.0])
    with pytest.raises(np.linalg.LinAlgError, match="row 3"):
        solve_on_device(lambda begin, end: matrix[begin:, begin:end].copy(), np.ones((4, 1)), "cpu", block=2)


def test_half_of_the_matrix_is_held() -> None:
    assert factor_bytes(28_000) == pytest.approx(28_000**2 * 4, rel=0.35)
