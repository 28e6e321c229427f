"""Demonstrations against the spaces, the rate and the starts of an environment."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.doctor.environment import against_environment
from robolearn.doctor.recording import Recording
from robolearn.rollout.env_config import EnvConfig

RNG = np.random.default_rng(0)
ENDS = np.array([20, 40])


class Slide(gym.Env):
    """A point on a line of 2 m that begins anywhere, or always in its middle."""

    control_dt = 0.1
    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-1, 1, (2,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, fixed=False):
        self.fixed = fixed

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        start = np.zeros(2) if self.fixed else self.np_random.uniform(-1, 1, 2)
        return {"state": start.astype(np.float32)}, {}

    def step(self, action):
        return {"state": np.zeros(2, np.float32)}, 0.0, False, False, {}


gym.register("test/Slide-v0", entry_point=Slide, max_episode_steps=9)
FITTING = Recording(
    ENDS,
    {"state": RNG.uniform(-1, 1, (40, 2)), "action": RNG.uniform(-1, 1, (40, 1))},
    StoreAttrs(control_dt=0.1, obs_keys=("state",)),
)


class Switch(Slide):
    """The same with three buttons."""

    action_space = gym.spaces.Discrete(3)


gym.register("test/Switch-v0", entry_point=Switch, max_episode_steps=9)


def said(recording, keys=("state",), **kwargs):
    env = EnvConfig("test/Slide-v0", kwargs)
    return [(f.severity, f.sentence) for f in against_environment(recording, env, keys)]


def test_what_fits_is_left_alone():
    assert said(FITTING) == []


@pytest.mark.parametrize(
    ("changes", "severity", "sentence"),
    [
        (
            {"rows": {**FITTING.rows, "action": 9 * FITTING.rows["action"]}},
            "warning",
            "leaves what the environment takes",
        ),
        ({"rows": {**FITTING.rows, "state": 100 * FITTING.rows["state"]}}, "warning", "what the environment declares"),
        (
            {"rows": {**FITTING.rows, "state": FITTING.rows["state"] + 5}},
            "warning",
            "begins where nothing was recorded",
        ),
        ({"rows": {**FITTING.rows, "state": FITTING.rows["state"][:, :1]}}, "problem", "here it has 1 numbers"),
        ({"rows": {**FITTING.rows, "action": FITTING.rows["state"]}}, "problem", "recorded ones 2 numbers"),
        ({"attrs": StoreAttrs(control_dt=0.05)}, "warning", "a control step is 0.05 s here and 0.1 s"),
        ({"attrs": StoreAttrs()}, "note", "the recording does not say how long a control step is"),
    ],
)
def test_what_does_not_fit_is_named(changes, severity, sentence):
    findings = said(dataclasses.replace(FITTING, **changes))
    assert [one for one in findings if one[0] == severity and sentence in one[1]], findings


def test_actions_beyond_the_space_are_mended_by_not_clipping():
    """Where an environment takes more than it declares, as gym-aloha does; then there is nothing to find."""
    wide = dataclasses.replace(FITTING, rows={**FITTING.rows, "action": 9 * FITTING.rows["action"]})
    (finding,) = against_environment(wide, EnvConfig("test/Slide-v0"), ("state",))
    assert finding.mend.startswith("`env.no_clip` if it takes more than it declares")
    assert not list(against_environment(wide, EnvConfig("test/Slide-v0", clip=False), ("state",)))


def test_starts_that_are_all_alike():
    assert ("warning", "the environment begins from 1 distinct starts for 16 seeds") in said(FITTING, fixed=True)


def test_keys_that_are_not_there():
    (finding,) = said(FITTING, keys=("state", "camera"))
    assert finding[0] == "problem"
    assert "camera" in finding[1]


def test_an_environment_that_is_not_installed_is_no_matter_of_keys():
    (finding,) = against_environment(FITTING, EnvConfig("not_there_at_all:x-v0"), ("state",))
    assert finding.sentence.endswith("install the package that has it, or name another environment")
    assert (finding.severity, finding.mend) == ("problem", "")


def test_actions_that_no_policy_can_take_are_a_problem():
    (finding,) = against_environment(FITTING, EnvConfig("test/Switch-v0"), ("state",))
    assert finding.severity == "problem"
    assert finding.sentence.startswith("the environment's actions must be a Box of floats, they are Discrete")
