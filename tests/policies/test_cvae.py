import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from robolearn.policies.cvae import CVAE, CVAEConfig, gaussian_divergence
from robolearn.policies.family import Chunks


def test_the_divergence_is_that_of_two_normals():
    a, b, c, d = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(a, b.exp()), Normal(c, d.exp()))
    torch.testing.assert_close(gaussian_divergence(a, b, c, d), expected)
    assert not torch.allclose(gaussian_divergence(c, d, a, b), expected)


class Nets:
    """A decoder that returns the latent, a posterior at a given mean, a prior at another."""

    def __init__(self, posterior, prior, log_std=0.0):
        self.heads = iter([posterior, prior])
        self.log_std = log_std

    def __call__(self, dim_in, dim_out, num_times):
        return lambda x, cond: x

    def head(self, dim_in, dim_out):
        mean = next(self.heads)
        row = torch.cat([torch.full((dim_out // 2,), mean), torch.full((dim_out // 2,), self.log_std)])
        return lambda x, cond: row.expand(len(cond), -1)


ARGUMENTS = torch.full((5, 4, 2), 3.0), torch.zeros(5, 1, 1), torch.ones(5, 4, dtype=torch.bool)


def parts(**choices):
    family = CVAE(CVAEConfig(latent_dim=2, **choices), Nets(3.0, 1.0), 4, 2)
    loss, details = family.loss(Chunks(*ARGUMENTS), {"latent": torch.zeros(5, 2)})
    return loss.item(), details["error"].item(), details["divergence"].item()


def test_the_loss_adds_error_and_divergence():
    loss, error, divergence = parts(beta=0.5, free_bits=0.0)
    assert error == 0  # the latent sits at the posterior's mean, which the decoder returns
    assert divergence == pytest.approx(2 * (3 - 1) ** 2 / 2)
    assert loss == pytest.approx(0.5 * divergence)
    assert parts(beta=0.5, free_bits=0.0, learned_prior=False)[2] == pytest.approx(2 * 3**2 / 2)


def divergences(means, stds, free_bits):
    """Of latents with these means and deviations from N(0, 1): what the loss counts of them, without the error."""
    family = CVAE(CVAEConfig(latent_dim=1, beta=1.0, free_bits=free_bits, learned_prior=False), Nets(0.0, 0.0), 1, 1)
    rows = torch.stack([torch.tensor(means), torch.tensor(stds).log()], dim=1)
    family.posterior = lambda x, cond: rows
    n = len(means)
    arguments = torch.zeros(n, 1, 1), torch.zeros(n, 1, 1), torch.ones(n, 1, dtype=torch.bool)
    loss, details = family.loss(Chunks(*arguments), {"latent": torch.zeros(n, 1)})
    return (loss - details["error"]).item()


def test_the_divergence_is_of_the_posterior_from_the_prior():
    assert divergences([0.0], [0.5], 0.0) == pytest.approx(math.log(2) + 0.25 / 2 - 0.5)


def test_free_bits_are_given_to_the_batch_not_to_every_row():
    """Divergences of 0, 2 and 4: 2 in the mean, which is above the free ones, and more where each row had them."""
    assert divergences([0.0, 2.0, 8**0.5], [1.0, 1.0, 1.0], 1.0) == pytest.approx(2)


def test_the_posterior_does_not_see_padding():
    family = CVAE(CVAEConfig(latent_dim=2), Nets(0.0, 0.0), 4, 2)
    seen, posterior = [], family.posterior
    family.posterior = lambda x, cond: seen.append(x) or posterior(x, cond)
    mask = torch.arange(4) < torch.tensor([4, 1, 2, 3, 1])[:, None]
    family.loss(Chunks(*ARGUMENTS[:2], mask), {"latent": torch.zeros(5, 2)})
    assert torch.equal(seen[0].view(5, 4, 2)[..., 0], 3.0 * mask)


def test_free_bits_cost_nothing():
    assert parts(beta=1.0, free_bits=5.0)[0] == pytest.approx(2 * 5.0)


def test_a_sampled_latent_follows_the_prior_and_zero_is_its_mean():
    n = 20_000
    cond = torch.zeros(n, 1, 1)
    for latent, spread in (("sampled", 1.0), ("zero", 0.0)):
        family = CVAE(CVAEConfig(latent_dim=2, latent=latent), Nets(3.0, 1.0), 4, 2)
        chunks = family.sample(cond, family.noise(n, generator=torch.Generator().manual_seed(0)))
        assert chunks.mean().item() == pytest.approx(1.0, abs=0.05)
        assert chunks.std().item() == pytest.approx(spread, abs=0.03)
        assert torch.equal(chunks[:, 0], chunks[:, 3])  # every step sees the same latent
