"""KELM: our fit against the textbook's, K = I / C + kernel in one matrix and `scipy.linalg.solve`.

    python benchmarks/kelm.py [--windows 4000] [--rounds 2] [--device cuda --windows 28000]

The same RBF kernel, C and targets; both in float64. Ours factors in panels, over the matrix itself, so that
the 28 000 windows of the real corpus fit; the last line is the largest difference of the predictions. On a
GPU ours hands the whole matrix to it; the textbook stays on the processor.
"""

import numpy as np
from measure import arguments, machine, save, table, take_turns
from scipy.linalg import solve
from scipy.spatial.distance import cdist

from stages.engine.runlog import peak_mb
from stages.temporal.kelm import fit_kelm

DIMENSIONS, C = 512, 10.0
GAMMA = 1 / DIMENSIONS


def textbook(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Equation 1, as written."""
    kernel = np.exp(-GAMMA * cdist(features, features, "sqeuclidean"))
    kernel[np.diag_indices_from(kernel)] += 1 / C
    return np.asarray(solve(kernel, targets, assume_a="pos", overwrite_a=True, check_finite=False))


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, windows=4000, rounds=2)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((chosen.windows, DIMENSIONS))
    targets = rng.uniform(-1, 1, (chosen.windows, 2))
    found: dict[str, np.ndarray] = {}
    peaks: dict[str, float] = {}

    def ours() -> None:
        found["ours"] = fit_kelm(features, targets, kernel="rbf", c=C, gamma=GAMMA, device=chosen.device).beta
        peaks.setdefault("ours", peak_mb())

    def direct() -> None:
        found["direct"] = textbook(features, targets)
        peaks.setdefault("direct", peak_mb())

    timings = take_turns({"ours": ours, "direct solve": direct}, chosen.rounds)
    ratio = timings["direct solve"].fastest_s / timings["ours"].fastest_s
    difference = np.abs(found["ours"] - found["direct"]).max() / np.abs(found["direct"]).max()
    save(
        chosen,
        "kelm",
        "KELM",
        [
            f"{chosen.windows} windows of {DIMENSIONS} numbers, RBF, float64. {machine(chosen.device)}",
            "",
            *table(timings, chosen.windows, "windows"),
            "",
            f"- ours against the direct solve: **{ratio:.2f} x**; beta differs by {difference:.1e}, relative",
            f"- peak memory of the process after ours {peaks['ours']:.0f} MB, after the direct one too "
            f"{peaks['direct']:.0f} MB",
        ],
    )


if __name__ == "__main__":
    main()
