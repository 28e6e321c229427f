"""The samplers with the exact denoiser of Gaussian data, for which everything is known in closed form."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.policies.score import Score, ScoreConfig

MEAN, STD = 0.2, 0.15


@pytest.fixture
def exact(nets_giving):
    """A score family whose network makes D the posterior mean for data from N(MEAN, STD^2)."""

    def make(factor=1.0, **choices):
        cfg = ScoreConfig(**choices)
        data = 0.5

        def net(x, cond, time):
            low, high = math.log(cfg.sigma_min), math.log(cfg.sigma_max)
            sigma = (low + (high - low) * time).exp()[:, :, None]
            total = sigma**2 + data**2
            noisy = x * total.sqrt()
            clean = (STD**2 * noisy + sigma**2 * MEAN) / (STD**2 + sigma**2)
            return factor * (clean - data**2 / total * noisy) * total.sqrt() / (sigma * data)

        return Score(cfg, nets_giving(net), 1, 1)

    return make


def sample(family, n=10_000):
    noise = family.noise(n, generator=torch.Generator().manual_seed(0))
    return family.sample(torch.zeros(n, 1, 1), noise).flatten()


SAMPLERS = [
    {"sampler": "heun", "steps": 30},
    {"sampler": "euler", "steps": 200},
    {"sampler": "langevin", "steps": 60, "langevin_repeats": 10},
]


@pytest.mark.parametrize("choices", SAMPLERS, ids=lambda c: c["sampler"])
def test_samples_follow_the_data(exact, choices):
    chunks = sample(exact(**choices))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert chunks.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize("choices", SAMPLERS, ids=lambda c: c["sampler"])
def test_a_wrong_denoiser_is_noticed(exact, choices):
    chunks = sample(exact(factor=0.8, **choices))
    assert abs(chunks.mean().item() - MEAN) > 0.01 or abs(chunks.std().item() / STD - 1) > 0.06


def test_heun_converges_with_second_order_and_euler_with_first(exact):
    """Against the solution x = MEAN + (x_0 - MEAN) sqrt((STD^2 + s^2) / (STD^2 + s_max^2)) of the equation."""
    start = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None, None]
    truth = MEAN + (10 * start - MEAN) * STD / math.sqrt(STD**2 + 100)
    errors = {}
    for sampler in ("heun", "euler"):
        for steps in (16, 32, 64):
            family = exact(sampler=sampler, steps=steps, sigma_min=1e-4).double()
            end = family.integrate(torch.zeros(5, 1, 1, dtype=torch.float64), start)
            errors[sampler, steps] = (end - truth).abs().max().item()
    assert errors["euler", 32] / errors["euler", 64] == pytest.approx(2, rel=0.3)
    assert errors["heun", 16] / errors["heun", 32] == pytest.approx(4, rel=0.4)


def test_the_exact_denoiser_has_the_least_loss(exact):
    n = 20_000
    losses = {}
    for factor in (0.9, 1.0, 1.1):
        family = exact(factor=factor)
        draws = family.draws(n, generator=torch.Generator().manual_seed(0))
        actions = MEAN + STD * torch.randn(n, 1, 1, generator=torch.Generator().manual_seed(1))
        mask = torch.ones(n, 1, dtype=torch.bool)
        losses[factor] = family.loss(actions, torch.zeros(n, 1, 1), mask, draws)[0].item()
    assert losses[1.0] < min(losses[0.9], losses[1.1])


def test_sigma_data_is_measured_on_valid_steps(exact):
    family = exact()
    actions = torch.tensor([[[-0.3], [0.3]], [[0.3], [99.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    family.begin("policy", lambda n: (torch.zeros(2, 1, 1), actions, mask), generator=torch.Generator())
    assert family.sigma_data.item() == pytest.approx(actions[mask].std().item())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"sampler": "ddim"}, "heun.*euler.*langevin"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min 2.0 < sigma_max 1.0 must hold"),
        ({"langevin_step": 1.0}, r"langevin_step 1.0 in \(0, 1\)"),
        ({"steps": 0}, "score: steps 0 must be at least 1"),
        ({"langevin_repeats": 0}, "langevin repeats: steps 0"),
    ],
)
def test_impossible_configurations(choices, message):
    with pytest.raises((ValueError, TypeCheckError), match=message):
        ScoreConfig(**choices)
