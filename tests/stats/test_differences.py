import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.stats.bootstrap import Draws
from robolearn.stats.differences import paired_difference, paired_ratio


@given(st.integers(0, 100), st.integers(1, 3), st.integers(2, 6))
def test_difference_is_antisymmetric_and_pairs(seed, num_seeds, num_groups):
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, num_seeds, num_groups))
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.value == pytest.approx(one.mean() - other.mean())
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=0.05)
    shifted = paired_difference(one, one - 0.125)  # what both share cancels altogether
    assert (shifted.low, shifted.high) == pytest.approx((0.125, 0.125))


@pytest.mark.parametrize("kind", [np.uint8, bool])
def test_whole_numbers_and_truth_values_have_differences_below_zero(kind):
    one, other = np.array([[0, 0, 1]]), np.array([[1, 1, 1]])
    assert paired_difference(one.astype(kind), other.astype(kind)) == paired_difference(one * 1.0, other * 1.0)
    assert paired_difference(one.astype(kind), other.astype(kind)).value == pytest.approx(-2 / 3)


def test_numbers_in_the_same_resamples():
    """A policy that is half as good everywhere is so in every resample, however starts and trainings differ."""
    one, draws = np.random.default_rng(0).random((3, 20)), Draws.resample(3, 20)
    gap = draws.mean(one - one / 2)
    assert gap.estimate == paired_difference(one, one / 2)
    np.testing.assert_allclose(gap.values, draws.means(one) / 2)


def test_a_ratio_is_of_what_was_measured_together():
    """The machine was twice as slow in the second round, for both; ratios 0.25, 0.5 and 0.75 whatever it did."""
    ratio = paired_ratio(np.array([1.0, 4.0, 3.0]), np.array([4.0, 8.0, 4.0]), Draws.resample(3, 5)).estimate
    assert (ratio.value, ratio.low, ratio.high) == (0.5, 0.25, 0.75)


def test_what_is_measured_once_shows_no_spread():
    once = paired_ratio(np.array([2.0]), np.array([4.0]), Draws.resample(1, 5)).estimate
    assert (once.value, once.low, once.high) == (0.5, -math.inf, math.inf)
