import dataclasses
import math

import numpy as np
import pytest

from robolearn.rollout.metrics import smoothness, summarize
from robolearn.stats.proportions import wilson
from robolearn.types import Trajectory


def trajectory(episode=0, steps=10, score=1.0, success=True, mode=-1, reason="success"):
    return Trajectory(
        episode=episode,
        seed=episode,
        obs={"state": np.zeros((steps + 1, 2), np.float32)},
        actions=np.zeros((steps, 2), np.float32),
        rewards=np.zeros(steps, np.float32),
        scores=np.linspace(0, score, steps, dtype=np.float32),
        success=success,
        mode=mode,
        reason=reason,
    )


def test_the_best_score_and_the_last_are_told_apart():
    scores = np.array([0.2, 0.9, 0.4])
    runs = [dataclasses.replace(trajectory(i, steps=3), scores=scores) for i in range(3)]
    summary = summarize(runs, num_modes=None, control_dt=0.1)
    assert (summary.max_score.value, summary.final_score.value) == (pytest.approx(0.9), pytest.approx(0.4))


def test_smoothness_is_the_jerk_of_a_cubic():
    t = np.arange(30) * 0.1
    cubic = np.stack([0.5 * t**3, np.zeros(30)], -1)
    assert smoothness(cubic, 0.1) == pytest.approx(3.0)  # d3/dt3 of t^3 / 2
    assert smoothness(np.stack([t**2, t], -1), 0.1) == pytest.approx(0.0, abs=1e-9)
    assert smoothness(cubic[::2], 0.2) == pytest.approx(3.0)  # the unit is per s^3, not per step


def test_smoothness_rejects_bad_input():
    with pytest.raises(ValueError, match="at least 4"):
        smoothness(np.zeros((3, 2)), 0.1)
    with pytest.raises(ValueError, match="control_dt"):
        smoothness(np.zeros((5, 2)), 0.0)


def test_summary_counts_modes_of_successes_only():
    runs = [trajectory(i, mode=i % 3) for i in range(9)]
    runs += [trajectory(9, mode=5, success=False, score=0.5, reason="failure"), trajectory(10, mode=-1)]
    summary = summarize(runs, num_modes=6, control_dt=0.1)
    assert summary.modes == {0: 3, 1: 3, 2: 3}
    assert summary.modes_seen == 3
    assert summary.mode_entropy is not None
    assert summary.mode_entropy.n == 9
    assert summary.mode_entropy.value == pytest.approx((math.log(3) + 1 / 9) / math.log(6))
    assert summary.success.value == pytest.approx(10 / 11)
    assert summary.success == wilson(10, 11)
    assert summary.max_score.value == pytest.approx(10.5 / 11)
    assert summary.max_score.low < summary.max_score.value < summary.max_score.high
    assert summary.reasons == {"success": 10, "failure": 1}


@pytest.mark.parametrize("num_modes", [None, 0])
def test_summary_without_modes(num_modes):
    summary = summarize([trajectory(i) for i in range(5)], num_modes=num_modes, control_dt=0.1)
    assert summary.modes is None
    assert summary.num_modes is None
    assert summary.mode_entropy is None


def test_summary_with_modes_of_unknown_number_has_a_histogram_and_no_entropy():
    summary = summarize([trajectory(0, mode=7)], num_modes=None, control_dt=0.1)
    assert summary.modes == {7: 1}
    assert summary.mode_entropy is None


def test_summary_without_a_success_has_no_mode_entropy():
    runs = [trajectory(i, success=False, mode=1, score=0.2, reason="time") for i in range(4)]
    summary = summarize(runs, num_modes=6, control_dt=0.1)
    assert summary.modes == {}
    assert summary.mode_entropy is None
    assert summary.success.value == 0
    assert 0 < summary.success.high < 1


def test_all_success_is_no_proof_of_perfection():
    summary = summarize([trajectory(i) for i in range(200)], num_modes=None, control_dt=0.1)
    assert summary.success.low == pytest.approx(0.9812, abs=1e-4)
    assert summary.max_score.low == pytest.approx(0.9812, abs=1e-4)


def test_one_short_episode_claims_little():
    summary = summarize([trajectory(steps=2)], num_modes=None, control_dt=0.1)
    assert summary.success.low < 0.21
    assert summary.final_score.low < 0.21
    assert (summary.length.value, summary.length.low, summary.length.high) == (2, -math.inf, math.inf)
    assert summary.smoothness is None


def test_no_trajectories():
    with pytest.raises(ValueError, match="at least one trajectory"):
        summarize([], num_modes=None, control_dt=0.1)
