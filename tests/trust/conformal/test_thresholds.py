import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robolearn.trust.conformal.thresholds import (
    TooFewWarning,
    control_risk,
    cqr_scores,
    exceeds,
    group_thresholds,
    smallest_number,
    threshold,
    threshold_rank,
    weighted_thresholds,
)

ALPHAS = st.integers(1, 99).map(lambda percent: percent / 100)


def interpolated(scores, alpha):
    """What published detectors do instead: no rank of n + 1, and an interpolation."""
    return float(np.quantile(scores, 1 - alpha))


def hits(rule, draws, n, num_new, alpha, seed=0):
    """Covered new scores of independent draws of calibration and new ones."""
    rng = np.random.default_rng(seed)
    return np.array([(rng.standard_normal(num_new) <= rule(rng.standard_normal(n), alpha)).sum() for _ in range(draws)])


def p_beta_binomial(counts, num_new, k, n):
    """p-value of a chi-square test against BetaBinomial(num_new, k, n + 1 - k) in ten equally likely bins."""
    expected = stats.betabinom(num_new, k, n + 1 - k)
    edges = np.unique(expected.ppf(np.linspace(0, 1, 11)[1:-1]))
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    shares = np.diff(np.concatenate([[0.0], expected.cdf(edges), [1.0]]))
    return stats.chisquare(seen, shares * len(counts)).pvalue


def test_coverage_is_exact():
    """500 draws, n = 100, N = 500, alpha 0.1: a right rule fails the mean in 3 of 1000 seeds, the shape in 1."""
    counts = hits(threshold, 500, 100, 500, 0.1)
    assert counts.mean() / 500 == pytest.approx(91 / 101, abs=0.0043)
    assert p_beta_binomial(counts, 500, 91, 100) > 0.001


def test_an_interpolated_quantile_fails_the_same_test():
    counts = hits(interpolated, 500, 100, 500, 0.1)
    assert abs(counts.mean() / 500 - 91 / 101) > 0.0043
    assert p_beta_binomial(counts, 500, 91, 100) < 0.001


def test_few_episodes_where_the_published_rule_fails():
    """20 episodes at alpha 0.05: false alarms of the right rule 1 / 21 in the mean, of the other 0.09."""
    right, other = (1 - hits(rule, 1000, 20, 100, 0.05).mean() / 100 for rule in (threshold, interpolated))
    assert right == pytest.approx(1 / 21, abs=0.005)
    assert other > 0.08


@pytest.mark.parametrize(("n", "alpha", "k"), [(9, 0.1, 9), (9, 0.7, 3), (19, 0.05, 19), (99, 0.1, 90), (10, 0.1, 10)])
def test_rank_is_that_of_the_written_alpha(n, alpha, k):
    assert threshold_rank(n, alpha) == k


@given(ALPHAS)
def test_the_smallest_number_is_the_smallest(alpha):
    n = smallest_number(alpha)
    assert threshold_rank(n, alpha) <= n
    assert n == 0 or threshold_rank(n - 1, alpha) > n - 1


@given(st.integers(0, 60), ALPHAS)
def test_too_few_scores_give_infinity_and_say_so(n, alpha):
    scores = np.arange(n, dtype=float)
    if n >= smallest_number(alpha) and n:
        assert threshold(scores, alpha) == threshold_rank(n, alpha) - 1
    else:
        with pytest.warns(TooFewWarning, match=f"at least {smallest_number(alpha)} are needed"):
            assert threshold(scores, alpha) == math.inf


def test_nan_never_passes_and_never_calibrates():
    assert exceeds(np.array([np.nan, 1.0, 3.0]), math.inf).tolist() == [True, False, False]
    assert exceeds(np.array([1.0, 3.0]), 2.0).tolist() == [False, True]
    with pytest.raises(ValueError, match="1 of 3 calibration scores are NaN"):
        threshold(np.array([1.0, np.nan, 2.0]), 0.5)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_alpha_is_a_probability(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
        threshold(np.zeros(5), alpha)


def test_each_group_has_its_own_threshold():
    scores, groups = np.arange(40.0), ["near", "far"] * 20
    thresholds = group_thresholds(scores, groups, 0.1)
    assert thresholds == {"near": threshold(scores[::2], 0.1), "far": threshold(scores[1::2], 0.1)}
    with pytest.raises(ValueError, match="40 scores have 1 groups"):
        group_thresholds(scores, ["near"], 0.1)


@given(st.integers(1, 50), ALPHAS, st.floats(0.1, 10))
def test_equal_weights_change_nothing(n, alpha, weight):
    scores = np.random.default_rng(n).standard_normal(n)
    (weighted,) = weighted_thresholds(scores, np.full(n, weight), np.full(1, weight), alpha)
    k = threshold_rank(n, alpha)
    assert weighted == (math.inf if k > n else np.sort(scores)[k - 1])


def test_without_weight_nothing_is_known():
    assert weighted_thresholds(np.zeros(0), np.zeros(0), np.ones(2), 0.1).tolist() == [math.inf] * 2
    assert weighted_thresholds(np.zeros(50), np.zeros(50), np.ones(1), 0.1).tolist() == [math.inf]
    assert weighted_thresholds(np.zeros(50), np.ones(50), np.full(1, 9.0), 0.1).tolist() == [math.inf]


def test_weights_mend_a_shift():
    """Calibration N(0, 1), test N(1, 1), score |x|: 300 draws, standard error 0.004."""
    rng = np.random.default_rng(0)
    plain, weighted = [], []
    for _ in range(300):
        x, new = rng.standard_normal(100), rng.standard_normal(50) + 1
        plain.append((np.abs(new) <= threshold(np.abs(x), 0.1)).mean())
        limits = weighted_thresholds(np.abs(x), np.exp(x - 0.5), np.exp(new - 0.5), 0.1)
        weighted.append((np.abs(new) <= limits).mean())
    assert np.mean(weighted) >= 0.9 - 3 * np.std(weighted) / math.sqrt(300)
    assert np.mean(plain) < 0.87


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite"):
        weighted_thresholds(np.zeros(2), np.array(weights), np.ones(1), 0.5)


def test_cqr_covers_whatever_the_quantiles_are():
    """400 draws of 60 and 60 with an absurd pair of quantiles: mean coverage 55 / 61."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        x, new = rng.random((2, 60))
        y, y_new = np.stack([x, new]) * rng.standard_normal((2, 60))
        q = threshold(cqr_scores(-x, x / 5, y), 0.1)
        covered.append((cqr_scores(-new, new / 5, y_new) <= q).mean())
    assert np.mean(covered) == pytest.approx(55 / 61, abs=0.01)


def test_risk_is_controlled():
    """Losses Bernoulli(1 - setting / 200), 2,000 draws of 50 episodes: the expected loss of the chosen setting.

    The margin is three standard errors: it fails by chance once in 700 times.
    """
    rng, alpha = np.random.default_rng(0), 0.2
    shares = 1 - np.arange(201) / 200
    chosen = [control_risk((rng.random((50, 1)) < shares).astype(float), alpha) for _ in range(2000)]
    risk = np.mean([shares[i] for i in chosen])
    assert alpha - 2 / 51 < risk <= alpha + 0.004


def test_risk_control_abstains_and_refuses():
    assert control_risk(np.ones((50, 3)), 0.1) is None
    assert control_risk(np.zeros((3, 2)), 0.1) is None  # three episodes cannot show it
    with pytest.raises(ValueError, match="grows"):
        control_risk(np.array([[0.0, 1.0]]), 0.1)
    with pytest.raises(ValueError, match="above the bound"):
        control_risk(np.array([[np.nan, 0.0]]), 0.1)
