"""Dirichlet weighted fusion: a draw of weights judged from moments, against fusing and scoring every frame.

    python benchmarks/dwf.py [--frames 1000000] [--draws 1000000]

The authors fuse all frames for every draw and compute CCC of both targets. CCC of a weighted sum needs the
models' means and covariances only, so ours reads the frames once. Times are per draw; that of ours includes
gathering the moments, shared out over the draws, and the search for the best. Both must name the same CCC.
"""

import time

import numpy as np
from measure import arguments, machine, save

from stages.core.measures import ccc_per_target
from stages.fusion.dirichlet import best_weights, ccc_of_weights, fuse, target_moments

MODELS, PUBLISHED_DRAWS = 3, 5


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, frames=1_000_000, draws=1_000_000, rounds=3)
    rng = np.random.default_rng(0)
    truth = np.tanh(rng.standard_normal((chosen.frames, 2))).astype(np.float32)
    noise = rng.standard_normal((chosen.frames, MODELS, 2), dtype=np.float32)
    stacks = np.clip(0.6 * truth[:, None] + 0.4 * noise, -1, 1)
    weights = rng.dirichlet(np.ones(MODELS), (PUBLISHED_DRAWS, 2)).transpose(0, 2, 1)

    began = time.perf_counter()
    scored = np.array([ccc_per_target(truth, fuse(stacks, drawn)) for drawn in weights])
    frames_s = (time.perf_counter() - began) / PUBLISHED_DRAWS

    rounds = []
    for _ in range(chosen.rounds):
        began = time.perf_counter()
        moments = target_moments(truth, stacks)
        gathered_s = time.perf_counter() - began
        best_weights(moments, draws=chosen.draws, refine=False)
        rounds.append((time.perf_counter() - began, gathered_s))
    total_s, gathered_s = min(rounds)
    ours_s = total_s / chosen.draws
    same = np.array([[ccc_of_weights(m, w[:, t][None])[0] for t, m in enumerate(moments)] for w in weights])
    save(
        chosen,
        "dwf",
        "Dirichlet weighted fusion",
        [
            f"{chosen.frames:,} frames, {MODELS} models, valence and arousal. {machine()}",
            "",
            "| | a draw, s | draws |",
            "|---|---|---|",
            f"| fusing and scoring frames | {frames_s:.3g} | {PUBLISHED_DRAWS} |",
            f"| ours | {ours_s:.3g} | {chosen.draws:,} in {total_s:.2f} s, moments {gathered_s:.2f} s |",
            "",
            f"- **{frames_s / ours_s:,.0f} x**; largest difference of CCC: {np.abs(same - scored).max():.1e}",
        ],
    )


if __name__ == "__main__":
    main()
