"""A run of the default options, and a small policy that is trained in it."""

import pytest

from robolearn.policies.flow import FlowConfig
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from robolearn.training.state import TrainState
from tests.training.runs import FACTS


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", TrainConfig(), FACTS)


@pytest.fixture
def state(make_policy):
    return TrainState(make_policy(FlowConfig()), TrainConfig())
