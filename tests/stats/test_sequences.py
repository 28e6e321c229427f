"""Confidence sequences: a fair game, and intervals that hold at every look."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from robolearn.stats.sequences import (
    PORTFOLIO,
    ConfidenceSequence,
    confidence_sequence,
    fewest_differences,
    log_capital,
)

differences = st.lists(st.floats(-1, 1), min_size=1, max_size=25).map(np.array)


@given(st.floats(-0.9, 0.9), st.floats(0, 1))
def test_nobody_wins_on_the_mean_that_is_true(mean, spread):
    """Over all sequences of four differences the capital is 1 in the mean, whatever their distribution."""
    low, high = mean - spread * (1 + mean), mean + (1 - spread) * (1 - mean)
    share = (mean - low) / (high - low)
    points, shares = np.array([low, high]), np.array([1 - share, share])
    ways = np.array(list(itertools.product([0, 1], repeat=4)))
    capital = np.exp(log_capital(points[ways].clip(-1, 1), mean)[:, -1])
    assert (capital * shares[ways].prod(1)).sum() == pytest.approx(1)


def test_the_gamblers_share_one_capital():
    assert sum(PORTFOLIO.values()) == pytest.approx(1)
    assert max(PORTFOLIO) <= 1
    assert log_capital(np.array([1.0]), 0.0)[0] == pytest.approx(
        math.log(sum(share * (1 + bet) for bet, share in PORTFOLIO.items()))
    )


def test_the_chance_of_ever_excluding_what_is_true_is_at_most_alpha():
    """Exactly, for a fair coin and all looks up to 60: the walk stops where either side excludes."""
    alpha, alive, excluded = 0.05, np.array([1.0]), 0.0
    for n in range(1, 61):
        alive = 0.5 * (np.append(alive, 0) + np.insert(alive, 0, 0))
        capital = np.array([log_capital(np.repeat([1.0, -1.0], [wins, n - wins]), 0.0)[-1] for wins in range(n + 1)])
        out = np.maximum(capital, capital[::-1]) >= math.log(2 / alpha)
        excluded += alive[out].sum()
        alive[out] = 0
    assert 0.02 < excluded < alpha


NULLS = {
    "wins and losses": (np.array([-1.0, 0, 1]), np.array([0.2, 0.6, 0.2])),
    "seldom much, often little": (np.array([-1.0, 0.1]), np.array([1 / 11, 10 / 11])),
    "scores": (np.array([-0.5, -0.1, 0.2, 0.4]), np.array([0.2, 0.3, 0.25, 0.2]) / 0.95),
}


@pytest.mark.parametrize("name", NULLS)
def test_intervals_hold_the_mean_at_every_look(name):
    """400 sequences of 250: a rate of alpha gives more than binom.ppf(0.999) in one of a thousand such tests."""
    points, shares = NULLS[name]
    drawn = np.random.default_rng(4).choice(points, p=shares, size=(400, 250))
    mean = float(points @ shares)
    missed = (np.maximum(log_capital(drawn, mean), log_capital(-drawn, -mean)) >= math.log(2 / 0.05)).any(1).sum()
    assert missed <= binom.ppf(0.999, 400, 0.05)
    assert (log_capital(drawn + 0.0, mean - 0.35) >= math.log(2 / 0.05)).any(1).mean() > 0.9, "and others it excludes"


@settings(max_examples=25)
@given(differences, st.floats(0.01, 0.4))
def test_each_interval_is_within_the_one_before(drawn, alpha):
    low, high = confidence_sequence(drawn, alpha).T
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert ((low >= -1) & (high <= 1)).all()


@settings(max_examples=25)
@given(differences)
def test_turning_the_policies_around_turns_the_interval_around(drawn):
    np.testing.assert_array_equal(confidence_sequence(drawn, 0.1), -confidence_sequence(-drawn, 0.1)[:, ::-1])


@settings(max_examples=25)
@given(differences, st.floats(-0.9, 0.9))
def test_what_is_excluded_is_what_someone_won_on(drawn, threshold):
    """At a threshold that is no thousandth too."""
    target = math.log(2 / 0.2)
    low, high = confidence_sequence(drawn, 0.2, (threshold,)).T
    margin = 1e-9  # of rounding
    above, below = log_capital(drawn, threshold), log_capital(-drawn, -threshold)
    won, lost = np.maximum.accumulate(above), np.maximum.accumulate(below)
    assert ((low >= threshold) == (won >= target))[np.abs(won - target) > margin].all()
    assert ((high <= threshold) == (lost >= target))[np.abs(lost - target) > margin].all()


def test_a_threshold_between_thousandths_is_decided_on_as_soon_as_it_can_be():
    drawn, target = np.zeros(60), math.log(2 / 0.2)
    last = float(confidence_sequence(drawn, 0.2)[-1, 0])
    within = [last + i * 1e-5 for i in range(1, 100) if log_capital(drawn, last + i * 1e-5)[-1] >= target]
    assert len(within) > 1
    assert confidence_sequence(drawn, 0.2, (within[-1],))[-1].tolist() == [within[-1], -within[-1]]


@settings(max_examples=25)
@given(differences, st.integers(1, 7))
def test_looks_in_batches_see_the_same(drawn, size):
    sequence, seen = ConfidenceSequence(0.2), []
    for start in range(0, len(drawn), size):
        for difference in drawn[start : start + size]:
            sequence.update(float(difference))
        seen.append(sequence.interval)
    ends = [min(start + size, len(drawn)) - 1 for start in range(0, len(drawn), size)]
    np.testing.assert_array_equal(seen, confidence_sequence(drawn, 0.2)[ends])


def test_intervals_shrink_around_what_never_differs():
    low, high = confidence_sequence(np.zeros(300), 0.05)[-1]
    assert -0.03 < low < 0 < high < 0.03


def test_the_fewest_that_can_show_something():
    assert fewest_differences(0.05, 0.0) == 7
    assert fewest_differences(0.001, 0.0) > 10
    assert fewest_differences(0.05, -0.5) < 7
    assert (confidence_sequence(np.ones(7), 0.05)[:, 0] >= 0).tolist() == [False] * 6 + [True]


def test_what_is_no_difference_is_refused():
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\], got 1.5"):
        ConfidenceSequence(0.05).update(1.5)
    with pytest.raises(ValueError, match=r"alpha 0.0 must be in"):
        ConfidenceSequence(0.0)
    with pytest.raises(ValueError, match="thresholds"):
        ConfidenceSequence(0.05, (-1.0,))
