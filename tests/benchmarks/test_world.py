"""The page of what was measured in the outside world says what its numbers say."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.world.__main__ import RESULTS, page
from benchmarks.world.commands import by_start, success
from robolearn.config import read_json


def test_the_page_shows_the_tables_of_the_numbers():
    shown = (RESULTS / "world.md").read_text().splitlines()
    assert [line for line in page(RESULTS) if line and line not in shown] == []


def test_every_part_names_a_commit_without_changes():
    for part in read_json(RESULTS / "world.json").values():
        assert part["command"].startswith("python -m benchmarks.world.")
        assert "dirty" not in part["commit"]


def test_the_shares_are_those_of_the_episodes():
    world = read_json(RESULTS / "world.json")
    tasks = [task for task in (*world["metaworld"].values(), world["aloha"]) if "policies" in task]
    assert len(tasks) >= 3
    for policy in (policy for task in tasks for policy in task["policies"].values()):
        assert asdict(success(by_start(policy["trainings"]))) == pytest.approx(policy["success"])


def test_an_episode_that_begins_like_another_counts_once():
    trainings = [
        {"episodes": {"start": ["a", "b", "a", "a"], "success": [True, False, True, True]}},
        {"episodes": {"start": ["b", "a", "b", "b"], "success": [True, False, False, False]}},
    ]
    shares = by_start(trainings)
    np.testing.assert_allclose(shares, [[1, 0], [0, 1 / 3]])
    assert success(shares).value == pytest.approx(1 / 3)
    assert success(shares).n == 4


def test_trainings_that_met_other_starts_are_not_joined():
    episodes = {"start": ["a", "b"], "success": [True, False]}
    with pytest.raises(AssertionError):
        by_start([{"episodes": episodes}, {"episodes": {**episodes, "start": ["a", "c"]}}])
