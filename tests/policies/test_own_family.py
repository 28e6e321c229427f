"""A family of one's own: a loss and a way to sample are enough, all else has a default."""

from dataclasses import dataclass

import torch

from robolearn.policies.family import Family
from robolearn.policies.losses import masked_mean
from robolearn.policies.policy import Nets
from robolearn.policies.regression import RegressionConfig
from tests.policies.test_grid import make_batch


@dataclass(frozen=True)
class MedianConfig:
    def build(self, make_net, action_horizon, action_dim):
        return Median(self, make_net, action_horizon, action_dim)


class Median(Family):
    def __init__(self, cfg, make_net, action_horizon, action_dim):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)

    def loss(self, data, draws, *, player="policy"):
        chunk = self.net(torch.zeros_like(data.actions), data.cond)
        return masked_mean((chunk - data.actions).abs(), data.mask), {}

    def sample(self, cond, noise):
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)


def test_two_methods_make_a_family(make_policy):
    policy, batch = make_policy(RegressionConfig(), action_horizon=5), make_batch()
    policy.family = MedianConfig().build(Nets(policy.cfg, policy.encoder.cond_dim), 5, 2)
    generator = torch.Generator().manual_seed(0)
    assert [*policy.family.players()] == ["policy"]
    assert policy.family.nfe == 1
    assert policy.family.noise(3, generator=generator).shape == (3, 5, 2)
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss, details = policy.loss(batch, policy.draws(6, generator=generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert details == {}
    assert losses[-1] < 0.7 * losses[0]
    assert policy.validation_loss(batch, policy.validation_draws(6, generator=generator)).isfinite()
    assert policy.sample(batch.obs, 4, generator=generator).shape == (6, 4, 5, 2)
