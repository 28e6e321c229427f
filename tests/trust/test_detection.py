import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from robolearn.stats.ranks import roc_auc
from robolearn.trust.detection import common_horizon, controls, detection, episode_scores


def episodes(rng, n=80, steps=40):
    """Half fail and run until time is up, half succeed early."""
    success = np.arange(n) % 2 == 0
    return np.where(success, rng.integers(10, 25, n), steps), success


def test_numbers_of_a_case_by_hand():
    """Four steps count. Failures: alarms at steps 1 and 3, at 0, never; successes: none, at step 3, one too late."""
    scores = np.zeros((6, 6))
    scores[0, 3] = scores[0, 1] = scores[1, 0] = scores[4, 3] = 2
    scores[2, 4] = scores[5, 4:] = 9  # behind the horizon
    lengths, success = np.array([6, 6, 6, 5, 4, 6]), np.array([False, False, False, True, True, True])
    metrics = detection(scores, lengths, success, 1.0)
    assert metrics.horizon == 4
    assert metrics.true_positive_rate.value == pytest.approx(2 / 3)
    assert metrics.true_negative_rate.value == pytest.approx(2 / 3)
    assert metrics.balanced_accuracy.value == pytest.approx(2 / 3)
    assert metrics.detection_time.value == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert metrics.time_weighted_accuracy.value == pytest.approx(((3 / 4 + 1 + 0) / 3 + 2 / 3) / 2)
    # Largest scores 2, 2, 0 against 0, 2, 0.
    assert metrics.roc_auc.value == pytest.approx((2 * (1 + 0.5 + 1) + (0.5 + 0 + 0.5)) / 9)


def test_a_detector_that_misses_most_is_not_fast():
    """Alarms at once in 1 of 10 failures: over detected failures alone its time would be 0."""
    scores = np.zeros((20, 10))
    scores[0, 0] = 1
    success = np.arange(20) >= 10
    assert detection(scores, np.full(20, 10), success, 0.5).detection_time.value == pytest.approx(0.9)


def test_elapsed_time_wins_without_length_control_and_loses_with_it():
    lengths, success = episodes(np.random.default_rng(0))
    scores = controls(len(lengths), 40)["time"]
    last = np.take_along_axis(scores, lengths[:, None] - 1, 1)[:, 0]  # its largest score within each episode
    assert roc_auc(last, ~success) == 1
    metrics = detection(scores, lengths, success, 24.5)
    assert metrics.roc_auc.value == metrics.roc_auc.low == metrics.roc_auc.high == 0.5
    assert metrics.balanced_accuracy.value == 0.5
    for limit in range(10):  # no limit makes it better
        assert detection(scores, lengths, success, float(limit), num_resamples=2).balanced_accuracy.value == 0.5


@pytest.mark.parametrize("name", ["random", "constant"])
def test_controls_know_nothing(name):
    lengths, success = episodes(np.random.default_rng(0), n=400)
    metrics = detection(controls(400, 40)[name], lengths, success, 0.95)
    assert metrics.roc_auc.low <= 0.5 <= metrics.roc_auc.high
    assert metrics.balanced_accuracy.low <= 0.5 <= metrics.balanced_accuracy.high


def test_random_scores_win_without_length_control():
    """The largest of many numbers is larger: any noisy score profits from length."""
    lengths, success = episodes(np.random.default_rng(0), n=400)
    scores = controls(400, 40)["random"]
    longest = np.array([row[:n].max() for row, n in zip(scores, lengths, strict=True)])
    assert roc_auc(longest, ~success) > 0.6


def test_the_area_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, success = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.4
    assert roc_auc(scores, ~success) == pytest.approx(roc_auc_score(~success, scores))
    metrics = detection(scores[:, None], np.ones(60, int), success, 3.0)
    assert metrics.roc_auc.value == pytest.approx(roc_auc(scores, ~success))


def test_intervals_cover():
    """200 draws of 30 failures and 50 successes: the intervals hold the true numbers in 88 to 100 % of them."""
    rng, success, inside = np.random.default_rng(0), np.arange(80) >= 30, []
    for _ in range(200):
        scores = rng.standard_normal((80, 1)) + ~success[:, None]
        metrics = detection(scores, np.ones(80, int), success, 0.5, num_resamples=400)
        rate, auc = 0.6914625, 0.7602499  # Phi(1 / 2), Phi(1 / sqrt 2)
        pairs = ((metrics.true_positive_rate, rate), (metrics.true_negative_rate, rate), (metrics.roc_auc, auc))
        inside.append([m.low <= truth <= m.high for m, truth in pairs])
    assert (np.mean(inside, axis=0) > 0.88).all()
    assert metrics.true_positive_rate.high - metrics.true_positive_rate.low < 0.4  # 3.9 standard errors


def test_nan_alarms_and_is_the_largest_score():
    scores = np.zeros((4, 3))
    scores[0, 1] = np.nan
    success = np.array([False, True, True, False])
    metrics = detection(scores, np.full(4, 3), success, 100.0)
    assert metrics.true_positive_rate.value == 0.5
    assert episode_scores(scores, 3).tolist() == [np.inf, 0, 0, 0]
    assert metrics.roc_auc.value == 0.75


def test_a_limit_per_step():
    scores = np.tile(np.arange(4.0), (2, 1))
    limit = np.array([5.0, 0.5, 5.0, -9.0])
    metrics = detection(scores, np.array([3, 4]), np.array([False, True]), limit)
    assert metrics.detection_time.value == pytest.approx(1 / 3)


@pytest.mark.parametrize("success", [[True, True], [False, False]])
def test_one_class_is_not_enough(success):
    with pytest.raises(ValueError, match="at least one success and one failure"):
        detection(np.zeros((2, 3)), np.array([3, 3]), np.array(success), 0.0)


@pytest.mark.parametrize(("lengths", "span"), [([0, 3], r"0\.\.3"), ([2, 4], r"2\.\.4"), ([], "none")])
def test_lengths_that_cannot_be(lengths, span):
    with pytest.raises(ValueError, match=rf"must be in 1\.\.3, got {span}"):
        common_horizon(np.array(lengths, int), 3)
