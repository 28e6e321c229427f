import math

import numpy as np
import pytest

from robolearn import seeds
from robolearn.stats import bootstrap as bootstrap_module
from robolearn.stats.bootstrap import Draws, bootstrap, clustered_mean, drawn_with_replacement, grouped_mean
from robolearn.stats.proportions import wilson
from robolearn.stats.value import Estimate


def test_bootstrap_of_a_mean_matches_the_normal_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    estimate = bootstrap(values, lambda x: x.mean(-1))
    half = 1.96 * values.std() / 20
    assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert (estimate.value, estimate.n) == (pytest.approx(values.mean()), 400)
    assert bootstrap(values, lambda x: x.mean(-1)) == estimate


def test_bootstrap_of_one_value_claims_nothing():
    assert bootstrap(np.array([0.3]), lambda x: x.mean(-1)) == Estimate(0.3, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap(np.array([]), lambda x: x.mean(-1))


def test_intervals_of_groups_cover():
    """2,000 data sets of 20 groups of 5: the bootstrap over groups covers, the one over values does not."""
    rng, hits = np.random.default_rng(5), np.zeros(2)
    groups = np.repeat(np.arange(20), 5)
    for _ in range(300):
        values = rng.normal(size=20)[groups] + 0.3 * rng.normal(size=100)
        for i, by in enumerate((groups, np.arange(100))):
            estimate = clustered_mean(values, by)
            hits[i] += estimate.low <= 0 <= estimate.high
    assert hits[0] / 300 > 0.89  # nominal 0.95; percentile intervals of 20 groups hold about 0.93
    assert hits[1] / 300 < 0.75


def test_large_clusters_count_for_what_they_hold():
    """One cluster of 90 zeros, ten of a one each: the mean is 0.1, that of the clusters' means 0.91."""
    estimate = clustered_mean(np.r_[np.zeros(90), np.ones(10)], np.r_[np.zeros(90, int), 1:11])
    assert estimate.value == pytest.approx(0.1)
    assert estimate.low < 0.1 < estimate.high < 1.0 + 1e-9
    assert estimate.low < 0.06


@pytest.mark.parametrize("groups", [np.arange(20), np.arange(20) % 4, np.zeros(20, int)])
def test_scores_without_spread_have_the_interval_of_a_share(groups):
    estimate, worth = clustered_mean(np.ones(20), groups, bounded=True), len(np.unique(groups))
    assert (estimate.value, estimate.n) == (1.0, 20)
    assert (estimate.low, estimate.high) == (wilson(worth, worth).low, 1.0)
    free = clustered_mean(np.ones(20), groups)
    assert (free.low, free.high) == ((1.0, 1.0) if worth > 1 else (-math.inf, math.inf))
    outside = clustered_mean(np.full(20, 1.5), groups, bounded=True)
    assert (outside.low, outside.high) == ((1.5, 1.5) if worth > 1 else (-math.inf, math.inf))


@pytest.mark.parametrize("score", [0.95, 0.7, 1 / 3])
def test_equal_scores_show_no_spread_where_sums_round_otherwise(score):
    groups = np.array([0, 1, 1, 2, 2, 2, 3])
    free, estimate = (clustered_mean(np.full(7, score), groups, bounded=bounded) for bounded in (False, True))
    assert 0 < free.high - free.low < 1e-12
    assert estimate.low < score - 0.2 < score + 0.04 < estimate.high


# Training seeds and groups


def test_mean_and_interval_of_equal_groups():
    estimate = grouped_mean(np.full((2, 5), 0.25))
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.25, 0.25, 0.25, 10)
    assert grouped_mean(np.array([[0.5]])).low == -np.inf


def test_interval_widens_with_the_spread_of_the_seeds():
    """Two seeds that disagree say little, however many episodes each has."""
    states = np.linspace(-0.01, 0.01, 100)
    agreeing, disagreeing = np.stack([0.5 + states, 0.5 + states]), np.stack([0.2 + states, 0.8 + states])
    assert np.ptp([grouped_mean(agreeing).low, grouped_mean(agreeing).high]) < 0.01
    assert grouped_mean(disagreeing).low < 0.25
    assert grouped_mean(disagreeing).high > 0.75


def test_shared_groups_are_drawn_for_all_seeds_together():
    """Where every seed sees the same hard states, more seeds do not make up for few states."""
    values = np.tile(np.linspace(0, 1, 10), (5, 1))

    def width(**kwargs):
        estimate = grouped_mean(values, **kwargs)
        return estimate.high - estimate.low

    assert width() > 1.8 * width(shared_groups=False)


@pytest.mark.slow
@pytest.mark.parametrize(("num_seeds", "num_groups", "least"), [(1, 10, 0.82), (3, 10, 0.88), (3, 100, 0.88)])
def test_coverage_by_simulation(num_seeds, num_groups, least):
    """States of other difficulty, 24 episodes each, seeds that differ by 0.02; 600 draws, standard error 0.014."""
    rng, hits = np.random.default_rng(0), 0
    for i in range(600):
        share = rng.beta(9, 1, size=num_groups) + 0.02 * rng.normal(size=(num_seeds, 1)) * (num_seeds > 1)
        values = rng.binomial(24, np.clip(share, 0, 1)) / 24
        estimate = Draws.resample(num_seeds, num_groups, num_resamples=300, seed=i).mean(values).estimate
        hits += estimate.low <= 0.9 <= estimate.high
    assert hits / 600 > least


@pytest.mark.parametrize(("n", "num_resamples"), [(7, 40), (8, 41), (130, 3)])
def test_resamples_in_blocks_are_those_of_one_draw(n, num_resamples, monkeypatch):
    monkeypatch.setattr(bootstrap_module, "MOST_DRAWN", 50)
    blocks = list(drawn_with_replacement(np.random.default_rng(3), n, num_resamples))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), np.random.default_rng(3).integers(n, size=(num_resamples, n)))


def test_a_bootstrap_holds_few_resamples_at_once():
    values, drawn = np.random.default_rng(seeds.FIXED).random(100_000), []

    def mean(rows):
        drawn.append(rows.size)
        return rows.mean(-1)

    bootstrap(values, mean, num_resamples=30)
    assert sum(drawn) == 31 * len(values)
    assert max(drawn) <= 1 << 20
