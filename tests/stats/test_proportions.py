"""Shares: textbook values, exact tails, and what draws are worth that are not independent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from robolearn.stats.proportions import (
    beta_binomial_interval,
    binomial_count,
    clopper_pearson,
    effective_number,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # Textbook values: Newcombe 1998 (81/263, 15/148, 0/20, 1/29) and the usual 8/10.
    [
        (8, 10, (0.4902, 0.9433)),
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_textbook_values(successes, n, expected):
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx(expected, abs=6e-5)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_holds_its_estimate_and_is_symmetric(n, data):
    k = data.draw(st.integers(0, n))
    interval, other = wilson(k, n), wilson(n - k, n)
    assert 0 <= interval.low <= k / n <= interval.high <= 1
    assert (other.low, other.high) == pytest.approx((1 - interval.high, 1 - interval.low))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_rejects_impossible_counts(successes, n):
    with pytest.raises(ValueError, match=r"successes|episode"):
        wilson(successes, n)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 20), (20, 20), (1, 1)])
def test_the_interval_is_where_tails_have_a_fortieth(hits, n):
    share = clopper_pearson(hits, n)
    assert share.low <= share.value <= share.high
    if hits:
        assert binom.sf(hits - 1, n, share.low) == pytest.approx(0.025)
    if hits < n:
        assert binom.cdf(hits, n, share.high) == pytest.approx(0.025)


def test_nothing_is_known_of_no_episode():
    share = clopper_pearson(0, 0)
    assert (share.low, share.high, share.n) == (0.0, 1.0, 0)
    assert np.isnan(share.value)


def test_shares_of_alarms_are_over_starts_too():
    assert clopper_pearson(10, 20, effective=20.0) == clopper_pearson(10, 20)
    few = clopper_pearson(16, 20, effective=5.0)
    assert (few.low, few.high) == pytest.approx((clopper_pearson(4, 5).low, clopper_pearson(4, 5).high))
    assert (few.value, few.n) == (0.8, 20)


@pytest.mark.parametrize(
    ("groups", "worth"),
    [([0, 1, 2, 3], 4), ([0] * 7, 1), ([0, 1, 2, 3, 4] * 4, 5), ([0] * 96 + [1, 2, 3, 4], 100**2 / (96**2 + 4))],
)
def test_what_episodes_are_worth(groups, worth):
    assert effective_number(np.bincount(groups)) == pytest.approx(worth)


def test_without_episodes_nothing_is_known():
    assert effective_number(np.zeros(0, np.int64)) == 0.0


def test_effective_number():
    assert effective_number(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_number(np.array([1.0, 0.0, 0.0])) == 1


def test_a_share_of_few_draws_has_at_most_a_fortieth_beyond_each_end():
    low, high = beta_binomial_interval(300, 271, 30)
    law = betabinom(300, 271, 30)
    assert law.cdf(300 * low - 1) < 0.025 <= law.cdf(300 * low)
    assert law.cdf(300 * high - 1) < 0.975 <= law.cdf(300 * high)


def test_counts_of_something_of_known_probability():
    count = binomial_count(240, 1 / 24)
    assert (count.value, count.n) == (10, 240)
    assert count.high - count.value == pytest.approx(1.96 * np.sqrt(10 * 23 / 24), abs=1e-3)
    assert binomial_count(3, 1 / 24).low == 0
