"""A simulator of the point, learned once."""

from pathlib import Path

import pytest

from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.simulator.config import SimulatorConfig
from robolearn.simulator.learn import learn_simulator
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.train import train
from tests.simulator import point

SMALL = {"horizon": 4, "history": 1, "batch_size": 128, "threads": 1, "device": "cpu"}


def config(stores, out, **changes):
    nets = {"family": FlowConfig(steps=5), "backbone": MLPConfig(width=64, depth=2)}
    return SimulatorConfig(stores, out, **{"steps": 1500, "ending_steps": 1000, **SMALL, **nets, **changes})


@pytest.fixture(scope="session")
def point_store(tmp_path_factory):
    return point.write(tmp_path_factory.mktemp("point") / "point.zarr", 400, targets=(None, 1.0, 0.7, 0.0, -0.7, -1.0))


@pytest.fixture(scope="session")
def simulator(tmp_path_factory, point_store):
    return learn_simulator(config((point_store,), tmp_path_factory.mktemp("learned") / "point"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Policies that go right, nowhere and left, by the target of their demonstrations."""
    folder, directories = tmp_path_factory.mktemp("runs"), {}
    for name, target in (("right", 1.0), ("nowhere", 0.0), ("left", -1.0)):
        store = point.write(folder / f"{name}.zarr", 10, targets=(target,), seed=1)
        directories[name] = train(tiny_training(store, folder / name)).directory
    return directories


def tiny_training(store, out, **changes):
    settings = {"obs_horizon": 1, "action_horizon": 4, "exec_horizon": 4, "steps": 150, "warmup_steps": 10}
    data = DatasetConfig((Path(store),), short_episodes="pad", validation_fraction=0.0)
    nets = {"family": RegressionConfig(), "backbone": MLPConfig(width=32, depth=1), "chunk_frame": "absolute"}
    small = {"batch_size": 32, "threads": 1, "device": "cpu", "amp": "off", "wandb": False}
    return TrainConfig(dataset=data, out=out, **{**settings, **nets, **small, **changes})
