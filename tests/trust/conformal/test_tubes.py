import numpy as np
import pytest

from robolearn.trust.conformal.thresholds import TooFewWarning
from robolearn.trust.conformal.tubes import tube, tube_scale, union_tube

STEPS = 20


def errors(rng, n):
    """Distances that grow along a predicted trajectory, and go together."""
    return np.abs(np.cumsum(rng.standard_normal((n, STEPS)), axis=1))


def coverage_and_radius(fit, draws=200, n=250):
    rng, covered, radii = np.random.default_rng(0), [], []
    for _ in range(draws):
        radius = fit(errors(rng, n), errors(rng, 100))
        covered.append((errors(rng, 100) <= radius).all(1).mean())
        radii.append(radius.mean())
    return np.array(covered), np.mean(radii)


def test_the_whole_trajectory_is_covered_and_more_tightly_than_by_the_union_bound():
    """250 episodes at alpha 0.1: 226 of 251 in the mean, standard error 0.002."""
    covered, radius = coverage_and_radius(lambda e, other: tube(e, tube_scale(other), 0.1))
    assert covered.mean() == pytest.approx(226 / 251, abs=3 * covered.std() / np.sqrt(200))
    loose, union_radius = coverage_and_radius(lambda e, other: union_tube(e, 0.1))
    assert loose.mean() > 0.92
    assert radius < 0.95 * union_radius


def test_a_threshold_per_step_does_not_cover_the_trajectory():
    covered, _ = coverage_and_radius(lambda e, other: np.quantile(e, 0.9, axis=0), draws=50)
    assert covered.mean() < 0.8


def test_few_episodes():
    e = errors(np.random.default_rng(0), 30)
    assert np.isfinite(tube(e, tube_scale(e), 0.1)).all()
    with pytest.warns(TooFewWarning, match="at least 199 are needed"):
        assert np.isinf(union_tube(e, 0.1)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_errors_that_tie_with_the_threshold_are_inside(dtype):
    """All errors are at their cap, which a quotient and a product must not round away."""
    shares = np.linspace(0.2, 1, 50, dtype=dtype)[:, None]
    for cap in np.arange(1, 1001, dtype=dtype) / dtype(1000):
        errors = np.full((50, 1), cap)
        radius = tube(errors, tube_scale(cap * shares), 0.1)
        assert cap <= radius[0] <= cap * (1 + 10 * np.finfo(dtype).eps)


def test_an_exact_step_has_no_radius():
    e = errors(np.random.default_rng(0), 30)
    e[:, 0] = 0
    assert tube(e, tube_scale(e), 0.1)[0] < 1e-9
