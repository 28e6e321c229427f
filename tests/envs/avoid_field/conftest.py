"""The task, and vector environments of it."""

import pytest

from envs.avoid_field import AvoidField
from envs.disturbance import Disturbance
from envs.drivers import TaskVectorEnv


@pytest.fixture(scope="module")
def task():
    return AvoidField()


@pytest.fixture
def make():
    """Vector environments that are closed at the end."""
    made = []

    def make(num_envs, task=AvoidField, disturbance=Disturbance(), **kwargs):  # noqa: B008
        made.append(TaskVectorEnv(num_envs, task(disturbance), **{"num_threads": 0, **kwargs}))
        return made[-1]

    yield make
    for env in made:
        env.close()
