"""KELM against numpy.linalg.solve on equation 1, on every road."""

from functools import partial

import numpy as np
import pytest
import torch

from stages.core.errors import ValaroError
from stages.temporal.kelm import Kelm, fit_kelm, gamma_scale, plan_solution, required_bytes
from stages.temporal.kernels import FeatureMap, choose_landmarks, kernel_matrix


def sample(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of two dimensions, and noise."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, d))
    targets = np.column_stack([np.sin(2 * features[:, 0]), features[:, 1] ** 2 - 0.3])
    return features, targets + rng.normal(0, 0.05, (n, 2))


def by_definition(left: np.ndarray, right: np.ndarray, kernel: str, gamma: float) -> np.ndarray:
    if kernel == "linear":
        return np.array([[a @ b for b in right] for a in left])
    return np.array([[np.exp(-gamma * ((a - b) ** 2).sum()) for b in right] for a in left])


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_kernels_are_their_definitions(kernel: str) -> None:
    left, right = sample(9, 4)[0] + 5, sample(7, 4, 1)[0] + 5
    np.testing.assert_allclose(
        kernel_matrix(left, right, kernel, 0.7), by_definition(left, right, kernel, 0.7), atol=1e-12
    )


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 40), (1, 3)])
def test_predictions_agree_with_equation_1(kernel: str, c: float, n: int, d: int) -> None:
    features, targets = sample(n, d)
    new = sample(30, d, seed=9)[0]
    beta = np.linalg.solve(np.eye(n) / c + by_definition(features, features, kernel, 0.5), targets)
    expected = by_definition(new, features, kernel, 0.5) @ beta
    found = fit_kelm(features, targets, kernel=kernel, c=c, gamma=0.5)
    np.testing.assert_allclose(found.predict(new), expected, atol=1e-6)
    if kernel == "rbf" or n <= d:
        np.testing.assert_allclose(found.beta, beta, atol=1e-6)


def test_a_gpu_without_room_leaves_it_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError

    features, targets = sample(20, 3)
    monkeypatch.setattr("stages.temporal.kelm.solve_on_device", full)
    found = fit_kelm(features, targets, kernel="rbf", c=1.0, gamma=0.5, device="cuda")
    np.testing.assert_array_equal(
        found.beta, fit_kelm(features, targets, kernel="rbf", c=1.0, gamma=0.5).beta
    )
    assert "cuda has too little memory for 20 windows" in "".join(capsys.readouterr())


def test_several_panels_agree_with_equation_1() -> None:
    features, targets = sample(1500, 6)
    machine = fit_kelm(features, targets, kernel="rbf", c=10.0, gamma=0.8)
    kernel = kernel_matrix(features, features, "rbf", 0.8)
    expected = np.linalg.solve(np.eye(1500) / 10 + kernel, targets)
    np.testing.assert_allclose(machine.beta, expected, atol=1e-6)


def test_nystroem_with_every_window_as_landmark_is_exact() -> None:
    features, targets = sample(200, 3)
    new = sample(50, 3, seed=1)[0]
    exact = fit_kelm(features, targets, kernel="rbf", c=10.0, gamma=1.0)
    seen = fit_kelm(features, targets, kernel="rbf", c=10.0, gamma=1.0, max_exact_windows=100, landmarks=200)
    np.testing.assert_allclose(seen.predict(new), exact.predict(new), atol=1e-6)


def test_nystroem_with_a_tenth_of_the_windows_is_close_and_seeded() -> None:
    features, targets = sample(1000, 3)
    new = sample(300, 3, seed=1)[0]
    settings = {"kernel": "rbf", "c": 10.0, "gamma": 0.5}
    exact = fit_kelm(features, targets, **settings)
    seen = [
        fit_kelm(features, targets, max_exact_windows=500, landmarks=100, seed=seed, **settings)
        for seed in (1, 1, 2)
    ]
    assert seen[0].support.shape == (100, 3)
    assert np.abs(seen[0].predict(new) - exact.predict(new)).max() < 0.02
    np.testing.assert_array_equal(seen[0].beta, seen[1].beta)
    assert not np.array_equal(seen[0].support, seen[2].support)


def test_a_linear_kernel_needs_no_more_than_d_weights() -> None:
    features, targets = sample(5000, 4)
    little = required_bytes(5000, 4) // 50
    machine = fit_kelm(
        features, targets, kernel="linear", c=1.0, max_exact_windows=10, available_bytes=little
    )
    weights = np.linalg.solve(features.T @ features + np.eye(4), features.T @ targets)
    assert machine.support.shape == (4, 4)
    np.testing.assert_allclose(machine.predict(np.eye(4)), weights, atol=1e-6)


def test_the_machine_survives_being_saved() -> None:
    features, targets = sample(50, 4)
    machine = fit_kelm(features.astype(np.float32), targets, kernel="rbf", c=2.0, gamma=0.3)
    again = Kelm.from_arrays(machine.to_arrays())
    np.testing.assert_array_equal(again.predict(features), machine.predict(features))
    assert (again.kernel, again.gamma, again.c) == ("rbf", 0.3, 2.0)


def test_predicting_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = sample(100, 4)
    machine = fit_kelm(features, targets, kernel="rbf", c=2.0, gamma=0.3)
    whole = machine.predict(features)
    monkeypatch.setattr("stages.temporal.kernels.BLOCK_BYTES", 8 * 100 * 7)
    np.testing.assert_allclose(machine.predict(features), whole, atol=1e-12)


def test_coinciding_windows_are_no_trouble() -> None:
    features, targets = sample(20, 3)
    twice = np.vstack([features, features])
    machine = fit_kelm(twice, np.vstack([targets, targets]), kernel="rbf", c=100.0, gamma=0.5)
    once = fit_kelm(features, targets, kernel="rbf", c=200.0, gamma=0.5)  # two equal windows weigh double
    np.testing.assert_allclose(machine.predict(features), once.predict(features), atol=1e-6)
    mapped = FeatureMap.of(twice, "rbf", 0.5)
    coordinates = mapped.apply(twice)
    np.testing.assert_allclose(
        coordinates @ coordinates.T, kernel_matrix(twice, twice, "rbf", 0.5), atol=1e-6
    )


def test_a_singular_kernel_with_a_huge_c_names_the_parameter() -> None:
    features = np.ones((40, 50))
    with pytest.raises(ValaroError, match=r"Leave it out of kelm\.c"):
        fit_kelm(features, np.ones((40, 2)), kernel="linear", c=1e30)


def test_memory_is_stated_before_it_is_taken() -> None:
    assert 3 * 2**30 < required_bytes(28_000, 768) < 5 * 2**30
    features, targets = sample(500, 4)
    with pytest.raises(
        ValaroError, match=r"500 windows of 4 .* needed, .* kelm.max_exact_windows \(now 900\) below 500"
    ):
        fit_kelm(
            features, targets, kernel="rbf", c=1.0, gamma=1.0, max_exact_windows=900, available_bytes=10**6
        )


@pytest.mark.parametrize(
    ("n", "d", "kernel", "solution"),
    [
        (500, 4, "rbf", "exact"),
        (501, 4, "rbf", "nystroem"),
        (501, 4, "linear", "linear"),
        (500, 600, "linear", "exact"),
        (501, 600, "linear", "nystroem"),
    ],
)
def test_the_road_is_known_beforehand(n: int, d: int, kernel: str, solution: str) -> None:
    """As `fit_kelm` takes it: the support tells."""
    planned, cost = plan_solution(n, d, kernel=kernel, max_exact_windows=500, landmarks=50)
    assert planned == solution
    assert f"{n} windows of {d} features, {solution} solution: " in cost
    features = np.random.default_rng(0).standard_normal((n, d))
    machine = fit_kelm(
        features, features[:, :2], kernel=kernel, c=1.0, gamma=0.1, max_exact_windows=500, landmarks=50
    )
    assert len(machine.support) == {"exact": n, "linear": d, "nystroem": 50}[solution]


def test_every_road_states_its_bytes_and_the_way_out() -> None:
    """Lowering the parameter that the message names does away with the error."""
    plan = partial(plan_solution, 28_000, 768, kernel="rbf", landmarks=4096)
    with pytest.raises(ValaroError, match=r"4\.\d GiB needed, 2\.0 GiB free\. Set kelm\.max_exact_windows"):
        plan(max_exact_windows=40_000, available_bytes=2 * 2**30)
    assert plan(max_exact_windows=20_000, available_bytes=2 * 2**30)[0] == "nystroem"
    with pytest.raises(ValaroError, match=r"nystroem solution: .* Lower kelm\.landmarks \(now 4096\)"):
        plan(max_exact_windows=20_000, available_bytes=2**29)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c": 0.0}, "C 0.0"),
        ({"kernel": "poly"}, "kernel 'poly'"),
        ({"gamma": 0.0}, "gamma 0.0"),
        ({"targets": np.full((10, 2), np.nan)}, "aren't finite"),
        ({"targets": np.zeros((9, 2))}, r"\(9, 2\)"),
        ({"features": np.zeros((0, 3)), "targets": np.zeros((0, 2))}, r"\(0, 3\)"),
    ],
)
def test_misuse_is_refused(change: dict[str, object], message: str) -> None:
    features, targets = sample(10, 3)
    settings = {"features": features, "targets": targets, "kernel": "rbf", "c": 1.0, "gamma": 1.0} | change
    with pytest.raises(ValueError, match=message):
        fit_kelm(**settings)  # type: ignore[arg-type]


def test_predict_refuses_other_dimensions_and_nan() -> None:
    machine = fit_kelm(*sample(10, 3), kernel="rbf", c=1.0, gamma=1.0)
    with pytest.raises(ValueError, match="fitted on 3"):
        machine.predict(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="finite"):
        machine.predict(np.full((2, 3), np.nan))


def test_gamma_scale_undoes_the_features_scale() -> None:
    features = sample(500, 6)[0]
    assert gamma_scale(features) == pytest.approx(1 / (6 / 3), rel=0.05)  # uniform on [-1, 1]: variance 1/3
    assert gamma_scale(10 * features) == pytest.approx(gamma_scale(features) / 100)
    assert gamma_scale(np.ones((5, 4))) == 0.25


def test_landmarks_are_windows_in_their_order() -> None:
    features = np.arange(100.0)[:, None] * np.ones(200)
    chosen = choose_landmarks(features, "linear", 10, seed=3)[:, 0]
    assert len(set(chosen)) == 10 and (np.diff(chosen) > 0).all()
