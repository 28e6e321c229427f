import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robolearn.rollout.coverage import (
    conditional_mode_entropies,
    expected_mode_entropy,
    mode_divergence,
    mode_divergence_estimate,
)
from robolearn.rollout.intervals import mode_entropy


def succeeded(modes):
    return np.ones(np.shape(modes), bool)


def test_entropy_is_per_initial_state():
    """Each start one way, each another one: no choice is left to a start, however many ways there are in all."""
    modes = np.repeat(np.arange(6)[:, None], 8, axis=1)
    assert conditional_mode_entropies(succeeded(modes), modes, 6).tolist() == [0] * 6
    assert mode_entropy(modes.ravel(), 6) == 1  # the mutant: over all episodes together


def test_entropy_counts_successes_only_and_no_success_is_no_coverage():
    modes = np.array([[0, 1, 0, 1], [0, 1, 2, 3], [0, 1, -1, -1]])
    success = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    pair = (math.log(2) + 1 / 4) / math.log(4)  # two modes once each, with Miller and Madow's (2 - 1) / (2 * 2)
    assert conditional_mode_entropies(success, modes, 4) == pytest.approx([pair, 0, pair])


def test_entropy_is_corrected():
    """600 draws of 24 equal modes 24 at a time; standard error of the mean 0.001."""
    modes = np.random.default_rng(0).integers(24, size=(600, 24))
    plug_in = [-(p * np.log(p)).sum() / math.log(24) for p in (np.unique(m, return_counts=True)[1] / 24 for m in modes)]
    shown = conditional_mode_entropies(succeeded(modes), modes, 24).mean()
    assert shown == pytest.approx(0.921, abs=0.006)
    assert np.mean(plug_in) == pytest.approx(0.826, abs=0.006)  # the mutant without the correction


def test_the_demonstrators_value_is_what_their_own_episodes_show():
    modes = np.random.default_rng(1).choice(4, p=[0.7, 0.1, 0.1, 0.1], size=(500, 6))
    shown = conditional_mode_entropies(succeeded(modes), modes, 4).mean()
    assert expected_mode_entropy(np.array([0.7, 0.1, 0.1, 0.1]), 6) == pytest.approx(shown, abs=0.03)
    assert expected_mode_entropy(np.array([1.0, 0.0]), 6) == 0


@given(arrays(np.int64, (3, 8), elements=st.integers(-1, 4)), arrays(bool, (3, 8)), st.permutations(range(8)))
def test_the_order_of_repetitions_does_not_matter(modes, success, order):
    order = np.array(order)
    one = conditional_mode_entropies(success, modes, 5)
    assert one == pytest.approx(conditional_mode_entropies(success[:, order], modes[:, order], 5))
    assert ((one >= 0) & (one <= 1)).all()


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
        mode_divergence_estimate(demonstrations, succeeded(m), m, num_resamples=200, seed=i)
        for i, m in enumerate(modes)
    ]
    assert np.mean(raw) > 0.04
    assert np.mean([e.value for e in corrected]) < 0.01
    assert sum(e.low <= 0 for e in corrected) >= 18


def test_divergence_sees_what_one_training_seed_lacks():
    """Two seeds that take half of the ways each are not as good as two that take all; pooled they would be."""
    demonstrations, halves = np.full(4, 100), np.array([[[0, 1] * 10] * 3, [[2, 3] * 10] * 3])
    all_ways = np.array([[[0, 1, 2, 3] * 5] * 3] * 2)
    lacking = mode_divergence_estimate(demonstrations, succeeded(halves), halves)
    assert lacking.low > 1
    assert mode_divergence_estimate(demonstrations, succeeded(all_ways), all_ways).value == pytest.approx(0, abs=1e-9)


def test_divergence_needs_a_success_of_every_seed():
    modes = np.zeros((2, 3, 4), int)
    success = succeeded(modes)
    success[1] = False
    assert mode_divergence_estimate(np.array([5, 5]), success, modes) is None
    success[1, 0, 0] = True
    estimate = mode_divergence_estimate(np.array([5, 5]), success, modes)
    assert estimate.n == 13
    assert estimate.low <= estimate.value <= estimate.high
