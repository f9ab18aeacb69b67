"""Kernels, and coordinates in which they are inner products.

Everything is computed in float64, in blocks of bounded memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats

KERNELS = ("linear", "rbf")
BLOCK_BYTES = 1 << 28
JITTER = 1e-10
"""Added to the landmarks' kernel, relative to its diagonal: landmarks may coincide."""


def kernel_matrix(left: Floats, right: Floats, kernel: str, gamma: float) -> Floats:
    """Inner products, or exp(-gamma |x - y|^2). Shape: (m, d), (n, d) -> (m, n) float64."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    if kernel == "linear":
        return left @ right.T
    centre = right.mean(axis=0)  # distances don't change, but smaller numbers cancel less
    left, right = left - centre, right - centre
    distance = left @ (-2.0 * right.T)
    distance += np.einsum("nd,nd->n", left, left)[:, None]
    distance += np.einsum("nd,nd->n", right, right)
    np.maximum(distance, 0.0, out=distance)
    distance *= -gamma
    return np.asarray(np.exp(distance, out=distance))


def choose_landmarks(features: Floats, kernel: str, count: int, seed: int) -> Floats:
    """What the kernel is seen from: d unit vectors span every linear kernel; else a seeded sample of windows.

    Shape: (n, d) -> (m, d).
    """
    n, d = features.shape
    if kernel == "linear" and n > d:
        return np.eye(d)
    return features[np.sort(np.random.default_rng(seed).permutation(n)[:count])]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Coordinates in which the kernel, seen from landmarks, is an inner product (Williams, Seeger 2001)."""

    landmarks: Floats
    root: Floats
    kernel: str
    gamma: float

    @classmethod
    def of(cls, landmarks: Floats, kernel: str, gamma: float) -> "FeatureMap":
        """Factor the landmarks' own kernel. Shape: (m, d)."""
        own = kernel_matrix(landmarks, landmarks, kernel, gamma)
        own[np.diag_indices_from(own)] += JITTER * max(float(own.diagonal().mean()), 1e-300)
        return cls(landmarks, np.linalg.cholesky(own), kernel, gamma)

    def apply(self, features: Floats) -> Floats:
        """Shape: (n, d) -> (n, m)."""
        from scipy.linalg import solve_triangular

        seen = kernel_matrix(self.landmarks, features, self.kernel, self.gamma)
        return np.asarray(solve_triangular(self.root, seen, lower=True, check_finite=False).T)

    def as_beta(self, weights: Floats) -> Floats:
        """Turn weights of the coordinates into weights of the landmarks' kernel. Shape: (m, t) -> (m, t)."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.root, weights, lower=True, trans="T"))


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose float64 products with `columns` columns stay within BLOCK_BYTES."""
    height = max(1, BLOCK_BYTES // (8 * max(columns, 1)))
    return (slice(begin, begin + height) for begin in range(0, rows, height))
