"""Vector environments that are closed at the end."""

import pytest

from envs.drivers import TaskVectorEnv


@pytest.fixture
def open_envs():
    """Make n environments of a task, on one thread unless something else is said."""
    opened = []

    def make(num_envs, task, **kwargs):
        opened.append(TaskVectorEnv(num_envs, task, **{"num_threads": 0, **kwargs}))
        return opened[-1]

    yield make
    for env in opened:
        env.close()
