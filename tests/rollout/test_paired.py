import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.rollout.paired import grouped_mean, paired_difference


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
        estimate = grouped_mean(values, num_resamples=300, seed=i)
        hits += estimate.low <= 0.9 <= estimate.high
    assert hits / 600 > least


@given(st.integers(0, 100), st.integers(1, 3), st.integers(2, 6))
def test_difference_is_antisymmetric_and_pairs(seed, num_seeds, num_groups):
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, num_seeds, num_groups))
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.value == pytest.approx(one.mean() - other.mean())
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=0.05)
    shifted = paired_difference(one, one - 0.125)  # what both share cancels altogether
    assert (shifted.low, shifted.high) == pytest.approx((0.125, 0.125))
