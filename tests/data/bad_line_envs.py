"""Vector environments with an expert that each do one thing wrong when the episode of seed 9 begins, or in it.

Registered as bad-line/NAME-v0; the episodes of earlier seeds are right, and some are finished by then.
"""

import gymnasium as gym
import numpy as np

from tests.data.line_env import LineEnvs

BAD_SEED = 9


class BoomError(Exception):
    pass


def wrong(call, spoil):
    """An environment whose `call` is spoiled, given the right result and its environments, from the bad seed on."""

    class Wrong(LineEnvs):
        def spoiled(self, name, result):
            return spoil(result) if name == call and (self.seeds >= BAD_SEED).any() else result

        def reset(self, **kwargs):
            return self.spoiled("reset", super().reset(**kwargs))

        def expert_action(self):
            return self.spoiled("expert_action", super().expert_action())

        def step(self, actions):
            return self.spoiled("step", super().step(actions))

    return Wrong


def raising(error):
    def spoil(_):
        raise error

    return spoil


def at(index, change):
    """A result of which one part is changed."""
    return lambda result: (*result[:index], change(result[index]), *result[index + 1 :])


def state(change):
    return at(0, lambda obs: {"state": change(obs["state"])})


def told(**changes):
    return at(4, lambda info: {**info, **{key: np.full(2, value) for key, value in changes.items()}})


def without_success(info):
    return {key: value for key, value in info.items() if key != "success"}


# Name -> what is spoiled, how, what is said.
WRONG = {
    "ResetRaises": ("reset", raising(BoomError("no\nlicence")), "reset raised BoomError: no licence"),
    "StepRaises": ("step", raising(TypeError("bad \x1b[31m")), "step raised TypeError: bad \\x1b[31m"),
    "StepExits": ("step", raising(SystemExit(0)), "step raised SystemExit: 0"),
    "ExpertRaises": ("expert_action", raising(KeyError("plan")), "expert_action raised KeyError: 'plan'"),
    "NanReset": ("reset", state(lambda x: x * np.nan), "observation 'state' is not finite"),
    "NanObs": ("step", state(lambda x: x * np.nan), "observation 'state' is not finite"),
    "HugeObs": ("step", state(lambda x: x + 1e300), "observation 'state' is not finite"),
    "WideObs": ("step", state(lambda x: np.zeros((2, 3))), "observation 'state' has shape (2, 3), expected is (2, 2)"),
    "FewObs": ("step", state(lambda x: x[:1]), "observation 'state' has shape (1, 2), expected is (2, 2)"),
    "TextObs": ("step", state(lambda x: x.astype(str)), "observation 'state' must be numbers"),
    "ComplexObs": ("step", state(lambda x: x * 1j), "observation 'state' must be numbers"),
    "RaggedObs": ("step", state(lambda x: [[0.0], [0.0, 1.0]]), "observation 'state' is no array of numbers"),
    "NoKey": ("step", at(0, lambda obs: {"other": obs["state"]}), "the observations lack ['state']"),
    "BareObs": ("step", at(0, lambda obs: obs["state"]), "the observations are ndarray, not a dict"),
    "OldReset": ("reset", lambda result: result[0], "reset returned dict, not (observations, info)"),
    "FourTuple": ("step", lambda result: result[:4], "step returned 4 values, not (observations, rewards"),
    "NoneStep": ("step", lambda _: None, "step returned NoneType"),
    "WideReward": ("step", at(1, lambda _: np.zeros((2, 1))), "the reward has shape (2, 1), expected is (2,)"),
    "OneReward": ("step", at(1, lambda _: 0.0), "the reward has shape (), expected is (2,)"),
    "TextReward": ("step", at(1, lambda _: ["a", "b"]), "the reward must be numbers"),
    "OneTerminated": ("step", at(2, lambda _: True), "terminated has shape (), expected is (2,)"),
    "HalfTruncated": ("step", at(3, lambda _: np.full(2, 0.5)), "truncated must be true or false, it is 0.5"),
    "NoneInfo": ("step", at(4, lambda _: None), "info is NoneType, not a dict"),
    "NoSuccess": ("step", at(4, without_success), "info tells of no success"),
    "HalfSuccess": ("step", told(success=0.5), "success must be true or false, it is 0.5"),
    "NanMode": ("step", told(mode=np.nan), "the mode must be one of -1, 0, 1, ..., it is nan"),
    "HalfMode": ("step", told(mode=0.5), "the mode must be one of -1, 0, 1, ..., it is 0.5"),
    "TextUnstable": ("step", told(unstable="no"), "unstable must be numbers"),
    "OneAction": ("expert_action", lambda result: result[0], "expert_action returned ndarray, not (label, executed)"),
    "WideLabel": ("expert_action", at(0, lambda _: np.zeros((2, 2))), "the expert's action has shape (2, 2)"),
    "FlatLabel": ("expert_action", at(0, lambda x: x[:, 0]), "the expert's action has shape (2,)"),
    "NanLabel": ("expert_action", at(0, lambda x: x * np.nan), "the expert's action is not finite"),
    "NanExecuted": ("expert_action", at(1, lambda x: x * np.nan), "the executed action is not finite"),
}


class DiscreteActions(LineEnvs):
    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_action_space = gym.spaces.Discrete(2)


class TupleObs(LineEnvs):
    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_observation_space = gym.spaces.Tuple([gym.spaces.Box(-1, 1, (2,))])


class NoSpaces(LineEnvs):
    def __init__(self, num_envs):
        super().__init__(num_envs)
        del self.single_observation_space


class NumberAsUnits(LineEnvs):
    units = 5


class NanDt(LineEnvs):
    control_dt = float("nan")


# Name -> class, what is said before anything is written.
REFUSED = {
    "DiscreteActions": (DiscreteActions, "the action must be a Box, it is Discrete"),
    "TupleObs": (TupleObs, "observation 'state' must be a Box, it is Tuple"),
    "NoSpaces": (NoSpaces, "observation 'state' must be a Box, it is NoneType"),
    "NumberAsUnits": (NumberAsUnits, "units must be text by key, they are 5"),
    "NanDt": (NanDt, "control_dt is nan"),
}
for name, (call, spoil, _) in WRONG.items():
    gym.register(f"bad-line/{name}-v0", vector_entry_point=wrong(call, spoil))
for name, (cls, _) in REFUSED.items():
    gym.register(f"bad-line/{name}-v0", vector_entry_point=cls)
