import itertools

import numpy as np
import pytest

from robolearn.perception.disagreement import disagreement, distance, most_certain
from robolearn.stats.ranks import rank_correlation_estimate


def test_disagreement_by_hand():
    """Three members, two rows: pairs differ by (1, 3), (4, 0) and (3, 3) mm."""
    predictions = np.array([[[0.0, 0.0]], [[1.0, 3.0]], [[4.0, 0.0]]])
    np.testing.assert_allclose(disagreement(predictions), [(2 + 2 + 3) / 3])
    assert distance(predictions[1], predictions[2]) == pytest.approx(3.0)


def test_disagreement_is_the_mean_over_pairs_of_any_frames():
    predictions = np.random.default_rng(0).normal(size=(5, 4, 7, 3))
    pairs = [np.abs(a - b).mean(-1) for a, b in itertools.combinations(predictions, 2)]
    np.testing.assert_allclose(disagreement(predictions), np.mean(pairs, axis=0))
    np.testing.assert_allclose(disagreement(predictions[::-1] + 3.0), disagreement(predictions))


def test_copies_of_one_network_never_disagree():
    one = np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_array_equal(disagreement(np.stack([one, one])), np.zeros(6))
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        disagreement(one[None])


def test_the_view_with_the_least_disagreement_is_taken_and_nan_never():
    scores = np.array([[0.3, np.nan, np.nan], [0.1, 0.2, np.nan], [0.2, 0.1, 5.0]])
    np.testing.assert_array_equal(most_certain(scores), [1, 2, 2])


def test_disagreement_follows_the_error_and_controls_do_not():
    """Members err independently with a spread that differs from frame to frame; theory gives rho above 0.6."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(size=(100, 4)))
    predictions = spread[None, ..., None] * rng.normal(size=(4, 100, 4, 3))
    error = distance(predictions.mean(0), np.zeros((100, 4, 3)))
    assert rank_correlation_estimate(disagreement(predictions), error, num_resamples=200).low > 0.6
    for control in (rng.random(error.shape), rng.permutation(disagreement(predictions).ravel()).reshape(error.shape)):
        correlation = rank_correlation_estimate(control, error, num_resamples=200)
        assert correlation.low < 0 < correlation.high
