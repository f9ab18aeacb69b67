"""Kernel extreme learning machine: regularised least squares on kernels (paper, equation 1).

beta = (I / C + K)^-1 T, prediction K(x, D) beta: one solve gives valence and arousal. Three ways to solve it:

    exact     n support vectors, 4 n^2 bytes and n^3 / 3 multiplications (28 000 windows: about 4 GB)
    linear    n > d: the same predictions from d weights, at any n (d support vectors: the unit vectors)
    Nystroem  RBF, n > max_exact_windows: the kernel as seen from a seeded sample of the windows

Everything is computed in float64. Features are taken as they are; `Normaliser.fit("standard", [features])`
standardises them where wanted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import ValaroError
from stages.engine.progress import say
from stages.temporal.cholesky import factor_bytes, solve_in_panels, solve_on_device
from stages.temporal.kernels import BLOCK_BYTES, KERNELS, FeatureMap, blocks, choose_landmarks, kernel_matrix

Solution = Literal["exact", "linear", "nystroem"]


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
        return {"support": self.support, "beta": self.beta, "settings": settings}

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
    device: str = "cpu",
) -> Kelm:
    """Fit by the cheapest exact method; by Nystroem beyond max_exact_windows.

    Shape: (n, d), (n, t).

    Args:
        features: one row per window.
        targets: its labels; the caller drops windows without a label.
        kernel: one of KERNELS.
        c: C of equation 1, > 0; larger fits closer.
        gamma: of the RBF kernel, > 0 there.
        max_exact_windows: most windows for the exact RBF solution.
        landmarks: windows that Nystroem compares with.
        seed: draws the landmarks.
        available_bytes: memory the exact solution may take; None asks the machine.
        device: where the exact solution is computed; a GPU that has too little memory leaves it to the CPU.

    Raises:
        ValueError: shapes don't match, a value isn't finite, or an argument is out of its range.
        ValaroError: the memory doesn't suffice, or C is too large for a singular kernel.
    """
    check_training_set(features, targets)
    if kernel not in KERNELS or not c > 0 or (kernel == "rbf" and not gamma > 0):
        raise ValueError(f"kernel {kernel!r}, C {c}, gamma {gamma}: C and (for rbf) gamma must be > 0")
    solution, _cost = plan_solution(
        *features.shape,
        kernel=kernel,
        max_exact_windows=max_exact_windows,
        landmarks=landmarks,
        available_bytes=available_bytes,
    )
    if solution == "exact":
        return _fit_exact(features, targets, kernel, c, gamma, device)
    seen_from = choose_landmarks(features, kernel, landmarks, seed)
    return _fit_mapped(features, targets, FeatureMap.of(seen_from, kernel, gamma), c)


def plan_solution(
    n: int, d: int, *, kernel: str, max_exact_windows: int, landmarks: int, available_bytes: int | None = None
) -> tuple[Solution, str]:
    """Which method `fit_kelm` uses for n windows of d dimensions, and its cost, as a sentence.

    Args:
        n: windows.
        d: dimensions.
        kernel: one of KERNELS.
        max_exact_windows: most windows for the exact solution.
        landmarks: windows that Nystroem compares with.
        available_bytes: free memory; None asks the machine.

    Raises:
        ValaroError: the memory doesn't suffice; says what is needed, what is free, and the way out.
    """
    if kernel == "linear" and n > d:
        solution: Solution = "linear"
        needed = mapped_bytes(n, d, d)
    elif n > max_exact_windows:
        solution, needed = "nystroem", mapped_bytes(n, d, min(n, landmarks))
    else:
        solution, needed = "exact", required_bytes(n, d)
    if available_bytes is None:
        import psutil

        available_bytes = int(psutil.virtual_memory().available)
    memory = f"{_size(needed)} needed, {_size(available_bytes)} free"
    cost = f"{n} windows of {d} features, {solution} solution: {memory}"
    if needed > available_bytes:
        remedy = (
            f"Set kelm.max_exact_windows (now {max_exact_windows}) below {n} to fit on a sample of landmarks"
            if solution == "exact"
            else f"Lower kelm.landmarks (now {landmarks}), or use a machine with more memory"
        )
        raise ValaroError(f"KELM: {cost}. {remedy}.")
    return solution, cost


def required_bytes(n: int, d: int) -> int:
    """Peak memory of the exact solution with n windows of d dimensions, twice the features included."""
    return factor_bytes(n) + 2 * 8 * n * d


def mapped_bytes(n: int, d: int, m: int) -> int:
    """Peak memory of the solutions by m weights: the features, some m x m matrices, and blocks of rows."""
    return 8 * n * d + 4 * 8 * m * m + 4 * min(BLOCK_BYTES, 8 * n * m)


def _size(count: int) -> str:
    """Bytes for people: 3.2 GiB, 45 MiB, 12 KiB."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


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


def _fit_exact(features: Floats, targets: Floats, kernel: str, c: float, gamma: float, device: str) -> Kelm:
    rows = features.astype(np.float64)

    def panel(begin: int, end: int) -> Floats:
        return _regularised(kernel_matrix(rows[begin:], rows[begin:end], kernel, gamma), c)

    try:
        beta = _solve(panel, targets, device)
    except np.linalg.LinAlgError:
        raise ValaroError(_singular(c)) from None
    return Kelm(features, beta, kernel, gamma, c)


def _solve(panel: Callable[[int, int], Floats], targets: Floats, device: str) -> Floats:
    if device == "cpu":
        return solve_in_panels(panel, targets)
    from torch import OutOfMemoryError

    try:
        return solve_on_device(panel, targets, device)
    except OutOfMemoryError:
        say(f"kelm: {device} has too little memory for {len(targets)} windows; the CPU solves it")
        return solve_in_panels(panel, targets)


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
