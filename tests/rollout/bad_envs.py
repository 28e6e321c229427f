"""Small environments that each do one thing wrong, registered with gymnasium as bad/NAME-v0.

The good one, bad/Good-v0, adds up its actions for 6 steps and succeeds where the seed is even.
"""

import time

import gymnasium as gym
import numpy as np

BOX = gym.spaces.Box(-1e6, 1e6, (2,), np.float64)
ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


class Good(gym.Env):
    """The state begins at (seed, 0) and adds up the actions."""

    observation_space = BOX
    action_space = ACTIONS

    def reset(self, *, seed=None, options=None):
        self.steps, self.seed = 0, seed
        self.state = np.array([float(seed), 0.0])
        return self.show(self.state.copy()), {}

    def step(self, action):
        self.steps += 1
        self.state = self.state + action
        success = self.seed % 2 == 0 and self.steps == 6
        return self.spoil((self.show(self.state.copy()), 0.1 * self.steps, False, False, {"success": success}))

    def show(self, obs):
        return obs

    def spoil(self, result):
        """What step returns; from the third step on the faulty ones change it."""
        return result


def at(index, value):
    """An environment whose step returns this in the place ``index``, from the third step on."""

    class Spoiled(Good):
        def spoil(self, result):
            if self.steps < 3:
                return result
            changed = value() if callable(value) else value
            return (*result[:index], changed, *result[index + 1 :])

    return Spoiled


def told(key, value):
    """An environment whose info holds this from the third step on."""

    class Telling(Good):
        def spoil(self, result):
            return (*result[:4], {**result[4], key: value}) if self.steps >= 3 else result

    return Telling


def beginning(value):
    """An environment whose reset returns this."""

    class Beginning(Good):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return value() if callable(value) else value

    return Beginning


def declaring(observation_space=BOX, action_space=ACTIONS):
    """An environment with these spaces."""
    return type("Declaring", (Good,), {"observation_space": observation_space, "action_space": action_space})


class Raises(Good):
    """Raises in step 3, or in reset, where the seed is odd."""

    def __init__(self, where="step", kind="value"):
        self.where = where
        self.error = {
            "value": ValueError("boom\nsecond line"),
            "exit": SystemExit(3),
            "base": BaseException("rust"),
            "long": RuntimeError("x" * 9000),
            "mute": MuteError(),
            "os": OSError(5, "no camera"),
        }[kind]

    def reset(self, *, seed=None, options=None):
        if self.where == "reset" and seed % 2:
            raise self.error
        return super().reset(seed=seed)

    def spoil(self, result):
        if self.where == "step" and self.seed % 2 and self.steps == 3:
            raise self.error
        return result


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


class Hangs(Good):
    """Sleeps in step 3, in reset, when made or when closed; where the seed is a multiple of ``every``."""

    def __init__(self, where="step", seconds=600.0, every=1, busy=False):
        self.where, self.seconds, self.every, self.busy = where, seconds, every, busy
        self.wait("make")

    def wait(self, where):
        if self.where != where:
            return
        end = time.monotonic() + self.seconds
        while self.busy and time.monotonic() < end:
            pass
        time.sleep(max(end - time.monotonic(), 0))

    def reset(self, *, seed=None, options=None):
        if seed % self.every == 0:
            self.wait("reset")
        return super().reset(seed=seed)

    def spoil(self, result):
        if self.seed % self.every == 0 and self.steps == 3:
            self.wait("step")
        return result

    def close(self):
        self.wait("close")


class CannotBeMade(Good):
    def __init__(self, kind="runtime"):
        raise {"runtime": RuntimeError("no licence"), "exit": SystemExit(1), "key": KeyError("xml")}[kind]


class CannotBeClosed(Good):
    def close(self):
        raise RuntimeError("still rendering")


class IgnoresSeeds(Good):
    """Draws every start from a generator that the keyword ``seed`` fixes, whatever reset is given; as Meta-World.

    With ``sides`` there are as many starts.
    """

    def __init__(self, seed=None, sides=None):
        self.rng, self.sides = np.random.default_rng(seed), sides

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.rng.normal(size=2) if self.sides is None else np.full(2, self.rng.integers(self.sides), float)
        return self.state.copy(), {}


class FewStarts(Good):
    """Has ``count`` starts; the seed chooses one."""

    def __init__(self, count=5):
        self.count = count

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.array([float(seed % self.count), 0.0])
        return self.state.copy(), {}


class TakesTurns(Good):
    """Goes through ``count`` starts one after the other, whatever reset is given."""

    def __init__(self, count=5):
        self.count, self.turn = count, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.turn += 1
        self.state = np.full(2, float(self.turn % self.count))
        return self.state.copy(), {}


class HiddenGoal(Good):
    """Only an observation that the policy does not see tells the starts apart."""

    observation_space = gym.spaces.Dict({"state": BOX, "goal": gym.spaces.Box(-1e6, 1e6, (1,))})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.zeros(2)
        return {"state": np.zeros(2), "goal": np.array([seed], np.float32)}, {}

    def show(self, obs):
        return {"state": obs, "goal": np.zeros(1, np.float32)}


class Named(Good):
    """Observations by name; from the third step on ``change`` is done to them."""

    def __init__(self, change=None):
        self.change = change
        self.observation_space = gym.spaces.Dict({"state": BOX, "image": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)})

    def show(self, obs):
        shown = {"state": obs, "image": np.zeros((8, 8, 3), np.uint8)}
        if self.steps < 3 or self.change is None:
            return shown
        changed = {"image as float": {**shown, "image": np.zeros((8, 8, 3))}, "no image": {"state": obs}, "bare": obs}
        return changed[self.change]


class Silent(Good):
    """Tells nothing of success."""

    def spoil(self, result):
        return (*result[:4], {})


class Endless(Good):
    """Never ends by itself."""


SPOILED = {
    "NanObs": at(0, np.array([np.nan, 0.0])),
    "InfObs": at(0, np.array([0.0, np.inf])),
    "HugeObs": at(0, np.array([1e300, 0.0])),
    "WideObs": at(0, np.zeros(3)),
    "TallObs": at(0, np.zeros((1, 2))),
    "ScalarObs": at(0, 0.0),
    "TextObs": at(0, "left"),
    "NoneObs": at(0, None),
    "RaggedObs": at(0, [[1.0], [1.0, 2.0]]),
    "DictObs": at(0, {"state": np.zeros(2)}),
    "ComplexObs": at(0, np.zeros(2, complex)),
    "ArrayReward": at(1, np.array([0.5])),
    "LongReward": at(1, np.zeros(2)),
    "TextReward": at(1, "0.5"),
    "NoneReward": at(1, None),
    "NanReward": at(1, float("nan")),
    "InfReward": at(1, float("inf")),
    "ComplexReward": at(1, 1j),
    "DictReward": at(1, {"reward": 1.0}),
    "NoneTerminated": at(2, None),
    "TextTerminated": at(2, "no"),
    "LongTruncated": at(3, np.zeros(2, bool)),
    "NanTruncated": at(3, float("nan")),
    "DictTruncated": at(3, {}),
    "NoneInfo": at(4, None),
    "ListInfo": at(4, []),
    "TextInfo": at(4, "success"),
    "TextSuccess": told("success", "yes"),
    "NoneSuccess": told("success", None),
    "NanSuccess": told("success", float("nan")),
    "HalfSuccess": told("success", 0.5),
    "LongSuccess": told("success", np.array([True, False])),
    "EmptySuccess": told("success", np.zeros(0, bool)),
    "ListSuccess": told("success", [True, False]),
    "NanScore": told("score", float("nan")),
    "NoneScore": told("score", None),
    "TextScore": told("score", "good"),
    "HalfMode": told("mode", 0.5),
    "NoneMode": told("mode", None),
    "NegativeMode": told("mode", -2),
    "LongMode": told("mode", np.zeros(2, int)),
    "TextUnstable": told("unstable", "maybe"),
}


class FourTuple(Good):
    def spoil(self, result):
        return (*result[:3], result[4])


class NotATuple(Good):
    def spoil(self, result):
        return result[0]


BEGINNINGS = {
    "OldReset": beginning(lambda: np.zeros(2)),
    "OldResetOfTwo": beginning(lambda: [0.0, 0.0]),
    "NoneReset": beginning(None),
    "NoneInfoReset": beginning(lambda: (np.zeros(2), None)),
    "NanReset": beginning(lambda: (np.array([np.nan, 0.0]), {})),
    "WideReset": beginning(lambda: (np.zeros(3), {})),
    "TextReset": beginning(("start", {})),
    "LongReset": beginning(lambda: (np.zeros(2), {}, {})),
}
SPACES = {
    "DiscreteAction": declaring(action_space=gym.spaces.Discrete(3)),
    "MultiDiscreteAction": declaring(action_space=gym.spaces.MultiDiscrete([2, 2])),
    "MultiBinaryAction": declaring(action_space=gym.spaces.MultiBinary(2)),
    "TupleAction": declaring(action_space=gym.spaces.Tuple([ACTIONS, ACTIONS])),
    "DictAction": declaring(action_space=gym.spaces.Dict({"a": ACTIONS})),
    "TextAction": declaring(action_space=gym.spaces.Text(5)),
    "IntAction": declaring(action_space=gym.spaces.Box(0, 5, (2,), np.int64)),
    "OneAction": declaring(action_space=gym.spaces.Box(-1, 1, (1,))),
    "ThreeAction": declaring(action_space=gym.spaces.Box(-1, 1, (3,))),
    "WideMatrixAction": declaring(action_space=gym.spaces.Box(-1, 1, (2, 2))),
    "ScalarAction": declaring(action_space=gym.spaces.Box(-1, 1, ())),
    "NoAction": declaring(action_space=None),
    "DiscreteObs": declaring(gym.spaces.Discrete(4)),
    "TupleObs": declaring(gym.spaces.Tuple([BOX, BOX])),
    "TextObsSpace": declaring(gym.spaces.Text(5)),
    "MultiBinaryObs": declaring(gym.spaces.MultiBinary(2)),
    "SequenceObs": declaring(gym.spaces.Sequence(BOX)),
    "WideObsSpace": declaring(gym.spaces.Box(-1, 1, (3,))),
    "OtherKey": declaring(gym.spaces.Dict({"position": BOX})),
    "NestedObs": declaring(gym.spaces.Dict({"state": gym.spaces.Dict({"x": BOX})})),
    "NoObs": declaring(None),
}
OTHERS = {
    cls.__name__: cls
    for cls in (
        Good, FourTuple, NotATuple, Raises, Hangs, CannotBeMade, CannotBeClosed, IgnoresSeeds, FewStarts, TakesTurns,
        HiddenGoal,
        Named, Silent,
    )
}  # fmt: skip
for name, cls in {**OTHERS, **SPOILED, **BEGINNINGS, **SPACES}.items():
    gym.register(f"bad/{name}-v0", entry_point=cls, max_episode_steps=6, disable_env_checker=True)
gym.register("bad/Endless-v0", entry_point=Endless, disable_env_checker=True)
