"""Recordings as a simulator learns from them."""

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.simulator.transitions import (
    BEFORE,
    PLAN,
    STATE,
    Ends,
    Recording,
    as_demonstration,
    changes_before,
    read_recordings,
    state_keys,
)
from robolearn.types import Episode
from tests.simulator import point

RECORDING = Recording(np.array([[0.0], [1], [3], [6]], np.float32), np.array([[10.0], [11], [12], [13]]), Ends.SUCCESS)


def test_an_episode_as_a_demonstration_of_changes():
    made = as_demonstration(RECORDING, horizon=3, history=2)
    assert made.obs[STATE].tolist() == [[0], [1], [3]]
    assert made.obs[BEFORE].tolist() == [[0], [1], [2]]
    assert made.obs[PLAN].tolist() == [[10, 11, 12], [11, 12, 13], [12, 13, 13]]
    assert made.actions.tolist() == [[1], [2], [3]]


def test_who_sees_one_state_sees_no_changes():
    assert set(as_demonstration(RECORDING, horizon=3, history=1).obs) == {STATE, PLAN}


def test_changes_before_are_the_latest_first():
    assert changes_before(RECORDING.states, 3).tolist() == [[0, 0], [1, 0], [2, 1], [3, 2]]


def test_how_episodes_ended(tmp_path):
    store = point.write(tmp_path / "a.zarr", 40, targets=(1.0, 0.0, -1.0))
    known = [r.ends for r in read_recordings(Demos.open(store), ("state",))]
    assert {*known} == {Ends.SUCCESS, Ends.NOTHING, Ends.FAILURE}
    assert known[0] == Ends.SUCCESS
    assert known[2] == Ends.FAILURE


def test_successes_that_are_gone_on_after_are_refused(tmp_path):
    """Nobody knows in which step they came."""
    store = DemoWriter.create(tmp_path / "a.zarr", attrs=StoreAttrs(obs_keys=("state",)))
    store.append(Episode({"state": np.zeros((3, 1))}, np.zeros((3, 1)), {"success": True, "ended": False}))
    with pytest.raises(UserError, match=r"succeed and go on .* record them with `env\.stop_on_success`"):
        read_recordings(Demos.open(store.path), ("state",))


def test_without_word_of_ends_a_failure_is_unknown(tmp_path):
    """Nobody knows whether its time was up."""
    store = point.write(tmp_path / "a.zarr", 40, targets=(1.0, 0.0, -1.0), keep=("success",))
    assert {r.ends for r in read_recordings(Demos.open(store), ("state",))} == {Ends.SUCCESS, Ends.UNKNOWN}


def test_stores_that_say_different_things_are_joined(tmp_path):
    stores = (
        point.write(tmp_path / "a.zarr", 3, targets=(1.0,), keep=("success",)),
        point.write(tmp_path / "b.zarr", 3, targets=(-1.0,)),
    )
    ends = [r.ends for r in read_recordings(Demos.open(stores), ("state",))]
    assert ends == [Ends.SUCCESS] * 3 + [Ends.FAILURE] * 3


def test_a_store_without_the_key_is_refused(tmp_path):
    store = point.write(tmp_path / "a.zarr", 3)
    with pytest.raises(UserError, match=r"a\.zarr.*velocity"):
        state_keys(Demos.open(store), ("velocity",))


def test_a_store_that_does_not_tell_of_success_is_refused(tmp_path):
    store = point.write(tmp_path / "a.zarr", 3, keep=())
    with pytest.raises(UserError, match=r"meta/success is missing, .* give `assume_success`"):
        read_recordings(Demos.open(store), ("state",))


def test_episodes_that_do_not_tell_of_success_may_be_taken_for_successes(tmp_path):
    """Of a store that tells nothing is changed."""
    silent = point.write(tmp_path / "a.zarr", 3, keep=())
    telling = point.write(tmp_path / "b.zarr", 3, targets=(-1.0,))
    recordings = read_recordings(Demos.open((silent, telling)), ("state",), assume_success=True)
    assert [one.ends for one in recordings] == [Ends.SUCCESS] * 3 + [Ends.FAILURE] * 3


def test_episodes_of_a_single_step_are_left_out_and_counted(tmp_path, capsys):
    store = point.write(tmp_path / "p.zarr", 12, targets=(1.0,))
    one = Episode(
        {"state": np.zeros((1, 1), np.float32)}, np.ones((1, 1), np.float32), {"success": True, "ended": True}
    )
    DemoWriter.append_to(store).extend([one, one])
    assert len(read_recordings(Demos.open([store]), ["state"])) == 12
    assert "p.zarr: 2 of 14 episodes are left out, as a single step has none after it" in capsys.readouterr().err


def test_stores_without_a_success_are_refused(tmp_path):
    store = point.write(tmp_path / "a.zarr", 3, targets=(-1.0,))
    with pytest.raises(UserError, match="no episode was successful"):
        read_recordings(Demos.open(store), ("state",))
