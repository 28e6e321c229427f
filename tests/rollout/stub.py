"""A policy that is known in closed form, and an environment whose observation is the number of the step."""

import types

import numpy as np
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.policies.policy import Policy
from robolearn.rollout.controller import ROWS

HORIZON = 6


class Stub(Policy):
    """A policy whose chunk is plan(history, noise) [t, a]; keeps what it was shown."""

    device = torch.device("cpu")

    def __init__(self, plan, obs_horizon=2, num_draws=1, action_dim=1, prefix_horizon=0):
        torch.nn.Module.__init__(self)
        self.cfg = types.SimpleNamespace(
            obs_shapes={"state": (1,)},
            obs_horizon=obs_horizon,
            action_horizon=HORIZON,
            action_dim=action_dim,
            prefix_horizon=prefix_horizon,
        )
        self.normalizer = Normalizer({"action": (action_dim,)})
        self.plan, self.shown, self.noises, self.prefixes = plan, [], [], []
        self.family = types.SimpleNamespace(
            noise=lambda batch, generator: torch.randn(batch, num_draws, generator=generator)
        )

    def act(self, obs, noise, prefix=None):
        assert len(noise) == ROWS
        self.shown.append(obs["state"][:, :, 0].numpy().copy())
        self.noises.append(noise.numpy().copy())
        self.prefixes.append(prefix)
        return torch.stack([self.plan(row, z) for row, z in zip(obs["state"][:, :, 0], noise, strict=True)])


def count_on(history, noise):
    """The last observation plus 0, 1, 2, ... hundredths: tells when an action was planned and its index."""
    return (history[-1] + torch.arange(HORIZON) / 100)[:, None]


def drive(controller, num_steps, episode=0):
    """One environment whose observation is the number of the step; return the executed actions [num_steps, a]."""
    controller.reset([0], [episode], {"state": np.zeros((1, 1))})
    actions, step = [], 0
    while step < num_steps:
        planned = controller.act(np.array([True]))
        count = planned.shape[1]
        seen = np.arange(step + 1, step + 1 + count, dtype=np.float32)[None, :, None]
        controller.observe({"state": seen}, np.array([count]))
        actions.append(planned[0])
        step += count
    return np.concatenate(actions)[:num_steps]
