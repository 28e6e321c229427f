"""Where the time of rollouts goes, by a clock that is made up."""

import types
from contextlib import suppress

import pytest

from robolearn.policies.flow import FlowConfig
from robolearn.rollout import spent
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.controller import Controller
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.spent import PARTS, TimeSpent, spent_line


@pytest.fixture
def clock(monkeypatch):
    """Passes time: clock(3.0)."""
    now = [50.0]
    monkeypatch.setattr(spent, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def pass_time(seconds):
        now[0] += seconds

    return pass_time


def test_no_moment_counts_twice(clock):
    """One part interrupts another, an error ends both, and what is outside of all belongs to none."""
    time_spent = TimeSpent()
    with time_spent.on("preparing"):
        clock(1)
        with time_spent.on("policy"):
            clock(2)
        clock(4)
    clock(8)
    with suppress(ValueError), time_spent.on("page"), time_spent.on("policy"):
        clock(16)
        raise ValueError
    with time_spent.on("page"):
        clock(32)
    assert time_spent.seconds == pytest.approx({"preparing": 5, "policy": 18, "page": 32})


def test_a_line_has_shares_in_their_order():
    line = spent_line({"page": 0.0, "physics": 5.0, "policy": 15.04})
    assert line == "20.0 s: policy 15.0 s (75%), physics 5.0 s (25%), page 0.0 s (0%)"
    assert spent_line({"policy": 0.0}) == "0.0 s: policy 0.0 s (0%)"


def test_rollouts_tell_the_policy_from_physics(clock, make_policy, monkeypatch):
    """A plan takes 1 s, a chunk in the environment 10 s, a reset 100 s, and what is done with an episode 1000 s."""
    plans, chunks, resets = [], [], []

    def slow(kept, seconds, owner, name):
        method = getattr(owner, name)

        def called(*arguments, **options):
            clock(seconds)
            kept.append(seconds)
            return method(*arguments, **options)

        monkeypatch.setattr(owner, name, called)

    class Slow(Controller):
        def attach(self, envs: ChunkedEnvs):
            slow(chunks, 10, envs, "step_chunk")
            slow(resets, 100, envs, "reset")

    slow(plans, 1, Slow, "_sample")
    env, time_spent = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=8), TimeSpent()
    with time_spent.on("preparing"):
        roll_out(
            make_policy(FlowConfig(steps=1)),
            env,
            range(3),
            execution=Execution(4),
            seed=0,
            num_envs=2,
            on_done=lambda _: clock(1000),
            make_controller=Slow,
            spent=time_spent,
        )
    assert set(time_spent.seconds) <= set(PARTS)
    assert time_spent.seconds["policy"] == sum(plans) > 0
    assert time_spent.seconds["bookkeeping"] == 3000
    assert time_spent.seconds["physics"] + time_spent.seconds["preparing"] == sum(chunks) + sum(resets)
    assert time_spent.seconds["physics"] == 10 * len(plans) + 200  # two rounds of resets; preparing tries seeds besides
