"""Learning a simulator, again and from where it was."""

import contextlib
import errno
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from robolearn.commands.main import main
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.simulator.learn import learn_simulator
from robolearn.simulator.model import CONFIG_FILE, FACTS_FILE, RECORDINGS_FILE, RUN, LearnedSimulator
from robolearn.training.run import Run
from tests.simulator import point
from tests.simulator.conftest import config

TINY = {"steps": 3, "ending_steps": 3, "batch_size": 8, "backbone": MLPConfig(width=16, depth=1)}


@pytest.fixture
def store(tmp_path):
    return point.write(tmp_path / "store.zarr", 20, targets=(None, 1.0, -1.0))


def weights(simulator):
    state = {**simulator.policy.state_dict(), **{f"ending.{k}": v for k, v in simulator.ending.state_dict().items()}}
    return {name: value.numpy() for name, value in state.items()}


def test_the_same_seed_learns_the_same(store, tmp_path):
    one, same, other = (
        learn_simulator(config((store,), tmp_path / name, seed=seed, **TINY))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(np.array_equal(value, weights(same)[name]) for name, value in weights(one).items())
    assert not all(np.array_equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_it_goes_on_where_it_was_stopped(store, tmp_path, monkeypatch):
    whole = learn_simulator(config((store,), tmp_path / "whole", **TINY))
    with monkeypatch.context() as patch:
        patch.setattr("robolearn.simulator.learn.fit_ending", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learn_simulator(config((store,), tmp_path / "part", **TINY))
    with pytest.raises(UserError, match="holds no complete learned simulator"):
        LearnedSimulator.open(tmp_path / "part")
    part = learn_simulator(config((store,), tmp_path / "part", **TINY))
    assert all(np.array_equal(value, weights(part)[name]) for name, value in weights(whole).items())


@pytest.fixture(params=["complete", "interrupted"])
def begun(request, store, tmp_path, monkeypatch):
    """A simulator that was learned, or was stopped when its states had been."""
    cfg = config((store, point.write(tmp_path / "other.zarr", 20, seed=1)), tmp_path / "a", **TINY)
    with monkeypatch.context() as patch, contextlib.suppress(ZeroDivisionError):
        if request.param == "interrupted":
            patch.setattr("robolearn.simulator.learn.fit_ending", lambda *a, **k: 1 / 0)
        learn_simulator(cfg)
    return cfg


def test_stores_that_have_grown_are_refused(begun, store):
    """Episodes of the second store have other numbers then, by which those that are held out are known."""
    DemoWriter.append_to(store).extend([DemoStore.open(store).episode(0)])
    with pytest.raises(UserError, match=r"store\.zarr \+ .* changed since this simulator was begun; choose another"):
        learn_simulator(begun)


def test_episodes_that_ended_otherwise_are_refused(begun, store):
    shutil.rmtree(store)
    point.write(store, 20, targets=(None, 1.0, -1.0), keep=("success",))
    with pytest.raises(UserError, match="changed since this simulator was begun"):
        learn_simulator(begun)


def test_what_was_begun_when_nothing_was_noted_goes_on(begun):
    (begun.out / RECORDINGS_FILE).unlink()
    assert learn_simulator(begun) is not None
    assert not (begun.out / RECORDINGS_FILE).exists()


@pytest.fixture
def command(store, tmp_path):
    flags = ["--steps", "3", "--ending-steps", "3", "--batch-size", "8", "--obs-keys", "state", "--device", "cpu"]
    return ["simulator", "learn", "flow", "mlp", "--stores", str(store), "--out", str(tmp_path / "part"), *flags]


def test_a_signal_while_the_last_step_is_saved_is_no_reason_to_learn_endings(command, tmp_path, monkeypatch, capsys):
    save = Run.save

    def interrupted(run, state):
        save(run, state)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", interrupted)
        with pytest.raises(SystemExit) as caught:
            main(command)
    assert caught.value.code == 143
    assert capsys.readouterr().err.endswith(f"steps are in {tmp_path / 'part'}, the same command goes on from there\n")
    assert Run(tmp_path / "part" / RUN).is_complete()
    assert not (tmp_path / "part" / FACTS_FILE).exists()
    main(command)
    LearnedSimulator.open(tmp_path / "part")


def test_on_a_full_disk_the_same_command_goes_on(command, tmp_path, monkeypatch, capsys):
    """Of the training below it says so, and not how `train` would go on with it."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", refuse)
        with pytest.raises(SystemExit) as caught:
            main(command)
    assert caught.value.code == 2
    why = "No space left on device; nothing was saved; the same command goes on from there"
    assert capsys.readouterr().err == f"error: {why}\n"
    main(command)
    LearnedSimulator.open(tmp_path / "part")


def test_other_settings_are_refused(store, tmp_path):
    learn_simulator(config((store,), tmp_path / "a", **TINY))
    with pytest.raises(UserError, match="`history` was 1, it is 2 now; choose another `out`"):
        learn_simulator(config((store,), tmp_path / "a", history=2, **TINY))


def test_a_folder_of_something_else_is_refused(store, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/thesis.txt").write_text("")
    with pytest.raises(UserError, match="is no learned simulator; choose another `out`"):
        learn_simulator(config((store,), tmp_path / "a", **TINY))


def test_a_beginning_that_was_killed_is_in_nobodys_way(store, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{CONFIG_FILE}.part").touch()
    assert learn_simulator(config((store,), tmp_path / "a", **TINY)) is not None


def test_too_few_episodes_are_refused(tmp_path):
    store = point.write(tmp_path / "store.zarr", 5, targets=(1.0,))
    with pytest.raises(UserError, match=r"`held_out` 0.1 of 5 episodes is no episode"):
        learn_simulator(config((store,), tmp_path / "a", **TINY))


@pytest.mark.parametrize(("history", "family"), [(3, GMMConfig(num_components=2)), (2, None)])
def test_any_family_and_history(store, tmp_path, history, family):
    chosen = {} if family is None else {"family": family}
    simulator = learn_simulator(config((store,), tmp_path / "a", history=history, **TINY, **chosen))
    noise = simulator.noise(2, 5, generator=torch.Generator().manual_seed(0))
    history_of_both = torch.zeros(2, history, 1)
    states = simulator.unroll(history_of_both, torch.zeros(2, 5, 1), noise)
    assert states.shape == (2, 5, 1)
    assert simulator.endings(history_of_both, torch.zeros(2, 5, 1), states, torch.zeros(2, 5)).shape == (2, 5)


@pytest.mark.parametrize("kind", [str, Path])
def test_one_store_needs_no_tuple(kind):
    assert config(kind("demos.zarr"), "out").stores == (Path("demos.zarr"),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"horizon": 0}, "`horizon` 0"),
        ({"held_out": 1.0}, "`held_out` 1.0"),
        ({"lr": -1.0}, "`lr` -1.0"),
        ({"obs_keys": ("state", "state")}, "`obs_keys` state state: a key is given twice"),
    ],
)
def test_impossible_settings_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        config(("a",), "b", **changes)


def test_the_command_learns(store, tmp_path, capsys):
    flags = [
        "--steps",
        "2",
        "--ending-steps",
        "2",
        "--batch-size",
        "8",
        "--threads",
        "1",
        "--backbone.width",
        "16",
        "--horizon",
        "2",
    ]
    main(["simulator", "learn", "gmm", "mlp", "--stores", str(store), "--out", str(tmp_path / "a"), *flags])
    assert f"learned: {tmp_path / 'a'}" in capsys.readouterr().out
    assert LearnedSimulator.open(tmp_path / "a").facts.horizon == 2
