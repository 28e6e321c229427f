"""Counting alarms, and the exact interval of a share."""

import numpy as np
import pytest
from scipy.stats import binom

from robolearn.trust.summary import clopper_pearson, count_alarms, intervened_share
from robolearn.types import INTERVENING, Trajectory


def episode(plans, success, length):
    zeros = np.zeros(length)
    signals = {INTERVENING: np.array(plans, bool)}
    return Trajectory(0, 0, {}, np.zeros((length, 1)), zeros, zeros, success, -1, "time", signals)


EPISODES = [
    episode([0, 1, 1], True, 5),  # the last plan was carried out for one step
    episode([0, 0], True, 4),
    episode([1], False, 2),
]


def test_alarms_are_counted_by_episode():
    everyone, good, bad = count_alarms(EPISODES)
    assert [(s.value, s.n) for s in (everyone, good, bad)] == [(2 / 3, 3), (1 / 2, 2), (1.0, 1)]


def test_interventions_are_counted_by_step():
    assert intervened_share(EPISODES, 2) == (3 + 0 + 2) / 11


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
