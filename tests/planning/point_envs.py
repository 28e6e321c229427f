"""Small environments to plan in, registered by this module."""

from typing import ClassVar

import gymnasium as gym
import numpy as np


class Point(gym.Env):
    """A point is pushed along a line; being away from 1 costs the square of the distance."""

    observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.array([self.np_random.uniform(-0.2, 0.2), 0.0])
        return self.obs(), {}

    def step(self, action):
        speed = 0.5 * self.at[1] + 0.5 * float(action[0])
        self.at = np.array([self.at[0] + 0.3 * speed, speed])
        return self.obs(), -float((self.at[0] - 1) ** 2), False, False, {}

    def obs(self):
        return self.at.astype(np.float32)


class Settable(Point):
    """Its state can be taken and set; what it shows is half of it."""

    observation_space = gym.spaces.Dict({"place": gym.spaces.Box(-9, 9, (1,), np.float32)})

    def obs(self):
        return {"place": self.at[:1].astype(np.float32)}

    def get_state(self):
        return self.at.copy()

    def set_state(self, state):
        self.at = state.copy()


class Forgetful(Settable):
    """It says that its state can be set, and forgets the speed."""

    def set_state(self, state):
        self.at = np.array([state[0], 0.0])


class Mortal(Point):
    """It ends, unpaid, where it is pushed beyond 0.5; until then each step is paid."""

    def step(self, action):
        obs, _, _, _, info = super().step(action)
        over = bool(self.at[0] > 0.5)
        return obs, 0.0 if over else 1.0, over, False, info


class Cliff(Point):
    """The further, the better paid, until it ends beyond 0.5: nothing but the end says that this is too far."""

    action_space = gym.spaces.Box(-0.5, 1, (1,), np.float32)

    def step(self, action):
        obs, _, _, _, info = super().step(action)
        return obs, float(self.at[0]), bool(self.at[0] > 0.5), False, info


class Goal(Point):
    """It tells of success near 0, where it begins, and goes on until its time is up."""

    def step(self, action):
        obs, reward, _, _, _ = super().step(action)
        return obs, reward, False, False, {"is_success": bool(abs(self.at[0]) < 0.3)}


class Halves(Settable):
    """Its state is set in two parts, as that of MuJoCo's environments is."""

    def set_state(self, qpos, qvel):
        self.at = np.array([qpos, qvel])


class Closed(Settable):
    """It has no state to give before it is asked for it in another way."""

    def get_state(self):
        raise RuntimeError("ask otherwise")


class Reached(Settable):
    """It pays all along, succeeds beyond 0.3, and goes on."""

    def step(self, action):
        obs, _, _, _, _ = super().step(action)
        return obs, 1.0, False, False, {"is_success": bool(self.at[0] > 0.3)}


class Unstable(Settable):
    """It pays all along, says that it is unstable beyond 0.3, and goes on."""

    def step(self, action):
        obs, _, _, _, _ = super().step(action)
        return obs, 1.0, False, False, {"unstable": bool(self.at[0] > 0.3)}


class Single(Point):
    """What it shows is one number without an axis."""

    observation_space = gym.spaces.Box(-9, 9, (), np.float32)

    def obs(self):
        return np.float32(self.at[0])


class Counting(Settable):
    """It counts its own steps, which are none of the state that can be set."""

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.count += 1
        obs, reward, _, _, info = super().step(action)
        return obs, reward, False, self.count >= 15, info


class Shown(gym.ObservationWrapper):
    """Shows one number more than what it wraps."""

    metadata: ClassVar = {"render_modes": []}  # gymnasium before 1.4 looks at the class, where a wrapper has none

    def __init__(self):
        super().__init__(Settable())
        self.observation_space = gym.spaces.Dict({"place": gym.spaces.Box(-9, 9, (2,), np.float32)})

    def observation(self, observation):
        return {"place": np.append(observation["place"], np.float32(0))}


class Pictures(gym.Env):
    """It shows numbers in an order of their own, and a picture."""

    observation_space = gym.spaces.Dict(
        {
            "b": gym.spaces.Box(-9, 9, (2, 1), np.float32),
            "a": gym.spaces.Box(-9, 9, (1,), np.float32),
            "image": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8),
        }
    )
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0.0
        return self.obs(), {}

    def step(self, action):
        self.count += 1
        return self.obs(), 0.0, False, False, {}

    def obs(self):
        numbers = {"b": np.array([[self.count], [5]], np.float32), "a": np.array([-self.count], np.float32)}
        return numbers | {"image": np.zeros((8, 8, 3), np.uint8)}


class Unbounded(Point):
    action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


class Huge(Point):
    action_space = gym.spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (1,), np.float32)


class Breaking(Point):
    """It fails in the ninth step after the module was told to."""

    countdown = -1

    def step(self, action):
        type(self).countdown -= 1
        if self.countdown == 0:
            raise KeyboardInterrupt
        return super().step(action)


SETTABLE = (Settable, Forgetful, Halves, Closed, Reached, Unstable, Counting, Shown)
for cls in (*SETTABLE, Point, Mortal, Cliff, Goal, Single, Pictures, Unbounded, Huge, Breaking):
    gym.register(f"test/{cls.__name__}-v0", cls, max_episode_steps=15)


def paid(before, action, after):
    """The reward of Point, as a function of transitions."""
    return -((after[..., 0] - 1) ** 2)


def over(before, action, after):
    """Where Mortal ends."""
    return after[..., 0] > 0.5


def never(before, action, after):
    return np.zeros(after.shape[:-1], bool)


def flat(before, action, after):
    return 1.0


def failing(before, action, after):
    raise RuntimeError("no reward today")


def unknown(before, action, after):
    return np.where(after[..., 0] > -1e9, np.nan, 0.0)
