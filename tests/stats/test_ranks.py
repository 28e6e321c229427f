import numpy as np
import pytest
from scipy import stats

from robolearn.stats.ranks import (
    FEW,
    kendall,
    kendall_estimate,
    rank_correlation,
    rank_correlation_estimate,
    ranks,
    roc_auc,
)


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_rank_correlation_is_scipys_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=200).astype(float)
    y = x + levels * rng.random(200).round(1)
    np.testing.assert_allclose(ranks(x) + 1, stats.rankdata(x))
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert rank_correlation(x, np.exp(x / levels)) == pytest.approx(1.0)


def test_a_constant_score_ranks_nothing():
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="1 of 3 values are NaN"):
        rank_correlation(np.array([0.0, np.nan, 1.0]), np.arange(3.0))
    with pytest.raises(ValueError, match="1 of 3 values are NaN"):
        roc_auc(np.array([0.0, np.nan, 1.0]), np.array([True, False, True]))


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_an_order_is_that_of_the_numbers_whatever_their_type(kind):
    assert kendall(np.array([1, 2, 3], kind), np.array([3, 2, 1], kind)) == -1
    assert kendall(np.array([True, False, True]), np.array([1, 0, 1], kind)) == 1


def share_containing_zero(as_episodes):
    """Of 95 % intervals of independent scores and errors that are alike within an episode."""
    rng, contained = np.random.default_rng(0), []
    for _ in range(50):
        x, y = (np.repeat(rng.normal(size=(30, 1)), 8, axis=1) + 0.01 * rng.normal(size=(30, 8)) for _ in range(2))
        x, y = (v if as_episodes else v.reshape(-1, 1) for v in (x, y))
        correlation = rank_correlation_estimate(x, y, num_resamples=100)
        assert correlation.value == rank_correlation(x.ravel(), y.ravel())
        contained.append(correlation.low <= 0 <= correlation.high)
    return np.mean(contained)


def test_the_interval_is_over_episodes():
    """Over frames it would be too narrow by the root of 8."""
    assert share_containing_zero(as_episodes=True) > 0.87
    assert share_containing_zero(as_episodes=False) < 0.7


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_an_area_needs_two_classes(positive):
    with pytest.raises(ValueError, match=f"two classes, got {sum(positive)} positives of 2"):
        roc_auc(np.zeros(2), np.array(positive))


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_tau_is_scipys_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=(4, 30)).astype(float)
    y = x + levels * rng.random((4, 30)).round(1)
    expected = [stats.kendalltau(a, b, variant="b").statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(kendall(x, y), expected)
    assert kendall(x[0], -x[0]) == pytest.approx(-1.0)


def test_the_interval_of_tau_covers_the_tau_of_all_things():
    """95 % intervals of 12 of many things; at 12 a percentile interval covers less than it says, in 0.9 or so."""
    rng, covered = np.random.default_rng(0), []
    x = rng.normal(size=2000)
    y = x + rng.normal(size=2000)
    truth = stats.kendalltau(x, y).statistic
    for _ in range(200):
        drawn = rng.choice(2000, 12, replace=False)
        tau = kendall_estimate(x[drawn], y[drawn], num_resamples=200)
        assert tau.value == pytest.approx(kendall(x[drawn], y[drawn]))
        covered.append(tau.low <= truth <= tau.high)
    assert np.mean(covered) > 0.84


def test_taus_of_several_orders_are_drawn_together():
    """What x has more than x is 0 in every resample, and of x twice the interval is that of x; drawn apart, neither."""
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    for difference in (kendall_estimate(x, y, less=x), kendall_estimate(np.stack([x, x]), y, less=x)):
        np.testing.assert_allclose([difference.value, difference.low, difference.high], 0, atol=1e-12)
    assert kendall_estimate(np.stack([x, x]), y) == kendall_estimate(x, y)
    apart = kendall_estimate(x, y, less=-x)
    assert apart.value == pytest.approx(2 * kendall(x, y))


def test_the_interval_of_several_orders_spans_which_they_are():
    """One that orders all as they are and one that turns them: two of them may be either, twice."""
    y = np.arange(30.0)
    tau = kendall_estimate(np.stack([y, -y]), y)
    assert (tau.value, tau.low, tau.high) == pytest.approx((0.0, -1.0, 1.0), abs=0.02)


def test_few_things_have_no_interval():
    few, enough = (kendall_estimate(np.arange(n * 1.0), np.arange(n * 1.0)) for n in (FEW - 1, FEW))
    assert (few.value, few.has_interval) == (1.0, False)
    assert enough.has_interval


def test_what_is_all_alike_has_no_order():
    with pytest.raises(ValueError, match="got 5 that do not"):
        kendall_estimate(np.zeros(5), np.arange(5.0))
