"""The samplers with the exact denoiser of Gaussian data, for which everything is known in closed form."""

import dataclasses
import math

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.policies.family import Chunks, Examples
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


@pytest.mark.parametrize(
    ("choices", "factor"),
    [(SAMPLERS[0], 1.0), (SAMPLERS[1], 1.0), (SAMPLERS[2], 1.54)],
    ids=lambda c: c["sampler"] if isinstance(c, dict) else None,
)
def test_the_last_step_takes_the_mean_of_what_is_possible(exact, choices, factor):
    """From noise of variance f r^2 its variance is STD^4 (STD^2 + f r^2) / (STD^2 + r^2)^2; Langevin's f is 1.54."""
    chunks = sample(exact(**choices, last_noise=STD))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert chunks.std().item() == pytest.approx(STD * (1 + factor) ** 0.5 / 2, rel=0.04)


@pytest.mark.parametrize("choices", SAMPLERS, ids=lambda c: c["sampler"])
def test_samples_follow_the_data(exact, choices):
    chunks = sample(exact(**choices))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert chunks.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize("choices", SAMPLERS, ids=lambda c: c["sampler"])
def test_a_wrong_denoiser_is_noticed(exact, choices):
    chunks = sample(exact(factor=0.8, **choices))
    assert abs(chunks.mean().item() - MEAN) > 0.01 or abs(chunks.std().item() / STD - 1) > 0.06


MODES, NARROW = 0.5, 0.08


@pytest.fixture
def two_modes(nets_giving):
    """A score family with the exact denoiser of modes at -MODES and MODES, each of standard deviation NARROW."""

    def make(**choices):
        family = Score(ScoreConfig(**choices), nets_giving(lambda x, cond, time: x), 1, 1)

        def denoise(x, sigma):
            var = NARROW**2 + sigma**2
            share = (2 * MODES * x / var).sigmoid()  # of the upper mode
            clean = [(NARROW**2 * x + (var - NARROW**2) * mean) / var for mean in (-MODES, MODES)]
            return (1 - share) * clean[0] + share * clean[1]

        family.denoiser = lambda cond, levels: lambda x, i: denoise(x, levels[i])
        return family

    return make


def spread(family):
    """Standard deviation within the modes, and the share of the upper one."""
    chunks = sample(family)
    upper = chunks > 0
    return (chunks - MODES * (2 * upper.float() - 1)).square().mean().sqrt().item(), upper.float().mean().item()


@pytest.mark.parametrize(
    ("choices", "factor"),
    [({}, 1.18), ({"steps": 20}, 1.07), ({"langevin_repeats": 10}, 1.08), ({"langevin_step": 0.25}, 1.63)],
    ids=str,
)
def test_langevin_s_spread_is_what_its_defaults_promise(two_modes, choices, factor):
    """Four standard errors of 10,000 samples: 0.03 of the spread, 0.02 of the share."""
    std, upper = spread(two_modes(sampler="langevin", **choices))
    assert std / NARROW == pytest.approx(factor, abs=0.04)
    assert upper == pytest.approx(0.5, abs=0.02)


def test_langevin_refuses_to_let_noise_grow():
    """With the former defaults the exact denoiser of a mode of 0.08 gave samples of 0.45."""
    old = ScoreConfig(steps=10, langevin_repeats=5, langevin_step=0.1)
    assert old.langevin_growth == pytest.approx(0.9**10 * 1000 ** (2 / 9))
    with pytest.raises(ValueError, match=r"langevin_step 0.1 lets the noise grow from level to level, by 1.62 "):
        dataclasses.replace(old, sampler="langevin")
    new = dataclasses.replace(old, sampler="langevin", langevin_step=0.25)
    assert new.langevin_growth == pytest.approx(0.26, abs=0.01)
    with pytest.raises(ValueError, match="by inf relative"):
        ScoreConfig(sampler="langevin", steps=1)


def test_langevin_s_noise_has_the_fixed_point_of_its_docstring(nets_giving):
    """Data that are one point: variance u sigma^2 at the end of every level but the first few."""
    family = Score(ScoreConfig(sampler="langevin", langevin_step=0.3), nets_giving(lambda x, cond, time: x), 1, 1)
    seen = []

    def denoiser(cond, levels):
        return lambda x, i: seen.append((x.std().item(), levels[i])) or torch.zeros_like(x)

    family.denoiser = denoiser
    sample(family)
    q, ratio = 0.7**10, 1000 ** (2 / 9)
    u = 2 * (1 - q) / 1.7 / (1 - q * ratio)
    for std, sigma in [*zip([s for s, _ in seen[10::5]], [s for _, s in seen[5::5]], strict=False)]:
        assert std / sigma == pytest.approx(u**0.5, rel=0.05)


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
        losses[factor] = family.loss(Chunks(actions, torch.zeros(n, 1, 1), mask), draws)[0].item()
    assert losses[1.0] < min(losses[0.9], losses[1.1])


@pytest.mark.parametrize("sigma_data", [0.5, 0.2])
def test_an_error_of_one_of_the_network_costs_one_at_every_noise_level(nets_giving, sigma_data):
    """EDM's weight 1 / c_out^2: no level drowns another. The clean chunk is zero, so that c_skip x + c_out F = 0."""
    cfg = ScoreConfig()

    def net(x, cond, time):
        low, high = math.log(cfg.sigma_min), math.log(cfg.sigma_max)
        sigma = (low + (high - low) * time).exp()[:, :, None]
        return 1 - sigma_data / sigma * x

    family = Score(cfg, nets_giving(net), 1, 1)
    family.sigma_data.fill_(sigma_data)
    mask, zero = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, 1)
    for level in (-2.0, 0.0, 2.0):
        draws = {"noise": torch.ones(1, 1, 1, 1), "level": torch.tensor([[level]])}
        assert family.loss(Chunks(zero, zero, mask), draws)[0].item() == pytest.approx(1, rel=1e-3)


def test_sigma_data_is_measured_on_valid_steps(exact):
    family = exact()
    actions = torch.tensor([[[-0.3], [0.3]], [[0.3], [99.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    data = Chunks(actions, torch.zeros(2, 1, 1), mask)
    family.begin("policy", Examples(lambda n: data, 2), generator=torch.Generator())
    assert family.sigma_data.item() == pytest.approx(actions[mask].std().item())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"sampler": "ddim"}, "heun.*euler.*langevin"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min 2.0 < sigma_max 1.0 must hold"),
        ({"langevin_step": 1.0}, r"langevin_step 1.0 in \(0, 1\)"),
        ({"steps": 0}, "score: steps 0 must be at least 1"),
        ({"langevin_repeats": 0}, "langevin repeats: steps 0"),
        ({"last_noise": 10.0}, r"last_noise 10.0 must be in \[0.01, 10.0\)"),
        ({"last_noise": 0.1, "steps": 1}, "steps of at least 2"),
    ],
)
def test_impossible_configurations(choices, message):
    with pytest.raises((ValueError, TypeCheckError), match=message):
        ScoreConfig(**choices)
