import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.trust.conformal.online import (
    AdaptiveLevel,
    AggregatedLevel,
    QuantileTracker,
    level_quantile,
    missing_level,
)


def run(tracker, scores, warm=50):
    """Misses of a tracker on a stream, after some scores that it may look back on."""
    misses = []
    for t in range(warm, len(scores)):
        past = scores[:t]
        limit = tracker.threshold if isinstance(tracker, QuantileTracker) else tracker.threshold(past)
        missed = bool(scores[t] > limit)
        misses.append(missed)
        if isinstance(tracker, AggregatedLevel):
            tracker.update(scores[t], past)
        else:
            tracker.update(missed)
    return np.array(misses)


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.floats(0.01, 0.99), st.floats(0.001, 0.5))
def test_the_level_s_bound_holds_on_any_sequence(wanted, alpha, gamma):
    """An adversary decides each miss as far as the threshold lets it: infinite ones are never missed, others may be."""
    tracker, past, missed = AdaptiveLevel(alpha, gamma), np.arange(20.0), []
    for wish in wanted:
        limit = tracker.threshold(past)
        miss = limit == -math.inf or (wish and limit != math.inf)
        missed.append(miss)
        tracker.update(miss)
    bound = (max(alpha, 1 - alpha) + gamma) / (gamma * len(missed))
    assert abs(np.mean(missed) - alpha) <= bound + 1e-9


SHIFTED = np.abs(np.random.default_rng(0).standard_normal(2050)) * np.where(np.arange(2050) < 1050, 1, 3)


@pytest.mark.parametrize(
    "tracker",
    [
        AdaptiveLevel(0.1, 0.01),
        AggregatedLevel(0.1),
        QuantileTracker(0.1, 1.6, 0.1),
        QuantileTracker(0.1, 1.6, 0.1, 0.5),
    ],
    ids=["level", "aggregated", "quantile", "quantile and integral"],
)
def test_misses_come_out_at_alpha_after_a_shift(tracker):
    """Scores three times as large from half way on: a fixed threshold misses more than half of them."""
    misses = run(tracker, SHIFTED)
    assert misses.mean() == pytest.approx(0.1, abs=0.02)
    assert (SHIFTED[1050:] > np.quantile(SHIFTED[:1050], 0.9)).mean() > 0.5


def test_a_tracked_threshold_stays_finite():
    tracker = QuantileTracker(0.1, 0.0, 1.0, integral=1.0)
    for _ in range(1000):
        tracker.update(missed=True)
    assert math.isfinite(tracker.threshold)


def test_good_experts_gain_weight():
    """After an abrupt shift the slow experts are off for long."""
    tracker = AggregatedLevel(0.1, (0.0001, 0.05))
    run(tracker, SHIFTED)
    assert tracker.weights[1] > 0.6


@pytest.mark.parametrize(("level", "limit"), [(1.0, -math.inf), (0.0, math.inf), (-0.2, math.inf), (0.25, 3.0)])
def test_level_quantile(level, limit):
    assert level_quantile(np.array([3.0, 1.0, 2.0]), level) == limit


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(-1, 7), st.floats(0.0, 1.0))
def test_missing_level_is_where_the_threshold_begins_to_miss(past, score, level):
    past, score = np.array(past, float), float(score)
    beta = missing_level(score, past)
    assert beta == (1 + sum(x >= score for x in past)) / (len(past) + 1)
    if abs(level - beta) > 1e-9:  # at the level itself rounding decides
        assert (score > level_quantile(past, level)) == (level > beta)


def test_an_aggregate_learns_the_score_s_own_level():
    """Of 9 past scores 4 are not below the score, which misses at level 5 / 10 and above, not at 4 / 9."""
    tracker = AggregatedLevel(0.1, (0.1, 0.1))
    tracker.levels = np.array([0.49, 0.51])
    tracker.update(5.5, np.arange(1.0, 10.0))
    np.testing.assert_allclose(tracker.levels, [0.49 + 0.1 * 0.1, 0.51 - 0.1 * 0.9])
    losses = np.array([0.1 * 0.01, 0.9 * 0.01])
    weights = np.exp(-tracker.rate * losses) / np.exp(-tracker.rate * losses).sum()
    np.testing.assert_allclose(tracker.weights, (1 - tracker.share) * weights + tracker.share / 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdaptiveLevel(1.0),
        lambda: AdaptiveLevel(0.1, 0.0),
        lambda: AggregatedLevel(0.1, ()),
        lambda: AggregatedLevel(0.1, (0.0,)),
        lambda: QuantileTracker(0.1, 0.0, 0.0),
        lambda: QuantileTracker(0.0, 0.0, 1.0),
    ],
)
def test_bad_options_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()
