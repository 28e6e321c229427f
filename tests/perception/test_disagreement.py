import itertools

import numpy as np
import pytest
from scipy import stats

from robolearn.perception.correlation import rank_correlation, rank_correlation_interval, ranks
from robolearn.perception.disagreement import disagreement, distance, most_certain


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
    assert rank_correlation_interval(disagreement(predictions), error, num_resamples=200)[0] > 0.6
    for control in (rng.random(error.shape), rng.permutation(disagreement(predictions).ravel()).reshape(error.shape)):
        low, high = rank_correlation_interval(control, error, num_resamples=200)
        assert low < 0 < high


# Rank correlation


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_rank_correlation_is_scipys_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=200).astype(float)
    y = x + levels * rng.random(200).round(1)
    np.testing.assert_allclose(ranks(x) + 1, stats.rankdata(x))
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert rank_correlation(x, np.exp(x / levels)) == pytest.approx(1.0)


def test_a_constant_score_ranks_nothing():
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="1 of 3 values are NaN"):
        rank_correlation(np.array([0.0, np.nan, 1.0]), np.arange(3.0))


def share_containing_zero(as_episodes):
    """Of 95 % intervals of independent scores and errors that are alike within an episode."""
    rng, contained = np.random.default_rng(0), []
    for _ in range(50):
        x, y = (np.repeat(rng.normal(size=(30, 1)), 8, axis=1) + 0.01 * rng.normal(size=(30, 8)) for _ in range(2))
        x, y = (v if as_episodes else v.reshape(-1, 1) for v in (x, y))
        low, high = rank_correlation_interval(x, y, num_resamples=100)
        contained.append(low <= 0 <= high)
    return np.mean(contained)


def test_the_interval_is_over_episodes():
    """Over frames it would be too narrow by the root of 8."""
    assert share_containing_zero(as_episodes=True) > 0.87
    assert share_containing_zero(as_episodes=False) < 0.7
