"""What is random in processes that train together: noise is of the joint batch, dropout of each by itself."""

import dataclasses

import pytest
import torch

from robolearn.data.ahead import Ahead
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.training import step as steps
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.state import TrainState
from tests.training.test_capture import make_windows


@pytest.fixture
def train(make_policy, monkeypatch):
    """Losses of steps of one of several processes, which sees all of each batch here; and the state in the end."""
    monkeypatch.setattr(steps, "joint_loss", lambda state, _: state.policy)

    def losses(rank, dropout, count=4, kept=None):
        processes = Processes(torch.device("cpu"))
        processes.rank, processes.share = rank, lambda size: slice(0, size)
        backbone = MLPConfig(width=8, depth=1, dropout=dropout)
        small = make_policy(FlowConfig())
        torch.manual_seed(0)
        policy = Policy(dataclasses.replace(small.cfg, backbone=backbone), small.normalizer).train()
        state = TrainState(policy, TrainConfig(batch_size=8, amp="off"))
        if kept is not None:
            state.restore(kept, 2)
        with Ahead(make_windows()) as ahead:
            step = steps.make_step(state, ahead, processes)
            return [float(step()["loss"]) for _ in range(count)], state

    return losses


def test_noise_is_that_of_the_joint_batch_in_every_process(train):
    assert train(0, 0.0)[0] == train(1, 0.0)[0]


def test_dropout_is_another_in_every_process(train):
    dropped = [train(rank, 0.5)[0] for rank in (0, 1, 2)]
    assert len({losses[0] for losses in dropped}) == 3
    assert train(1, 0.5)[0] == dropped[1]


def test_dropout_is_another_at_every_step(train, monkeypatch):
    begun, advance = [], steps.advance
    monkeypatch.setattr(steps, "advance", lambda *given: (begun.append(torch.initial_seed()), advance(*given))[1])
    for rank in (1, 2):
        train(rank, 0.5)
    assert len(set(begun)) == len(begun) == 8


def test_a_process_goes_on_with_the_dropout_that_it_would_have_had(train):
    """Though a checkpoint keeps the random numbers of the first process alone."""
    whole, _ = train(1, 0.5)
    _, state = train(1, 0.5, count=2)
    kept = {name: value.clone() for name, value in state.tensors().items()}
    torch.manual_seed(9)
    kept["random.cpu"] = torch.get_rng_state()
    assert train(1, 0.5, count=2, kept=kept)[0] == whole[2:]
