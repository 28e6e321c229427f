"""The smallest task for campaigns that kill commands: a point that walks four steps and then has succeeded."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

STEPS = 4
OBSERVED = gym.spaces.Dict({"state": gym.spaces.Box(-100, 100, (2,), np.float32)})
MOVED = gym.spaces.Box(-1, 1, (2,), np.float32)


class Point(gym.Env):
    """Starts at random; every episode succeeds."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space, action_space = OBSERVED, MOVED

    def __init__(self, render_mode: str | None = None):
        self.render_mode, self.at, self.step_number = render_mode, np.zeros(2, np.float32), 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Draw the start."""
        super().reset(seed=seed)
        self.at, self.step_number = self.np_random.uniform(-1, 1, 2).astype(np.float32), 0
        return {"state": self.at.copy()}, {}

    def step(self, action: Any):
        """Move by a tenth."""
        self.at = self.at + 0.1 * np.asarray(action, np.float32)
        self.step_number += 1
        done = self.step_number >= STEPS
        return {"state": self.at.copy()}, float(done), done, False, {"success": done}

    def clearance(self, xy: np.ndarray) -> np.ndarray:
        """Nothing is in the way; a safety set asks."""
        return np.full(np.shape(xy)[:-1], 100.0)

    def render(self):
        """A gray picture."""
        return np.full((32, 32, 3), int(128 + 50 * np.tanh(self.at[0])), np.uint8)


class Points(VectorEnv):
    """Several points and their expert, for `collect`."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}
    control_dt = 0.1

    def __init__(self, num_envs: int):
        self.num_envs, self.single_observation_space, self.single_action_space = num_envs, OBSERVED, MOVED
        self.points = [Point() for _ in range(num_envs)]

    def reset(self, *, seed: Any = None, options: Any = None):
        """Start those of the mask anew."""
        for i in np.flatnonzero(options["reset_mask"]):
            self.points[i].reset(seed=int(seed[i]))
        return {"state": np.stack([p.at for p in self.points])}, {}

    def expert_action(self):
        """Toward the origin; what is recorded and what is executed."""
        label = np.clip(-np.stack([p.at for p in self.points]), -1, 1)
        return label, label

    def step(self, actions: Any):
        """Move all."""
        done = np.array([p.step(a)[2] for p, a in zip(self.points, actions, strict=True)])
        obs = {"state": np.stack([p.at for p in self.points])}
        return (
            obs,
            done.astype(float),
            done,
            np.zeros_like(done),
            {"success": done, "mode": np.zeros(self.num_envs, int)},
        )


gym.register("benchmark/Point-v0", entry_point="tests.campaigns.kills.point:Point")
gym.register("benchmark/Points-v0", vector_entry_point="tests.campaigns.kills.point:Points")
