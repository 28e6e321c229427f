import dataclasses

import numpy as np
import pytest
import torch

from robolearn.bench import training
from robolearn.bench.heldout import HeldOut
from robolearn.bench.measuring import used_parameters
from robolearn.bench.unit import Unit
from robolearn.data.store import DemoStore
from robolearn.policies.policy import Policy
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run
from tests.bench.tiny import FLOW, REGRESSION, TASK, write_demos

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each row, with the same seed."""
    folder = write_demos(tmp_path_factory.mktemp("runs"))
    units = [Unit(TASK, row, "compute", 0, folder) for row in (FLOW, REGRESSION)]
    for unit in units:
        training.train_unit(unit, folder, CPU, lambda step: None)
    return [Run.open(unit.directory / "run") for unit in units]


def test_observations_are_held_out_and_the_same_for_every_family(runs):
    one, other = (HeldOut.from_run(run, CPU) for run in runs)
    assert torch.equal(one.obs["state"], other.obs["state"])
    assert np.array_equal(one.neighbors, other.neighbors)
    assert one.num_episodes == len(runs[0].data().validation_episodes) == 2
    store = DemoStore.open(*runs[0].config().dataset.path)
    held_out = np.concatenate([store.episode(i).obs["state"] for i in runs[0].data().validation_episodes])
    rows = {row.tobytes() for row in held_out}
    assert all(obs.tobytes() in rows for obs in one.obs["state"][:, 0].numpy())
    trained = one.normalizer.normalize(
        "action",
        torch.from_numpy(
            np.concatenate([store.episode(i).actions for i in range(10) if i not in runs[0].data().validation_episodes])
        ),
    )
    known = {row.tobytes() for row in trained.numpy()}
    assert all(step.tobytes() in known for step in one.neighbors.reshape(-1, 2))


def test_the_expert_itself_has_no_bridges(runs):
    """A policy that repeats the expert's chunks: twice the distance 0, and beyond r once in a hundred."""
    held_out = HeldOut.from_run(runs[0], CPU)
    policy = Policy.load(runs[0].checkpoint("last"))
    chunks = torch.from_numpy(held_out.expert).view(-1, 1, 4, 2)
    replies = iter(policy.normalizer.unnormalize("action", chunks).split(64))
    policy.sample = lambda obs, n, generator: next(replies).expand(-1, n, -1, -1)
    numbers = held_out.compare(policy)
    assert np.abs(numbers["energy"]).max() < 1e-5
    assert np.mean(numbers["outside"]) == pytest.approx(0.01, abs=0.01)
    assert max(numbers["bridge"]) == 0


def test_numbers_are_per_held_out_episode(runs):
    """A policy that repeats the expert's chunks, and misses by ten in those of the first episode."""
    held_out = HeldOut.from_run(runs[0], CPU)
    policy = Policy.load(runs[0].checkpoint("last"))
    chunks = torch.from_numpy(held_out.expert).clone()
    chunks[: len(chunks) // held_out.num_episodes] += 10
    replies = iter(policy.normalizer.unnormalize("action", chunks.view(-1, 1, 4, 2)).split(64))
    policy.sample = lambda obs, n, generator: next(replies).expand(-1, n, -1, -1)
    numbers = held_out.compare(policy)
    assert numbers["bridge"] == [1, 0]
    assert numbers["energy"] == pytest.approx([20, 0], abs=1e-3)


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
def test_parameters_of_a_teacher_do_not_count(runs, tiny_backbones, backbone):
    """Those of the network all do, however a plan gets at them."""
    policy = Policy.load(runs[0].checkpoint("last"))
    policy = Policy(dataclasses.replace(policy.cfg, backbone=tiny_backbones[backbone]), policy.normalizer).eval()
    trajectory = roll_out(policy, runs[0].config().env, [0], execution=Execution(2), seed=0)[0]
    before = used_parameters(policy, trajectory)
    assert before == sum(p.numel() for p in policy.parameters())
    policy.family.teacher = torch.nn.Linear(8, 8)
    assert used_parameters(policy, trajectory) == before
