"""Environments that do what they must not: refused at the start, or their episode is broken; never a number."""

import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.loop import MAX_HANGS, MAX_STEPS
from robolearn.rollout.making import facts_of
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out as roll_out_in
from robolearn.rollout.watchdog import HungError, Worker
from tests.rollout import bad_envs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policy(make_policy):
    return make_policy(RegressionConfig(), obs_shapes={"state": (2,)})


def roll_out(policy, name="Good", episodes=6, num_envs=3, *, kwargs=None, seed=0, **options):
    cfg = EnvConfig(f"bad/{name}-v0", kwargs or {}, **options)
    return roll_out_in(policy, cfg, range(episodes), execution=Execution(4), seed=seed, num_envs=num_envs)


def assert_same(one, other):
    assert (one.reason, one.success, one.start) == (other.reason, other.success, other.start)
    np.testing.assert_array_equal(one.actions, other.actions)
    np.testing.assert_array_equal(one.obs["state"], other.obs["state"])
    np.testing.assert_array_equal(one.scores, other.scores)


def refused(capsys, policy, name, **options):
    """The one line with which an evaluation ends."""
    with pytest.raises(ValueError, match=f"bad/{name}-v0|the environment's") as caught:
        roll_out(policy, name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", bad_envs.SPACES)
def test_other_spaces_are_refused_before_anything_runs(capsys, policy, name, monkeypatch):
    begun = []
    monkeypatch.setattr(bad_envs.Good, "reset", lambda self, **_: begun.append(self))
    assert "broken" not in refused(capsys, policy, name)
    assert begun == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DiscreteAction", "actions must be a Box of floats, they are Discrete"),
        ("IntAction", "they are a Box of int64"),
        ("OneAction", r"actions have shape (1,), those of the policy (2,)"),
        ("TupleObs", "observation 'state' must be a Box of numbers, it is Tuple"),
        ("OtherKey", "has no observation ['state']; it has ['position']"),
        ("WideObsSpace", "'state' has shape (3,), the policy expects (2,)"),
        ("NoAction", "they are None"),
    ],
)
def test_a_refusal_says_what_differs(capsys, policy, name, words):
    assert words in refused(capsys, policy, name)


@pytest.mark.parametrize("name", [*bad_envs.SPOILED, "FourTuple", "NotATuple", *bad_envs.BEGINNINGS])
def test_what_no_step_may_return_breaks_every_episode(capsys, policy, name):
    assert "all 6 episodes are broken; the first: " in refused(capsys, policy, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NanObs", "observation 'state' is not finite"),
        ("HugeObs", "observation 'state' is not finite"),
        ("WideObs", "observation 'state' has shape (3,), declared is (2,)"),
        ("ArrayReward", "the reward is an array of shape (1,), not a number"),
        ("TextReward", "the reward must be numbers, it is '0.5'"),
        ("NanReward", "the reward is nan"),
        ("NoneInfo", "info is None, not a dict"),
        ("LongSuccess", "success must be true or false"),
        ("HalfSuccess", "success must be true or false, it is 0.5"),
        ("HalfMode", "the mode must be one of -1, 0, 1, ..., it is 0.5"),
        ("FourTuple", "expected 5, got 4"),
        ("OldReset", "reset returned ndarray, not (observation, info)"),
        ("NanReset", "observation 'state' is not finite"),
    ],
)
def test_a_broken_episode_says_why(capsys, policy, name, words):
    assert words in refused(capsys, policy, name)


@pytest.mark.parametrize("value", [True, False, np.True_, 1, 0, 1.0, np.float32(0), np.array([1]), np.array(True)])
def test_what_stands_for_true_or_false(policy, value, monkeypatch):
    monkeypatch.setattr(bad_envs.Good, "spoil", lambda self, result: (*result[:4], {"is_success": value}))
    assert [t.success for t in roll_out(policy)] == [bool(np.all(value))] * 6


@pytest.mark.parametrize("kind", ["value", "exit", "base", "long", "mute", "os"])
@pytest.mark.parametrize("where", ["step", "reset"])
def test_what_an_environment_raises_breaks_that_episode_only(capsys, policy, where, kind):
    trajectories = roll_out(policy, "Raises", kwargs={"where": where, "kind": kind})
    assert [t.broken for t in trajectories] == [False, True] * 3
    for mine, good in zip(trajectories[::2], roll_out(policy)[::2], strict=True):
        assert_same(mine, good)
    name = {"value": "ValueError: boom", "exit": "SystemExit: 3", "mute": "MuteError", "long": "RuntimeError: xxx"}
    for t in trajectories[1::2]:
        assert t.reason.startswith(f"broken: {where} raised {name.get(kind, '')}")
        assert (t.success, t.mode) == (False, -1)
        assert "\n" not in t.reason
        assert len(t.reason) < 300
    error = capsys.readouterr().err
    assert error.count("warning: 3 of 6 episodes are broken and count for nothing; the first, episode 1: ") == 1


def test_broken_episodes_enter_no_number(policy):
    trajectories = roll_out(policy, "Raises", episodes=8)
    summary = summarize(trajectories, num_modes=None, control_dt=0.1)
    alone = summarize([t for t in trajectories if not t.broken], num_modes=None, control_dt=0.1)
    assert (summary.num_episodes, summary.num_broken, summary.num_starts) == (8, 4, 4)
    assert summary.success == alone.success
    assert summary.success.value == 1.0
    assert (summary.max_score, summary.length, summary.smoothness) == (alone.max_score, alone.length, alone.smoothness)
    assert sum(summary.reasons.values()) == 8


def test_a_defect_of_ours_is_no_broken_episode(policy, monkeypatch):
    def wrong(self, result):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("robolearn.rollout.interface.Interface.read_step", wrong)
    with pytest.raises(ZeroDivisionError, match="ours"):
        roll_out(policy)


@pytest.mark.parametrize("kind", ["runtime", "exit", "key"])
def test_an_environment_that_cannot_be_made(capsys, policy, kind):
    name = {"runtime": "RuntimeError: no licence", "exit": "SystemExit: 1", "key": "KeyError: 'xml'"}[kind]
    assert refused(capsys, policy, "CannotBeMade", kwargs={"kind": kind}) == f"environment bad/CannotBeMade-v0: {name}"


def test_an_environment_that_cannot_be_closed(capsys, policy):
    for mine, good in zip(roll_out(policy, "CannotBeClosed"), roll_out(policy), strict=True):
        assert_same(mine, good)
    assert capsys.readouterr().err.count("close raised RuntimeError: still rendering") == 1


def test_actions_that_are_no_numbers_are_the_policys_failure(policy, monkeypatch):
    act = policy.act
    monkeypatch.setattr(policy, "act", lambda *args: act(*args) * math.nan)
    for t in roll_out(policy):
        assert (t.broken, t.reason, t.success, len(t)) == (False, "unstable", False, 1)
        assert np.isfinite(t.obs["state"]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("image as float", "observation 'image' is float64, declared is uint8"),
        ("no image", "the observation lacks ['image']"),
        ("bare", "the observation is ndarray, not a dict"),
    ],
)
def test_named_observations_that_change(capsys, make_policy, change, words):
    sees = make_policy(RegressionConfig(), obs_shapes={"state": (2,), "image": (8, 8, 3)})
    assert not any(t.broken for t in roll_out(sees, "Named"))
    assert words in refused(capsys, sees, "Named", kwargs={"change": change})


@pytest.mark.parametrize(("where", "busy"), [("step", False), ("step", True), ("reset", False)])
def test_what_hangs_breaks_that_episode_only(capsys, policy, where, busy):
    kwargs = {"where": where, "every": 3, "busy": busy, "seconds": 5.0}
    trajectories = roll_out(policy, "Hangs", seed=1, kwargs=kwargs, timeout=0.3)
    assert [t.broken for t in trajectories] == [False, False, True, False, False, True]
    assert trajectories[2].reason == f"broken: {where} took longer than 0.3 s"
    for mine, good in zip(trajectories, roll_out(policy, seed=1), strict=True):
        if not mine.broken:
            assert_same(mine, good)


def test_where_everything_hangs_it_is_given_up(capsys, policy, monkeypatch):
    made, init = [], bad_envs.Hangs.__init__

    def count(self, **kwargs):
        made.append(self)
        init(self, **kwargs)

    monkeypatch.setattr(bad_envs.Hangs, "__init__", count)
    assert "all 40 episodes are broken" in refused(capsys, policy, "Hangs", episodes=40, num_envs=2, timeout=0.05)
    assert len(made) <= MAX_HANGS + 2  # each that hung was made, and no more than the two that were there before


def test_making_that_hangs_is_refused(capsys, policy):
    line = refused(capsys, policy, "Hangs", kwargs={"where": "make"}, timeout=0.2)
    assert line == "environment bad/Hangs-v0: make took longer than 0.2 s"


def test_asking_an_environment_is_watched_too(capsys, monkeypatch):
    monkeypatch.setattr("robolearn.rollout.making._KNOWN", {})
    assert facts_of(EnvConfig("bad/CannotBeClosed-v0")).num_modes is None
    assert "close raised RuntimeError: still rendering" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"make took longer than 0\.1 s"):
        facts_of(EnvConfig("bad/Hangs-v0", {"where": "make"}, timeout=0.1))


def test_a_mode_beyond_those_declared(capsys, policy, monkeypatch):
    monkeypatch.setattr(bad_envs.Good, "spoil", lambda self, result: (*result[:4], {"mode": 2}))
    assert {t.mode for t in roll_out(policy)} == {2}
    monkeypatch.setattr(bad_envs.Good, "num_modes", 2, raising=False)
    assert "the mode must be one of -1 .. 1, it is 2" in refused(capsys, policy, "Good")


def test_closing_that_hangs_is_a_warning(capsys, policy):
    trajectories = roll_out(policy, "Hangs", kwargs={"where": "close"}, timeout=0.2)
    assert not any(t.broken for t in trajectories)
    assert capsys.readouterr().err.count("close took longer than 0.2 s") == 1


def test_a_hung_thread_keeps_no_process_from_ending():
    code = "import time; from robolearn.rollout.watchdog import HungError, Worker\n"
    code += "try: Worker(0.1).call(time.sleep, 600)\nexcept HungError: print('hung')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hung\n", "")


def test_everything_of_one_environment_happens_in_one_thread_and_none_of_it_at_once(policy, monkeypatch):
    threads = []
    monkeypatch.setattr(bad_envs.Good, "__init__", lambda self: threads.append(threading.get_ident()), raising=False)
    made = []
    step, reset = bad_envs.Good.step, bad_envs.Good.reset

    def note(function):
        def noted(self, *args, **kwargs):
            if not hasattr(self, "thread"):
                self.thread = threading.get_ident()
                made.append(self.thread)
            assert self.thread == threading.get_ident()
            return function(self, *args, **kwargs)

        return noted

    monkeypatch.setattr(bad_envs.Good, "step", note(step))
    monkeypatch.setattr(bad_envs.Good, "reset", note(reset))
    assert not any(t.broken for t in roll_out(policy))
    assert set(made) == set(threads)
    assert len(set(threads)) == 3
    assert threading.get_ident() not in threads


def test_a_worker_gives_back_what_its_calls_return_and_raise():
    worker = Worker(5.0)
    assert worker.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        worker.call(divmod, 7, 0)
    assert worker.call(divmod, 9, 2) == (4, 1)
    worker.stop()
    with pytest.raises(HungError):
        Worker(0.05).call(time.sleep, 1.0)


def test_without_a_time_limit_episodes_are_cut_at_a_stated_number(capsys, policy, monkeypatch):
    assert MAX_STEPS == 1000
    monkeypatch.setattr("robolearn.rollout.loop.MAX_STEPS", 22)
    (t,) = roll_out(policy, "Endless", episodes=1)
    assert (len(t), t.reason) == (22, "success")
    assert "states no time limit: episodes are cut at 22 steps" in capsys.readouterr().err
    (t,) = roll_out(policy, "Endless", episodes=1, max_episode_steps=8)
    assert len(t) == 8
    assert "time limit" not in capsys.readouterr().err


def test_an_environment_that_tells_of_no_success_says_so(capsys, policy):
    roll_out(policy, "Silent")
    assert "bad/Silent-v0 tells of no success" in capsys.readouterr().err


def test_a_good_environment_is_left_in_peace(capsys, policy):
    roll_out(policy)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.inf, math.nan])
def test_a_timeout_is_a_time(timeout):
    with pytest.raises(ValueError, match=r"`env\.timeout`"):
        EnvConfig("bad/Good-v0", timeout=timeout)


@pytest.mark.parametrize("steps", [0, -3])
def test_a_limit_is_a_number_of_steps(steps):
    with pytest.raises(ValueError, match=r"`env\.max_episode_steps`"):
        EnvConfig("bad/Good-v0", max_episode_steps=steps)


def test_options_go_over_those_of_training():
    base = EnvConfig("bad/Good-v0", {"a": 1}, 7, 5.0)
    assert EnvConfig(timeout=2.0).with_defaults(base) == EnvConfig("bad/Good-v0", {"a": 1}, 7, 2.0)
    assert EnvConfig(max_episode_steps=3).with_defaults(base) == EnvConfig("bad/Good-v0", {"a": 1}, 3, 5.0)
