"""Verdicts: where the margins lie, what an interval across one says, and what counts in the whole."""

import numpy as np
import pytest

from robolearn.bench import breaker
from robolearn.bench.breaker import judge
from tests.bench.tiny import measured

REPEATS = 200


def row(*, successes=REPEATS, first_mode=REPEATS // 2, p50_ms=1.0, trainings=2):
    """Results in which both starts end alike: so many successes, so many of them by the first of two ways."""
    success = np.arange(REPEATS) < successes
    mode = np.arange(REPEATS) >= first_mode
    one = measured(np.tile(success, (2, 1)), np.tile(mode, (2, 1)).astype(int)) | {"p50_ms": p50_ms}
    return [one] * trainings


def outcomes(ours, theirs=None, forward=None):
    return judge("row", ours, theirs or row(), forward or row(), [5, 5]).outcomes


@pytest.mark.parametrize(
    ("ours", "target", "expected"),
    [
        ({"successes": 199}, "success", "shown"),  # 0.005 less
        ({"successes": 196}, "success", "missed"),  # 0.02 less
        ({"first_mode": 85}, "entropy", "shown"),  # 0.987 of the other's
        ({"first_mode": 80}, "entropy", "missed"),  # 0.975
        ({"p50_ms": 1.25}, "latency", "shown"),
        ({"p50_ms": 1.35}, "latency", "missed"),
    ],
)
def test_a_verdict_is_on_its_side_of_the_margin(ours, target, expected):
    assert outcomes(row(**ours))[target] == expected


def test_a_latency_that_was_measured_once_shows_nothing():
    assert outcomes(row(trainings=1), row(trainings=1), row(trainings=1))["latency"] == "not shown"


def test_the_whole_is_missed_with_one_target_and_shown_without_the_divergence():
    same = judge("row", row(), row(), row(), [5, 5])
    assert (same.outcome, same.together) == ("shown", 1)
    slow = judge("row", row(p50_ms=2.0), row(), row(), [5, 5])
    assert (slow.outcome, slow.together, slow.outcomes["success"]) == ("missed", 0, "shown")
    assert breaker._overall({"success": "shown", "entropy": "shown", "KL": "not shown"}) == "shown"
    assert breaker._overall({"success": "shown", "entropy": "not shown"}) == "not shown"
    assert breaker._overall({"success": "shown", "KL": "missed"}) == "missed"


def test_trainings_are_compared_with_those_of_the_same_seed():
    """One training fails and one succeeds, in both rows alike: paired, the difference is nothing, with certainty."""
    pair = [*row(successes=0, trainings=1), *row(trainings=1)]
    verdict = judge("row", pair, pair, [], [5, 5])
    assert (verdict.success.low, verdict.success.value, verdict.success.high) == (0, 0, 0)
    assert verdict.success.n == 4
    turned = judge("row", pair, pair[::-1], [], [5, 5]).success
    assert turned.low < -0.5 < 0.5 < turned.high
