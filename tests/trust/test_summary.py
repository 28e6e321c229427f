"""Counting alarms and interventions."""

import numpy as np

from robolearn.trust.summary import count_alarms, intervened_share
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
