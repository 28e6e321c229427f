"""A plain environment with Avoid's observations; whether it obeys its seed can be chosen."""

from typing import ClassVar

import gymnasium as gym
import numpy as np


class Plain(gym.Env):
    """Walks from a random start; success where the start is on the right."""

    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-10, 10, (4,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    stray = np.random.default_rng(0)

    def __init__(self, render_mode=None, obeys=True, alike=False, count=None):
        self.render_mode, self.obeys, self.alike, self.count, self.t = render_mode, obeys, alike, count, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        draw = self.np_random if self.obeys else self.stray
        self.luck, self.t = draw.uniform(-1, 1) if self.count is None else seed % self.count / self.count, 0
        return self.obs(), {}

    def obs(self):
        seen = 0.0 if self.alike else self.luck
        return {"state": np.array([seen, self.t, 0, 0], np.float32)}

    def step(self, action):
        self.t += 1
        return self.obs(), 0.0, self.t == 3, False, {"success": self.t == 3 and self.luck > 0}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)


gym.register("test/Plain-v0", entry_point=Plain)
