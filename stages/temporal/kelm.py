"""Kernel extreme learning machine: regularised least squares on kernels (paper, equation 1).

beta = (I / C + K)^-1 T, prediction K(x, D) beta: one solve serves valence and arousal. Three roads to it:

    exact     n support vectors, 4 n^2 bytes and n^3 / 3 multiplications (28 000 windows: about 4 GB)
    linear    n > d: the same predictions from d weights, at any n (d support vectors: the unit vectors)
    Nystroem  RBF, n > max_exact_windows: the kernel as seen from a seeded sample of the windows

Everything is computed in float64. Features are taken as they are; `Normaliser.fit("standard", [features])`
standardises them where wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import ValaroError
from stages.temporal.cholesky import factor_bytes, solve_in_panels
from stages.temporal.kernels import KERNELS, FeatureMap, blocks, choose_landmarks, kernel_matrix


@dataclass(frozen=True, eq=False)
class Kelm:
    """A fitted machine.

    Attributes:
        support: (n, d) the windows (or landmarks, or unit vectors) that new ones are compared with.
        beta: (n, t) float64, equation 1's weights.
        kernel: one of KERNELS.
        gamma: of exp(-gamma |x - y|^2); 0 for the linear kernel.
        c: the C of equation 1.
    """

    support: Floats
    beta: Floats
    kernel: str
    gamma: float
    c: float

    def predict(self, features: Floats) -> Floats:
        """Predict in blocks of bounded memory.

        Shape: (m, d) -> (m, t) float64.

        Raises:
            ValueError: d isn't what was fitted, or a value isn't finite.
        """
        if features.ndim != 2 or features.shape[1] != self.support.shape[1]:
            raise ValueError(f"features are {features.shape}, fitted on {self.support.shape[1]} dimensions")
        if not np.isfinite(features).all():
            raise ValueError("features hold values that aren't finite")
        predicted = np.empty((len(features), self.beta.shape[1]))
        for rows in blocks(len(features), len(self.support)):
            predicted[rows] = kernel_matrix(features[rows], self.support, self.kernel, self.gamma) @ self.beta
        return predicted

    def to_arrays(self) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        settings = np.array([KERNELS.index(self.kernel), self.gamma, self.c])
        return {"support": np.ascontiguousarray(self.support), "beta": self.beta, "settings": settings}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Kelm":
        """The inverse of `to_arrays`."""
        index, gamma, c = (float(value) for value in arrays["settings"])
        return cls(arrays["support"], arrays["beta"], KERNELS[int(index)], gamma, c)


def fit_kelm(
    features: Floats,
    targets: Floats,
    *,
    kernel: str,
    c: float,
    gamma: float = 0.0,
    max_exact_windows: int = 40_000,
    landmarks: int = 4096,
    seed: int = 0,
    available_bytes: int | None = None,
) -> Kelm:
    """Fit by the cheapest road that is exact; by Nystroem beyond max_exact_windows.

    Shape: (n, d), (n, t).

    Args:
        features: one row per window.
        targets: its labels; windows without label are the caller's to drop.
        kernel: one of KERNELS.
        c: C of equation 1, > 0; larger fits closer.
        gamma: of the RBF kernel, > 0 there.
        max_exact_windows: most windows for the exact RBF solution.
        landmarks: windows that Nystroem compares with.
        seed: draws the landmarks.
        available_bytes: memory the exact solution may take; None asks the machine.

    Raises:
        ValueError: shapes don't match, a value isn't finite, or an argument is out of its range.
        ValaroError: the memory doesn't suffice, or C is too large for a singular kernel.
    """
    check_training_set(features, targets)
    if kernel not in KERNELS or not c > 0 or (kernel == "rbf" and not gamma > 0):
        raise ValueError(f"kernel {kernel!r}, C {c}, gamma {gamma}: C and (for rbf) gamma must be > 0")
    n, d = features.shape
    if n > max_exact_windows or (kernel == "linear" and n > d):
        seen_from = choose_landmarks(features, kernel, landmarks, seed)
        return _fit_mapped(features, targets, FeatureMap.of(seen_from, kernel, gamma), c)
    _require_memory(n, d, max_exact_windows, available_bytes)
    return _fit_exact(features, targets, kernel, c, gamma)


def required_bytes(n: int, d: int) -> int:
    """Peak memory of the exact solution with n windows of d dimensions, twice the features included."""
    return factor_bytes(n) + 2 * 8 * n * d


def gamma_scale(features: Floats) -> float:
    """The gamma that suits the features' spread, 1 / (d x their variance): the unit of a search grid.

    Shape: (n, d) -> scalar.
    """
    variance = float(np.var(features, axis=0, dtype=np.float64).mean())
    return 1.0 / (features.shape[1] * (variance or 1.0))


def ridge(gram: Floats, cross: Floats, c: float) -> Floats:
    """(gram + I / C)^-1 cross. Shape: (m, m), (m, t) -> (m, t)."""
    return solve_in_panels(lambda begin, end: _regularised(gram[begin:, begin:end].copy(), c), cross)


def check_training_set(features: Floats, targets: Floats) -> None:
    """Raise a ValueError unless there are as many finite features as finite targets, and some."""
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets) or not features.size:
        raise ValueError(f"features {features.shape}, targets {targets.shape}: (n, d) and (n, t), n, d >= 1")
    if not (np.isfinite(features).all() and np.isfinite(targets).all()):
        raise ValueError("features or targets hold values that aren't finite; drop unlabelled windows")


def _regularised(panel: Floats, c: float) -> Floats:
    """Add 1 / C to the diagonal, in place; the panel's first row is on it."""
    panel[np.arange(panel.shape[1]), np.arange(panel.shape[1])] += 1.0 / c
    return panel


def _fit_exact(features: Floats, targets: Floats, kernel: str, c: float, gamma: float) -> Kelm:
    rows = features.astype(np.float64)

    def panel(begin: int, end: int) -> Floats:
        return _regularised(kernel_matrix(rows[begin:], rows[begin:end], kernel, gamma), c)

    try:
        beta = solve_in_panels(panel, targets)
    except np.linalg.LinAlgError:
        raise ValaroError(_singular(c)) from None
    return Kelm(features, beta, kernel, gamma, c)


def _fit_mapped(features: Floats, targets: Floats, mapped: FeatureMap, c: float) -> Kelm:
    m = len(mapped.landmarks)
    gram, cross = np.zeros((m, m)), np.zeros((m, targets.shape[1]))
    for rows in blocks(len(features), m):
        coordinates = mapped.apply(features[rows])
        gram += coordinates.T @ coordinates
        cross += coordinates.T @ targets[rows]
    try:
        weights = ridge(gram, cross, c)
    except np.linalg.LinAlgError:
        raise ValaroError(_singular(c)) from None
    return Kelm(mapped.landmarks, mapped.as_beta(weights), mapped.kernel, mapped.gamma, c)


def _singular(c: float) -> str:
    return f"KELM: the kernel is singular and C = {c:g} regularises it too little. Leave it out of kelm.c."


def _require_memory(n: int, d: int, max_exact_windows: int, available: int | None) -> None:
    if available is None:
        import psutil

        available = int(psutil.virtual_memory().available)
    needed = required_bytes(n, d)
    if needed > available:
        raise ValaroError(
            f"KELM on {n} windows needs {needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are free. "
            f"Set kelm.max_exact_windows (now {max_exact_windows}) below {n} to fit on a sample of landmarks."
        )
