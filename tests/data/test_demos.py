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
from robolearn.errors import UserError
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


def in_small_chunks(path, seed, lengths):
    """A store whose chunks hold four rows."""
    rng, total = np.random.default_rng(seed), sum(lengths)
    root = zarr.open_group(path, mode="w", zarr_format=2)
    for key in ("state", "action"):
        root.create_array(f"data/{key}", data=rng.normal(size=(total, 2)).astype(np.float32), chunks=(4, 2))
    root.create_array("meta/episode_ends", data=np.cumsum(lengths))
    return path


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("chosen", [[3], [0, 2, 5], [7, 7, 4, 1], list(range(8))])
def test_a_part_has_the_windows_of_its_episodes_and_decodes_no_others(chosen, resident, tmp_path):
    lengths = [5, 9, 3, 7], [4, 8, 12, 2]
    paths = [in_small_chunks(tmp_path / f"{i}.zarr", i, lengths[i]) for i in range(2)]
    whole, needed = Demos.open(paths), np.unique(chosen)
    limit = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 1 << 30 if resident else 1}
    expected = Windows.from_store(whole, ["state"], 2, 3, chosen)
    part = whole.part(needed)
    windows = Windows.from_store(part, ["state"], 2, 3, chosen, **limit)
    index = torch.arange(len(expected))
    assert len(windows) == len(index)
    assert windows.episodes.tolist() == chosen
    assert torch.equal(windows.batch(index).obs["state"], expected.batch(index).obs["state"])
    assert torch.equal(windows.batch(index).actions, expected.batch(index).actions)
    assert part.numbers.tolist() == needed.tolist()
    ends = np.cumsum(lengths, axis=1)
    for i, store in enumerate(part.stores):
        rows = np.concatenate(
            [np.arange(ends[i][e % 4] - lengths[i][e % 4], ends[i][e % 4]) for e in needed if e // 4 == i] or [[]]
        )
        decoded = [len(slab) for _, slab in store.slabs("state", np.isin(np.arange(sum(lengths[i])), rows))]
        assert sum(decoded) <= 4 * len(np.unique(rows // 4))


def test_damage_in_an_episode_that_is_not_needed_is_not_looked_at(tmp_path):
    path = in_small_chunks(tmp_path / "s.zarr", 0, [8, 8, 8])
    (path / "data" / "state" / "5.0").write_bytes(b"broken")
    Windows.from_store(Demos.open(path).part(np.array([0, 1])), ["state"], 1, 2)
    with pytest.raises(UserError, match="damaged"):
        Windows.from_store(Demos.open(path).part(np.array([2])), ["state"], 1, 2)


def test_a_part_is_named_by_its_own_fingerprint(tmp_path):
    demos = Demos.open(in_small_chunks(tmp_path / "s.zarr", 0, [8, 8, 8]))
    marks = {demos.fingerprint("state"), *(demos.part(np.array(e)).fingerprint("state") for e in ([0], [1], [0, 1]))}
    assert len(marks) == 4
    assert demos.part(np.arange(3)).fingerprint("state") == demos.fingerprint("state")
