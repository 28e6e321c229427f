"""What a store takes is what its readers get: nothing is cast to something else, and nothing that they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robolearn.data.attrs import StoreAttrs
from robolearn.data.fitting import EpisodeLayout
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.types import Episode

KINDS = (np.bool_, np.uint8, np.int16, np.int64, np.float32, np.float64)


def episode(state=None, actions=None, **attrs):
    """Of whatever types: where annotations are checked, they are when an episode is made, and not when it is filled."""
    state = np.zeros((3, 2), np.float32) if state is None else state
    made = Episode({}, np.zeros((len(state), 1), np.float32), {})
    made.obs["state"] = state
    made.attrs.update(attrs)
    if actions is not None:
        object.__setattr__(made, "actions", actions)
    return made


@pytest.fixture
def store(tmp_path):
    return DemoWriter.create(tmp_path / "demos.zarr", attrs=StoreAttrs(obs_keys=("state",)))


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (episode(np.zeros((3, 2), int)), episode(np.full((3, 2), 0.5)), "data/state is of type float64; int64"),
        (episode(np.zeros((3, 2), np.uint8)), episode(np.full((3, 2), 300)), "data/state is of type int64; uint8"),
        (episode(), episode(actions=np.full((3, 1), 1e39)), "data/action is of type float64; float32"),
        (episode(score=1), episode(score=0.73), "meta/score is of type float64; int64"),
        (episode(success=True), episode(success=2), "meta/success is of type int64; bool"),
    ],
    ids=["floats after whole numbers", "beyond bytes", "beyond float32", "a score", "a truth value"],
)
def test_what_would_become_another_number_is_refused(store, first, then, message):
    store.append(first)
    with pytest.raises(UserError, match=rf"episode 1: {message}, of the first episodes, cannot hold it"):
        store.append(then)
    assert DemoStore.open(store.path).num_episodes == 1


@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=4))
def test_numbers_are_kept_or_refused(before, now, numbers):
    """Whatever the types: floats may be rounded to floats, and nothing else may change."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.array(numbers).astype(now)[:, None]
    if not np.isfinite(rows.astype(np.float64)).all():
        return
    layout = EpisodeLayout.from_episodes([episode(np.zeros((1, 1), before), np.zeros((1, 1)))], ())
    if layout.problem(episode(rows, np.zeros((len(rows), 1)))) is None:
        kept = rows.astype(layout.dtypes["state"])
        if rows.dtype.kind == "f":
            np.testing.assert_allclose(kept.astype(np.float64), rows, rtol=1e-6, atol=1e-37)
        else:
            assert np.array_equal(kept.astype(rows.dtype), rows)


def test_types_that_hold_the_numbers_are_taken(store):
    """Rounding to float32 is none; and of episodes that come together the type is one that holds all."""
    store.extend([episode(np.zeros((3, 2), np.uint8), score=1), episode(np.full((3, 2), 0.1, np.float32), score=0.5)])
    store.append(episode(np.full((3, 2), 0.3), score=2))
    read = DemoStore.open(store.path)
    np.testing.assert_allclose(read.read("state")[[0, 3, 6], 0], [0, 0.1, 0.3], rtol=1e-6)
    assert read.episode_attrs["score"].tolist() == [1, 0.5, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (episode(actions=np.zeros(3)), r"data/action has shape \(3,\), expected \[time, a\]"),
        (episode(np.zeros(3)), r"data/state has shape \(3,\), expected"),
        (Episode({"qpos": np.zeros((3, 2))}, np.zeros((3, 1))), "has no state, which `obs_keys` declares; it has qpos"),
        (episode(np.zeros((3, 0))), r"data/state has shape \(3, 0\), so that a step holds no numbers"),
        (Episode({"state": np.zeros((3, 1)), "a": np.zeros((3, 0))}, np.zeros((3, 1))), "so that a step holds no"),
        (episode(operator="anna"), "meta/operator is 'anna'; expected a truth value or a number per episode"),
        (episode(door=[1.0, 2.0]), r"meta/door is \[1.0, 2.0\]; expected"),
        (episode(success=None), "meta/success is None; expected"),
        (episode(actions=[[0.0]] * 3), "data/action is list; expected an array of numpy"),
        (episode(torch.zeros(3, 2)), "data/state is Tensor; expected an array of numpy"),
    ],
)
def test_what_could_not_be_opened_is_not_written(store, wrong, message):
    with pytest.raises(UserError, match=message):
        store.append(wrong)
    store.append(episode())
    assert DemoStore.open(store.path).num_episodes == 1
