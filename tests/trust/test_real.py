"""With a real task: the expert takes over, and a safety set keeps a policy off a cylinder that was moved."""

from functools import partial

import numpy as np
import pytest
import torch

from robolearn.policies.flow import FlowConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.trust.calibrated_set import calibrate_set
from robolearn.trust.certificate import Source
from robolearn.trust.files import open_set, save_set
from robolearn.trust.guarded import GuardedController
from robolearn.trust.sets import Motion
from tests.trust.test_guarded import AtPlans

AVOID = "envs:robolearn/Avoid-v0"


@pytest.fixture
def ahead(make_policy, monkeypatch):
    """A policy that aims 1 cm farther up at every step, drifting aside as its noise says."""
    policy = make_policy(FlowConfig(steps=1), action_horizon=8)

    def act(obs, noise, prefix=None):
        now, steps = obs["state"][:, -1, :2], torch.arange(1, 9)[:, None] * 0.0125
        now = now.repeat_interleave(len(noise) // len(now), 0)
        aside = 0.8 * torch.tanh(noise.flatten(1)[:, :1])
        way = torch.cat([aside, torch.ones_like(aside)], 1)
        return now[:, None] + steps * way[:, None]

    monkeypatch.setattr(policy, "act", act)
    return policy


def run(policy, episodes, execution, env=None, kind=GuardedController, **choices):
    make = partial(kind, monitor=None, **choices)
    return roll_out(
        policy, EnvConfig(AVOID, env or {}), range(episodes), execution=execution, seed=5, make_controller=make
    )


def test_the_expert_finishes_what_it_takes_over(ahead):
    class FromTheSecond(AtPlans):
        plans = range(1, 100)

    alone = run(ahead, 12, Execution(4))
    helped = run(ahead, 12, Execution(4), kind=FromTheSecond, fallback="expert")
    assert np.mean([t.success for t in alone]) < 0.5
    assert all(t.success for t in helped)
    for one, other in zip(alone, helped, strict=True):
        assert np.array_equal(one.actions[:4], other.actions[:4])
        assert len(other.actions) == len(other.obs["state"]) - 1 > 20


def test_an_environment_without_an_expert_says_so(make_policy):
    env = EnvConfig("envs:robolearn/PushT-v0")
    make = partial(GuardedController, monitor=None, fallback="expert")
    policy = make_policy(FlowConfig(steps=1), obs_shapes={"state": (5,)})
    with pytest.raises(ValueError, match="no scripted expert"):
        roll_out(policy, env, range(2), execution=Execution(4), seed=5, make_controller=make)


@pytest.mark.parametrize("moved", [0.0, -0.06])
def test_a_safety_set_keeps_clear_also_of_a_moved_cylinder(ahead, tmp_path, moved):
    free = run(ahead, 40, Execution(4))
    source = Source("weights", AVOID, "options")
    save_set(tmp_path / "tube", calibrate_set(free, "state", (0, 1), 4, 0.1, source))
    calibrated, _ = open_set(tmp_path / "tube", source, range(1000, 1100))
    env = {"moved": moved}
    bare = run(ahead, 40, Execution(4, candidates=16), env)
    safe = run(ahead, 40, Execution(4, candidates=16), env, safety_set=calibrated.safety_set, fallback="hold")
    hits = [sum(t.reason == "failure" for t in runs) for runs in (bare, safe)]
    assert all(0 <= t.signals["admissible"].min() <= t.signals["admissible"].max() <= 1 for t in safe)
    assert min(t.signals["admissible"].min() for t in safe) < 1
    assert hits[0] >= 8
    assert hits[1] == 0
    assert sum(t.success for t in safe) > sum(t.success for t in bare)


def test_tubes_hold_in_new_episodes(ahead):
    """Promise 0.9, Beta(91, 10) over calibrations; the interval of one calibration of 100 at 99.9 %."""
    trajectories = run(ahead, 400, Execution(4))
    safety_set = calibrate_set(trajectories[:200], "state", (0, 1), 4, 0.1, Source("", AVOID, "")).safety_set
    left = safety_set.left([Motion.from_trajectory(t, "state") for t in trajectories[200:]])
    assert 0.78 < 1 - left.mean() < 0.99


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"key": "keypoint"}, r"no vector 'keypoint' is observed; there are: state"),
        ({"position": (0, 4)}, r"must be numbers of 'state', 0 .. 3"),
        ({"position": (0, 0)}, r"names a number of 'state' twice"),
        ({"alpha": 0.01}, r"at least 99 are needed"),
    ],
)
def test_sets_that_cannot_be(ahead, choices, message):
    given = {"key": "state", "position": (0, 1), "alpha": 0.1, **choices}
    with pytest.raises(ValueError, match=message):
        calibrate_set(run(ahead, 20, Execution(4)), period=4, source=Source("", AVOID, ""), **given)


def test_no_budget_makes_a_policy_leave_the_set(ahead):
    free = run(ahead, 20, Execution(4))
    safety_set = calibrate_set(free, "state", (0, 1), 4, 0.2, Source("", AVOID, "")).safety_set
    safe, limited = (
        run(ahead, 20, Execution(4, candidates=2), safety_set=safety_set, fallback="hold", budget=budget)
        for budget in (None, 0)
    )
    assert any(t.signals["intervening"].any() for t in safe)
    assert all(np.array_equal(one.actions, other.actions) for one, other in zip(safe, limited, strict=True))


@pytest.mark.parametrize("fallback", ["watch", "replan"])
def test_a_fallback_must_not_leave_the_set(ahead, fallback):
    trajectories = run(ahead, 20, Execution(4))
    safety_set = calibrate_set(trajectories, "state", (0, 1), 4, 0.2, Source("", AVOID, "")).safety_set
    with pytest.raises(ValueError, match="not admissible"):
        run(ahead, 2, Execution(4), safety_set=safety_set, fallback=fallback)
