"""Widths of the systems' intervals: each fit is made once, and none has seen what it tells."""

import numpy as np
import pytest

from stages.core.params import IntervalParams
from stages.evaluation.difficulty import View
from stages.fusion import part_intervals
from stages.fusion.part_intervals import Evidence, PartFits, PartInterval, SystemWidths
from stages.fusion.width import WIDEST

SETTINGS = IntervalParams(coverage=0.9, trees=3, depth=2, rate=0.5, min_leaf=5, rows=500, landmarks=1, seed=0)
STEPS, FOLDS = 40, 4


def evidence_and_traces(seed: int = 0) -> tuple[dict[str, Evidence], dict[str, np.ndarray]]:
    """One subject a fold."""
    rng, evidence, traces = np.random.default_rng(seed), {}, {}
    for fold in range(FOLDS):
        common = tuple(rng.random((9, STEPS)))
        truth = rng.uniform(-1, 1, (STEPS, 2))
        evidence[f"s{fold}"] = Evidence(View(np.arange(STEPS) / 5, 5, common, None, None), truth, fold)
        traces[f"s{fold}"] = truth + rng.normal(0, 0.2, truth.shape)
    return evidence, traces


def test_each_fit_is_made_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without folds a and b: the same whichever is scored, as long as both picked the same traces."""
    evidence, traces = evidence_and_traces()
    made, fit_part = [], part_intervals.fit_part
    monkeypatch.setattr(part_intervals, "fit_part", lambda *given: made.append(0) or fit_part(*given))
    fits = PartFits(evidence, SETTINGS)
    found = [fits.widths(traces, without) for without in (None, *range(FOLDS))]
    fits.part(traces)
    assert len(made) == 1 + FOLDS + FOLDS * (FOLDS - 1) // 2, "none, one or two folds left out"
    for without, widths in zip((None, *range(FOLDS)), found, strict=True):
        own = PartFits(evidence, SETTINGS).widths(traces, without)
        assert all((own[name] == widths[name]).all() for name in traces)
    other = {name: trace + 0.1 for name, trace in traces.items()}
    before = len(made)
    changed = fits.widths(other, None)
    assert len(made) == before + FOLDS, "other traces are other fits"
    assert any((changed[name] != found[0][name]).any() for name in traces)


def test_nothing_left_to_fit_on_is_knowing_nothing() -> None:
    evidence, traces = evidence_and_traces()
    one = {"s0": evidence["s0"]}
    assert (PartFits(one, SETTINGS).widths({"s0": traces["s0"]}, None)["s0"] == WIDEST).all()


def test_widths_come_back_from_plain_arrays() -> None:
    evidence, traces = evidence_and_traces()
    fits = PartFits(evidence, SETTINGS)
    whole = fits.widths(traces, None)
    by_fold = {name: np.stack([widths] * 2) for name, widths in whole.items()}
    time_s = {name: each.view.time_s for name, each in evidence.items()}
    for part in (fits.part(traces), PartInterval(None)):
        back = SystemWidths.from_arrays(SystemWidths(part, whole, by_fold, time_s).to_arrays())
        view, trace = evidence["s1"].view, traces["s1"]
        np.testing.assert_array_equal(back.part.widths(view, trace), part.widths(view, trace))
        for kept, known in ((back.whole, whole), (back.by_fold, by_fold), (back.time_s, time_s)):
            assert kept.keys() == known.keys()
            assert all((kept[name] == known[name]).all() for name in known)
