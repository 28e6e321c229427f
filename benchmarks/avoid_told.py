"""AvoidPixels for a policy that sees no images, but is told where the rows stand."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from benchmarks.avoid_read import true_rows

ID = "benchmarks.avoid_told:robolearn/AvoidTold-v0"


class AvoidTold(gymnasium.ObservationWrapper[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]):
    """AvoidPixels with `state` as it is, and the rows' places [3] in m as `rows` in place of images."""

    def __init__(self):
        super().__init__(gymnasium.make("envs:robolearn/AvoidPixels-v0", disable_env_checker=True).unwrapped)
        inside: Any = self.env.observation_space
        rows = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.observation_space = spaces.Dict({"state": inside["state"], "rows": rows})

    def observation(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the policy sees of it."""
        env: Any = self.unwrapped
        return {"state": observation["state"], "rows": true_rows(env.task, env.get_state()).astype(np.float32)}


def make_avoid_told() -> AvoidTold:
    """One of them. gymnasium before 1.4 asks a class for the rendering that a wrapper's class cannot name."""
    return AvoidTold()


gymnasium.register("robolearn/AvoidTold-v0", entry_point="benchmarks.avoid_told:make_avoid_told", max_episode_steps=200)
