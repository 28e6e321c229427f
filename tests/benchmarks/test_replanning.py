"""What the study of replanning counts, and which task and row it takes a run for."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.replanning import searches, task_and_row
from robolearn.errors import UserError
from robolearn.types import Trajectory


def trajectory(success, *, slid=0.002, velocity=0.0, height=0.0):
    """A peg on Insert that slides, and does or has once what is given."""
    state = np.zeros((5, 11))
    state[:, 2], state[:, 9] = 0.005, 0.002
    state[3, [1, 2, 9]] = height, velocity, slid
    rest = np.zeros((4, 2)), np.zeros(4), np.zeros(4)
    return Trajectory(0, 0, {"state": state}, *rest, success, -1, "time")


def test_a_peg_rests_where_it_stands_still_on_the_surface_in_mid_search():
    assert searches([trajectory(False)]) == {"rested": 1.0, "failed": 1, "failed_after_rest": 1}
    for elsewhere in ({"velocity": 0.002}, {"velocity": -0.002}, {"height": 0.003}, {"slid": 0.0005}):
        assert searches([trajectory(False, **elsewhere)])["rested"] == 0.0


def test_failures_are_counted_with_and_without_a_rest():
    episodes = [trajectory(True), trajectory(False), trajectory(False, velocity=0.005), trajectory(True, height=0.1)]
    assert searches(episodes) == {"rested": 0.5, "failed": 2, "failed_after_rest": 1}


def test_a_path_names_task_and_row():
    task, row = task_and_row(Path("runs/recipes/push-frame-dropout/tokens/compute/99/run"))
    assert (task.name, row.name) == ("push", "tokens")
    task, _ = task_and_row(Path("avoid_pixels-frame/flow/compute/99/run"))
    assert task.name == "avoid_pixels"


@pytest.mark.parametrize("path", ["runs/avoid", "runs/recipes/nothing-frame/tokens/compute/99/run"])
def test_other_paths_are_refused(path):
    with pytest.raises(UserError, match=r"RUNS/TASK-RECIPE|unknown task"):
        task_and_row(Path(path))
