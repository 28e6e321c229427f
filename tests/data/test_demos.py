"""Several stores are read as one: nothing crosses their border, and what does not fit together is refused."""

import numpy as np
import pytest
import torch
import zarr

from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.data.episodes import make_episode


def write(path, episodes, **attrs):
    DemoWriter.create(path, attrs=StoreAttrs(**attrs)).extend(list(episodes))
    return path


@pytest.fixture
def paths(tmp_path):
    one = write(tmp_path / "one.zarr", map(make_episode, range(4)))
    return [one, write(tmp_path / "two.zarr", map(make_episode, range(7, 10)))]


@pytest.mark.parametrize("mapped", [False, True])
def test_two_stores_are_as_one_that_holds_both(tmp_path, paths, mapped):
    whole = write(tmp_path / "whole.zarr", map(make_episode, [0, 1, 2, 3, 7, 8, 9]))
    where = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 10} if mapped else {}
    mixed = Windows.from_store(Demos.open(paths), ("state", "img"), 3, 4, **where)
    expected = Windows.from_store(DemoStore.open(whole), ("state", "img"), 3, 4)
    assert len(mixed) == len(expected)
    a, b = (windows.batch(torch.arange(len(expected))) for windows in (mixed, expected))
    for key in ("state", "img"):
        assert torch.equal(a.obs[key], b.obs[key])
    assert torch.equal(a.actions, b.actions)
    assert torch.equal(a.mask, b.mask)


def test_attributes_are_numbered_through(paths):
    demos = Demos.open(paths)
    np.testing.assert_array_equal(demos.episode_attr("seed"), [0, 1, 2, 3, 7, 8, 9])
    assert demos.episode_attr("color") is None
    assert demos.name == f"{paths[0]} + {paths[1]}"


def test_the_hash_covers_every_store(tmp_path, paths):
    keys = ["state", "action"]
    both = Demos.open(paths).content_hash(keys)
    assert Demos.open(paths[:1]).content_hash(keys) == DemoStore.open(paths[0]).content_hash(keys)
    other = write(tmp_path / "other.zarr", map(make_episode, [7, 8, 11]))
    hashes = {both, *(Demos.open(some).content_hash(keys) for some in (paths[:1], paths[1:], [paths[0], other]))}
    assert len(hashes) == 4
    assert Demos.open(paths[::-1]).content_hash(keys) not in hashes  # episodes are numbered by the order


def plain(**obs):
    """One episode without images."""
    rows = {key: np.zeros((5, *shape), np.float32) for key, shape in obs.items()}
    return Episode(obs=rows, actions=np.zeros((5, 2), np.float32))


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({"pose": (4,)}, r"b.zarr: no key 'state' \(there are: action, pose\)"),
        ({"state": (6,)}, r"b.zarr: data/state has shape \(6,\) per step, in .*a.zarr \(4,\); .* must agree"),
    ],
)
def test_the_store_and_the_key_that_differ_are_named(tmp_path, obs, message):
    paths = [write(tmp_path / "a.zarr", [plain(state=(4,))]), write(tmp_path / "b.zarr", [plain(**obs)])]
    with pytest.raises(ValueError, match=message) as caught:
        Windows.from_store(Demos.open(paths), ("state",), 1, 1)
    assert "\n" not in str(caught.value)


def test_a_fault_is_named_by_its_own_store(tmp_path):
    broken = plain(state=(4,))
    broken.obs["state"][3, 1] = np.nan
    path = write(tmp_path / "b.zarr", [plain(state=(4,))])
    root = zarr.open_group(path, mode="r+")
    root["data/state"][:] = broken.obs["state"]
    demos = Demos.open([write(tmp_path / "a.zarr", [plain(state=(4,))]), path])
    with pytest.raises(ValueError, match=r"b.zarr: data/state: nan in episode 0, step 3, dim 1"):
        Windows.from_store(demos, ("state",), 1, 1)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"control_dt": 0.1}, r"b.zarr: control_dt is 0.1, in .*a.zarr 0.05"),
        ({"env_id": "x:y/Other-v0"}, r"b.zarr: env_id is 'x:y/Other-v0', in .*a.zarr 'x:y/Task-v0'"),
    ],
)
def test_what_is_stated_must_agree(tmp_path, stated, message):
    one = write(tmp_path / "a.zarr", [plain(state=(4,))], env_id="x:y/Task-v0", control_dt=0.05)
    other = write(tmp_path / "b.zarr", [plain(state=(4,))], **stated)
    with pytest.raises(ValueError, match=message):
        Demos.open([one, other])


def test_what_one_store_does_not_state_another_may(tmp_path):
    silent = write(tmp_path / "a.zarr", [plain(state=(4,))], obs_keys=("state",))
    stated = {"env_id": "x:y/Task-v0", "env_kwargs": {"moved": 1}, "control_dt": 0.05}
    telling = write(tmp_path / "b.zarr", [plain(state=(4,))], **stated)
    attrs = Demos.open([silent, telling]).attrs
    assert (attrs.env_id, attrs.env_kwargs, attrs.control_dt) == tuple(stated.values())
    assert attrs.obs_keys == ("state",)


def test_keyword_arguments_are_those_of_the_first_store(tmp_path):
    one = write(tmp_path / "a.zarr", [plain(state=(4,))], env_id="x:y/Task-v0")
    other = write(tmp_path / "b.zarr", [plain(state=(4,))], env_id="x:y/Task-v0", env_kwargs={"moved": 1})
    assert Demos.open([one, other]).attrs.env_kwargs == {}
    assert Demos.open([other, one]).attrs.env_kwargs == {"moved": 1}


def test_a_store_given_twice_is_refused(paths):
    """Its episodes would be on both sides of the split."""
    again = paths[0].parent / "." / ".." / paths[0].parent.name / "one.zarr"
    with pytest.raises(ValueError, match=r"one.zarr: given twice"):
        Demos.open([*paths, again])
    with pytest.raises(ValueError, match=r"`dataset.path` needs at least one store"):
        Demos.open([])
