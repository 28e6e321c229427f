"""Starts of AvoidField that tests choose, the fields in them, and the expert's actions from there."""

import numpy as np

from envs.avoid import START_Y
from envs.drivers import TaskVectorEnv
from envs.fields import MAX_CYLINDERS

ENV_ID = "envs:robolearn/AvoidField-v0"
BEGIN = np.array([0.0, START_Y])


def start_of(task, seed=0, **numbers):
    """The start of a seed, with other numbers in place of those that are named."""
    start = task.sample_start(np.random.default_rng(seed))
    for name, value in numbers.items():
        start[{"x": [0], "y": [1], "mass": [2], "damping": [3], "field": slice(4, None)}[name]] = np.ravel(value)
    return start


def field(*cylinders):
    """A field of these cylinders alone."""
    return np.pad(np.array(cylinders, float).reshape(-1, 3), ((0, MAX_CYLINDERS - len(cylinders)), (0, 0)))


def executed(task, starts, steps=70):
    """The expert's actions [n, t, 2]."""
    env = TaskVectorEnv(len(starts), task, num_threads=0, num_frames=0)
    env.reset(seed=0, options={"start": starts})
    actions = []
    for _ in range(steps):
        actions.append(env.expert_action()[1])
        env.step(actions[-1])
    return np.stack(actions, axis=1)
