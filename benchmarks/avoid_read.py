"""AvoidPixels for a policy that sees no images, only what ensembles read of those of two cameras, one on a bad day."""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from robolearn import seeds
from robolearn.perception.degrade import DEGRADATIONS, degrade
from robolearn.perception.disagreement import disagreement, most_certain
from robolearn.perception.ensemble import PerceptionEnsemble

ID = "benchmarks.avoid_read:robolearn/AvoidRead-v0"
VIEWS = {"top": "image", "front": "image_front"}
"""Camera -> what AvoidPixels calls its images."""
READ = ("chosen", "top", "front", "random", "mean", "true")
"""Where the rows are said to be: by the camera whose members agree, by each, by one that is drawn in every step, by
both on average, and in truth."""


class AvoidRead(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """AvoidPixels by what is read of it: `state`, and the rows' places [3] in m under each name of READ.

    Args:
        ensembles: Folder with an ensemble per view.
        degraded: Whether one camera of the two has a bad day.
    """

    def __init__(self, ensembles: str, degraded: bool = True):
        self._env = gymnasium.make("envs:robolearn/AvoidPixels-v0", views="front", disable_env_checker=True).unwrapped
        self._readers = {view: reader(f"{ensembles}/{view}") for view in VIEWS}
        self._degraded, self._rng, self._bad, self._kind = degraded, np.random.default_rng(seeds.FIXED), "", ""
        self._coin = self._rng
        inside: Any = self._env.observation_space
        rows = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.observation_space = spaces.Dict({"state": inside["state"], **dict.fromkeys(READ, rows)})
        self.action_space = self._env.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode; with the seed it has a camera whose day is bad, and in which way."""
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._rng, self._coin = np.random.default_rng(seed).spawn(2)
        self._bad = str(self._rng.choice(list(VIEWS))) if self._degraded else ""
        self._kind = str(self._rng.choice(list(DEGRADATIONS)))
        obs, info = self._env.reset(seed=seed)
        return self._read(obs), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take a step, and read what is seen then."""
        obs, reward, terminated, truncated, info = self._env.step(action)
        return self._read(obs), float(reward), terminated, truncated, info

    def close(self) -> None:
        """Free the renderers."""
        self._env.close()

    def _read(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        readings = []
        for view, key in VIEWS.items():
            image = obs[key][None]
            image = degrade(self._kind, image, self._rng) if view == self._bad else image
            with torch.inference_mode():
                readings.append(self._readers[view](torch.from_numpy(image)).numpy()[:, 0])
        predictions = np.stack(readings, axis=1)  # [k, v, 3]
        top, front = means = predictions.mean(0)
        task, state = self._env.task, self._env.get_state()  # pyright: ignore[reportAttributeAccessIssue]
        read = {"top": top, "front": front, "mean": means.mean(0), "true": true_rows(task, state)}
        read["chosen"] = means[most_certain(disagreement(predictions))]
        read["random"] = means[self._coin.integers(len(means))]
        return {"state": obs["state"], **{name: read[name].astype(np.float32) for name in READ}}


gymnasium.register("robolearn/AvoidRead-v0", entry_point="benchmarks.avoid_read:AvoidRead", max_episode_steps=200)


@cache
def reader(path: str) -> PerceptionEnsemble:
    """An ensemble, read once for all environments."""
    return PerceptionEnsemble.load(path)


def true_rows(task: Any, state: Any) -> np.ndarray:
    """Where the rows are [3], in m."""
    return task.shift(task.qpos(state.physics[0]))
