import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robolearn.stats.bootstrap import Draws
from robolearn.stats.divergence import mode_divergence, mode_divergence_estimate


def succeeded(modes):
    return np.ones(np.shape(modes), bool)


def test_divergence_closed_form_and_direction():
    """One more episode, shared by two modes: shares (3.5, 0.5) / 4 and (1.5, 2.5) / 4."""
    one, other = np.array([3, 0]), np.array([1, 2])
    p, q = np.array([0.875, 0.125]), np.array([1.5, 2.5]) / 4
    assert mode_divergence(one, other) == pytest.approx((p * np.log(p / q)).sum())
    demonstrations, lacking = np.array([50, 50]), np.array([100, 0])
    assert mode_divergence(demonstrations, lacking) > 1.9
    assert mode_divergence(lacking, demonstrations) < 0.7  # the other direction, at most log 2


@given(arrays(np.int64, 5, elements=st.integers(0, 50)), arrays(np.int64, (4, 5), elements=st.integers(0, 50)))
def test_divergence_is_not_negative_and_zero_for_equals(demonstrations, policy):
    assert (mode_divergence(demonstrations, policy) >= -1e-12).all()
    assert mode_divergence(demonstrations, demonstrations) == pytest.approx(0, abs=1e-12)


def test_divergence_of_the_demonstrators_themselves_is_corrected_to_zero():
    """Without the correction 240 episodes of 24 modes show (24 - 1) / 480 = 0.05."""
    demonstrations, modes = np.full(24, 100), np.random.default_rng(0).integers(24, size=(20, 1, 10, 24))
    raw = [mode_divergence(demonstrations, np.bincount(m.ravel(), minlength=24)) for m in modes]
    corrected = [
        mode_divergence_estimate(demonstrations, (succeeded(m), m), Draws.resample(1, 10, num_resamples=200, seed=i))
        for i, m in enumerate(modes)
    ]
    assert np.mean(raw) > 0.04
    assert np.mean([e.value for e in corrected]) < 0.01
    assert sum(e.low <= 0 for e in corrected) >= 18


def test_divergence_sees_what_one_training_seed_lacks():
    """Two seeds that take half of the ways each are not as good as two that take all; pooled they would be."""
    demonstrations, halves = np.full(4, 100), np.array([[[0, 1] * 10] * 3, [[2, 3] * 10] * 3])
    all_ways = np.array([[[0, 1, 2, 3] * 5] * 3] * 2)
    lacking = mode_divergence_estimate(demonstrations, (succeeded(halves), halves))
    assert lacking.low > 1
    assert mode_divergence_estimate(demonstrations, (succeeded(all_ways), all_ways)).value == pytest.approx(0, abs=1e-9)


def test_divergence_needs_a_success_of_every_seed():
    modes = np.zeros((2, 3, 4), int)
    success = succeeded(modes)
    success[1] = False
    assert mode_divergence_estimate(np.array([5, 5]), (success, modes)) is None
    success[1, 0, 0] = True
    estimate = mode_divergence_estimate(np.array([5, 5]), (success, modes))
    assert estimate.n == 13
    assert estimate.low <= estimate.value <= estimate.high


def test_one_state_shows_no_spread():
    modes = np.array([0] * 12 + [1] * 8).reshape(1, 1, 20)
    for num_seeds in (1, 3):
        policy = succeeded(modes).repeat(num_seeds, 0), modes.repeat(num_seeds, 0)
        estimate = mode_divergence_estimate(np.array([50, 50]), policy)
        assert (estimate.low, estimate.high, estimate.has_interval) == (0, np.inf, False)
        assert estimate.value == pytest.approx(mode_divergence(np.array([50, 50]), np.array([12, 8])))
