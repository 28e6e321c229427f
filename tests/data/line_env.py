"""A vector environment without physics: walk to 1 on a line; with some seeds the expert fails."""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


class LineEnvs(VectorEnv):
    """Speed, and with it the length of the episode, follow from the seed; seeds divisible by `hard` fail."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    control_dt = 0.5
    units = {"action": "m"}  # noqa: RUF012
    hard = 4

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-9, 9, (2,))})
        self.single_action_space = gym.spaces.Box(-1, 1, (1,))
        self.x, self.seeds = np.zeros(num_envs), np.zeros(num_envs, int)

    def reset(self, *, seed=None, options=None):
        for i in np.flatnonzero(options["reset_mask"]):
            self.x[i], self.seeds[i] = 0, seed[i]
        return self.obs(), {}

    def obs(self):
        return {"state": np.stack([self.x, self.seeds], axis=1)}

    def expert_action(self):
        label = (0.1 + 0.05 * (self.seeds % 7))[:, None]
        return label, label * 0.9

    def step(self, actions):
        self.x = self.x + actions[:, 0]
        ended = self.x >= 1
        success = ended & (self.seeds % self.hard != 0)
        info = {"success": success, "mode": self.seeds % 3}
        return self.obs(), np.zeros(self.num_envs), ended, np.zeros(self.num_envs, bool), info


class HopelessEnvs(LineEnvs):
    """The expert always fails."""

    hard = 1


class ExpertlessEnvs(VectorEnv):
    """No `expert_action`."""

    metadata = LineEnvs.metadata

    def __init__(self, num_envs):
        self.num_envs = num_envs


for name, env in {"Line": LineEnvs, "Hopeless": HopelessEnvs, "Expertless": ExpertlessEnvs}.items():
    gym.register(f"test/{name}-v0", vector_entry_point=env)
