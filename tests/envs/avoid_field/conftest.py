"""The task, and vector environments of it."""

import pytest

from envs.avoid_field import AvoidField
from envs.disturbance import Disturbance


@pytest.fixture(scope="module")
def task():
    return AvoidField()


@pytest.fixture
def make(open_envs):
    def make(num_envs, task=AvoidField, disturbance=Disturbance(), **kwargs):  # noqa: B008
        return open_envs(num_envs, task(disturbance), **kwargs)

    return make
