import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robolearn.trust.conformal.misses import calibrate_detector, miss_threshold
from robolearn.trust.conformal.thresholds import TooFewWarning, exceeds, smallest_number, threshold

SHARES = st.integers(1, 99).map(lambda percent: percent / 100)


def interpolated(scores, beta):
    """The rule without the rank of m + 1."""
    return float(np.quantile(scores, beta))


def next_rank(scores, beta):
    """One rank too high."""
    return float(np.sort(scores)[math.floor((len(scores) + 1) * beta)])


def missed(rule, draws, m, num_new, beta, seed=0):
    """Missed new failures of independent draws of calibration and new ones."""
    rng = np.random.default_rng(seed)
    return np.array([(rng.standard_normal(num_new) <= rule(rng.standard_normal(m), beta)).sum() for _ in range(draws)])


def p_beta_binomial(counts, num_new, a, b):
    """p-value of a chi-square test against BetaBinomial(num_new, a, b) in ten equally likely bins."""
    expected = stats.betabinom(num_new, a, b)
    edges = np.unique(expected.ppf(np.linspace(0, 1, 11)[1:-1]))
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    shares = np.diff(np.concatenate([[0.0], expected.cdf(edges), [1.0]]))
    return stats.chisquare(seen, shares * len(counts)).pvalue


def is_exact(rule):
    """500 draws, m = 105, N = 500, beta 0.1, so that j = 10: a right rule fails in 4 of 1000 seeds."""
    counts = missed(rule, 500, 105, 500, 0.1)
    return abs(counts.mean() / 500 - 10 / 106) < 0.0043 and p_beta_binomial(counts, 500, 10, 96) > 0.001


def test_misses_are_exact():
    assert is_exact(miss_threshold)


@pytest.mark.parametrize("mutant", [interpolated, next_rank])
def test_wrong_ranks_miss_too_many(mutant):
    assert not is_exact(mutant)


def test_both_laws_hold_at_once():
    """Separable classes: false alarms of the one threshold follow Beta(n + 1 - k, k), misses stay below beta."""
    rng = np.random.default_rng(0)
    alarms, misses = [], []
    for _ in range(500):
        calibration = calibrate_detector(rng.standard_normal(100), rng.standard_normal(60) + 5, 0.1, 0.2)
        alarms.append(exceeds(rng.standard_normal(500), calibration.threshold).sum())
        misses.append((~exceeds(rng.standard_normal(500) + 5, calibration.threshold)).mean())
    assert p_beta_binomial(alarms, 500, 10, 91) > 0.001
    assert np.mean(misses) < 0.2


def overlapping(rule, draws=2000):
    """Shares of threshold given, and of given and wrong on a new episode of either class, where classes overlap."""
    rng, given, alarm, miss = np.random.default_rng(1), [], [], []
    for _ in range(draws):
        limit = rule(rng.standard_normal(20), rng.standard_normal(20) + 2.3)
        given.append(limit is not None)
        alarm.append(0.0 if limit is None else stats.norm.sf(limit))
        miss.append(0.0 if limit is None else stats.norm.cdf(limit - 2.3))
    return np.mean(given), np.mean(alarm), np.mean(miss), np.std(miss) / math.sqrt(draws)


def test_abstaining_keeps_both_promises_where_classes_overlap():
    given, alarm, miss, error = overlapping(lambda s, f: calibrate_detector(s, f, 0.2, 0.1).threshold)
    assert 0.2 < given < 0.98  # the case is neither trivial nor hopeless
    assert alarm <= 0.2 + 0.01
    assert miss <= 0.1 + 3 * error


def test_a_detector_that_never_abstains_misses_more():
    _, _, miss, error = overlapping(lambda s, f: threshold(s, 0.05))
    assert miss > 0.1 + 3 * error


def test_ties_are_not_missed():
    """All failures score alike, as a saturated score does: below that score none is missed, at it all are."""
    for dtype in (np.float32, np.float64):
        scores = np.full(50, 0.1, dtype)
        assert exceeds(scores, miss_threshold(scores, 0.1)).all()
        assert not exceeds(scores, float(scores[0])).any()
    calibration = calibrate_detector(np.zeros(50), np.zeros(50), 0.1, 0.1)  # a constant score tells nothing
    assert calibration.threshold is None
    assert calibration.least_beta == 1


def test_abstaining_says_what_each_side_costs():
    calibration = calibrate_detector(np.arange(100.0), np.arange(100.0) + 50, 0.1, 0.1)
    assert calibration.threshold is None
    assert calibration.lowest == 90  # the 91st of 0..99
    assert calibration.highest == np.nextafter(59.0, 0)  # below the 10th of 50..149
    assert calibration.least_beta == pytest.approx(42 / 101)  # failures 50..90
    assert calibration.least_alpha == pytest.approx(42 / 101)  # successes 59..99
    assert (
        "false alarms of 0.1 go with misses of 0.416, and misses of 0.1 with false alarms of 0.416"
        in calibration.reason
    )


@given(st.integers(1, 60), st.integers(1, 60), SHARES, SHARES, st.integers(0, 1000))
def test_the_least_shares_are_those_that_open_the_way(n, m, alpha, beta, seed):
    """Abstains exactly where the wanted share is below the least one that the other side leaves."""
    rng = np.random.default_rng(seed)
    successes, failures = rng.integers(0, 12, n).astype(float), rng.integers(4, 16, m).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TooFewWarning)
        calibration = calibrate_detector(successes, failures, alpha, beta)
    if math.isfinite(calibration.lowest) and math.isfinite(calibration.highest):
        assert (calibration.threshold is None) == (alpha < calibration.least_alpha) == (beta < calibration.least_beta)
    else:
        assert calibration.threshold is None


def test_few_successes_or_failures():
    with pytest.warns(TooFewWarning, match=r"8 failures .* at beta 0.1: at least 9 are needed"):
        assert miss_threshold(np.arange(8.0), 0.1) == -math.inf
    assert miss_threshold(np.arange(9.0), 0.1) == np.nextafter(0.0, -1)
    with pytest.warns(TooFewWarning, match="at least 9"):
        calibration = calibrate_detector(np.zeros(5), np.ones(50), 0.1, 0.1)
    assert calibration.threshold is None
    assert calibration.least_beta == 1


@given(SHARES)
def test_the_smallest_number_of_failures_is_the_smallest(beta):
    m = smallest_number(beta)
    if m:
        assert miss_threshold(np.zeros(m), beta) > -math.inf
    if m > 1:
        with pytest.warns(TooFewWarning):
            assert miss_threshold(np.zeros(m - 1), beta) == -math.inf


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ValueError, match="1 of 2 calibration scores are NaN"):
        calibrate_detector(np.zeros(20), np.array([0.0, np.nan]), 0.1, 0.5)
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 1.5"):
        miss_threshold(np.zeros(20), 1.5)
