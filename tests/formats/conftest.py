"""Stores to export, and what is in them."""

import dataclasses
import json

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode

ATTRS = StoreAttrs(
    env_id="gymnasium:Pendulum-v1",
    control_dt=0.05,
    units={"state": "m"},
    obs_keys=("state", "top"),
    expert="me",
    source="a test",
    licence="CC0-1.0",
    env_kwargs={"g": 9.81},
    tasks=("push it", "pull it"),
    robot="arm",
    names={"action": ("x", "y")},
    splits={"train": (0, 2), "valid": (1,)},
)


def rich_episode(i, steps):
    rng = np.random.default_rng(i)
    return Episode(
        obs={
            "state": rng.normal(size=(steps, 3)).astype(np.float32),
            "top": rng.integers(0, 256, (steps, 12, 16, 3), np.uint8),
            "reward": rng.normal(size=(steps, 1)),
            "states": rng.normal(size=(steps, 5)),
        },
        actions=rng.normal(size=(steps, 2)),
        attrs={"seed": i, "success": i != 1, "task": i % 2, "friction": 0.5 * i},
    )


@pytest.fixture(scope="session")
def rich_store(tmp_path_factory):
    """Three episodes with images, rewards, tasks, splits and all facts."""
    path = tmp_path_factory.mktemp("rich") / "rich.zarr"
    DemoWriter.create(path, attrs=ATTRS).extend([rich_episode(i, steps) for i, steps in enumerate((7, 5, 9))])
    return path


@pytest.fixture(scope="session")
def ranged_store(tmp_path_factory):
    """The same, with splits that are ranges of episodes, as every format can name them."""
    path = tmp_path_factory.mktemp("ranged") / "ranged.zarr"
    attrs = dataclasses.replace(ATTRS, splits={"train": (0, 1), "valid": (2,)})
    DemoWriter.create(path, attrs=attrs).extend([rich_episode(i, steps) for i, steps in enumerate((7, 5, 9))])
    return path


@pytest.fixture(scope="session")
def equal():
    """Assert that two stores hold the same."""

    def check(one, two, *, attrs=True):
        one, two = DemoStore.open(one), DemoStore.open(two)
        assert sorted(one.keys) == sorted(two.keys)
        assert one.dtypes == two.dtypes
        assert one.content_hash() == two.content_hash()
        numbers, others = one.episode_attrs, two.episode_attrs
        assert sorted(numbers) == sorted(others)
        for name, values in numbers.items():
            np.testing.assert_array_equal(values, others[name])
            assert values.dtype == others[name].dtype
        if attrs:
            assert json.dumps(vars(one.attrs), sort_keys=True) == json.dumps(vars(two.attrs), sort_keys=True)

    return check
