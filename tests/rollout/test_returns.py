"""Returns beside success and score, and what is said where an environment tells of neither."""

import dataclasses
import json
import math

import numpy as np
import pytest

from robolearn.config import to_json
from robolearn.report.results import write_results
from robolearn.report.terminal import format_table
from robolearn.rollout.metrics import summarize
from robolearn.stats.bootstrap import clustered_mean
from tests.rollout.test_metrics import trajectory


def episode(index, reward=1.0, steps=10, start="", **changes):
    rewards = np.full(steps, float(reward))
    return dataclasses.replace(trajectory(index, steps), rewards=rewards, scores=rewards, start=start, **changes)


def summary_of(runs, **options):
    return summarize(runs, num_modes=None, control_dt=0.1, **options)


def test_returns_are_sums_with_an_interval_over_starts():
    runs = [episode(i, reward=i % 5, start=str(i % 5)) for i in range(20)]
    returns, alone = summary_of(runs).episode_return, summary_of(runs[:5]).episode_return
    assert returns.value == 20.0
    assert (returns.low, returns.high) == (alone.low, alone.high)  # copies of an episode add no certainty
    expected = clustered_mean(np.array([10.0 * (i % 5) for i in range(5)]), np.arange(5))
    assert (alone.low, alone.high) == (expected.low, expected.high)


@pytest.mark.parametrize(("low", "high"), [(0.0, 40.0), (-1600.0, -200.0), (40.0, 0.0)])
def test_a_normalized_return_is_the_share_of_the_way(low, high):
    runs = [episode(i, reward=i % 5) for i in range(20)]
    summary = summary_of(runs, return_range=(low, high))
    returns, share = summary.episode_return, summary.normalized_return
    assert share.value == pytest.approx((20 - low) / (high - low))
    ends = sorted((end - low) / (high - low) for end in (returns.low, returns.high))
    assert [share.low, share.high] == pytest.approx(ends)
    assert summary_of(runs).normalized_return is None


@pytest.mark.parametrize("reward", [1.5, -0.1, 10.0])
def test_rewards_beyond_one_are_no_score(reward):
    runs = [episode(i, reward=0.5) for i in range(3)]
    assert summary_of(runs).max_score.value == 0.5
    summary = summary_of([*runs, episode(3, reward=reward)])
    assert summary.max_score is summary.final_score is None
    assert summary_of([episode(0, reward=1 + 1e-9)]).max_score is not None  # rounding


def test_what_is_not_told_is_no_number(tmp_path):
    runs = [episode(i, reward=-1, success=False, reason="time", tells_success=False) for i in range(4)]
    summary = summary_of(runs)
    assert summary.success is None
    assert to_json(summary, {})["success"] is None
    write_results(tmp_path, runs, summary)
    rows = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert [(row["success"], row["max_score"], row["return"]) for row in rows] == [(None, None, -10.0)] * 4
    told = [*runs[:3], dataclasses.replace(runs[3], tells_success=True)]  # from then on it had told
    assert summary_of(told).success.value == 0.0


def test_the_table_says_that_no_success_is_reported():
    runs = [episode(i, reward=-1, success=False, tells_success=False) for i in range(4)]
    table = format_table(summary_of(runs, return_range=(-20.0, 0.0)))
    rows = {cells[0]: cells for cells in zip(*(column.cells for column in table.columns), strict=True)}
    assert "max score" not in rows
    assert str(rows["success"][3]) == "no success reported"
    assert rows["return"][1] == "-10"
    assert rows["normalized return"][1] == "0.500"
    assert math.isclose(float(rows["length"][1]), 10)
