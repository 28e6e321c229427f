"""The samplers with an exact denoiser: for data from N(MEAN, STD^2) everything is known in closed form."""

import pytest
import torch

from robolearn.policies.diffusion import Diffusion, DiffusionConfig, squared_cosine
from robolearn.policies.family import Chunks

MEAN, STD = 0.2, 0.15
COND = torch.zeros(1, 1, 1)


@pytest.fixture
def exact_family(nets_giving):
    """A diffusion of one number with the exact denoiser."""
    return lambda *args, **choices: build(nets_giving, *args, **choices)


def build(nets_giving, prediction="v", levels=100, std=STD, **choices):
    alpha_bar = squared_cosine(levels)

    def net(x, cond, time):
        abar = alpha_bar[(time * levels).round().long()][:, :, None]
        signal, sigma = abar.sqrt(), (1 - abar).sqrt()
        clean = MEAN + std**2 * signal / (signal**2 * std**2 + sigma**2) * (x - signal * MEAN)
        noise = (x - signal * clean) / sigma
        return {"x0": clean, "eps": noise, "v": signal * noise - sigma * clean}[prediction]

    cfg = DiffusionConfig(prediction=prediction, train_steps=levels, **choices)
    return Diffusion(cfg, nets_giving(net), 1, 1)


def sample(family, n=10_000):
    noise = family.noise(n, generator=torch.Generator().manual_seed(0))
    return family.sample(COND.expand(n, 1, 1), noise).flatten()


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_samples_follow_the_data(exact_family, prediction, sampler):
    chunks = sample(exact_family(prediction, levels=1000, sampler=sampler, steps=1000))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert chunks.std().item() == pytest.approx(STD, rel=0.03)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_samples_over_a_subsequence_of_levels(exact_family, sampler):
    chunks = sample(exact_family(levels=1000, sampler=sampler, steps=250))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert chunks.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_the_last_step_takes_the_mean_of_what_is_possible(exact_family, sampler):
    """From noise r over signal it spreads as STD^2 / sqrt(STD^2 + r^2)."""
    chunks = sample(exact_family(levels=1000, sampler=sampler, steps=500, last_noise=STD))
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert chunks.std().item() == pytest.approx(STD / 2**0.5, rel=0.04)


def test_levels_end_with_the_first_that_has_no_more_noise_than_asked(exact_family):
    family = exact_family(steps=6, last_noise=0.25)
    levels = family.levels()
    noise = (1 / squared_cosine(100) - 1).sqrt()
    assert (levels[0], levels[-1], len(levels)) == (100, 0, 7)
    assert noise[levels[-2]] <= 0.25 < noise[levels[-2] + 1]
    assert exact_family(steps=6, last_noise=1e-9).levels()[-2:] == [1, 0]
    with pytest.raises(
        ValueError, match=r"above last_noise 1000\.0 there are 1 of 100 levels, fewer than 6 steps need"
    ):
        exact_family(steps=6, last_noise=1000.0)


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"last_noise": 0.0}, "last_noise 0.0 must be above 0"), ({"last_noise": 0.1, "steps": 1}, "steps of at least 2")],
)
def test_an_impossible_last_step_is_named(choices, message):
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**choices)


@pytest.mark.parametrize("std", [0.2, 0.3, 0.4])
@pytest.mark.parametrize("steps", [10, 20, 50])
def test_ddpm_spreads_as_the_data_with_fewer_steps_than_trained(exact_family, steps, std):
    """The small variance alone gives 0.62 to 0.92 of it. Four standard errors of 10,000 samples: 0.03."""
    chunks = sample(exact_family(sampler="ddpm", steps=steps, std=std))
    assert chunks.std().item() == pytest.approx(std, rel=0.06)
    assert chunks.mean().item() == pytest.approx(MEAN, abs=0.05 * std)


def test_ddpm_over_all_levels_takes_the_small_variance(exact_family):
    """As in Ho et al. 2020, step by step."""
    family = exact_family(levels=10, sampler="ddpm", steps=10)
    noise = family.noise(50, generator=torch.Generator().manual_seed(0))
    x, abar = noise[:, 0], family.alpha_bar
    denoise = family.denoiser(COND.expand(50, 1, 1), list(range(10, 0, -1)))
    for i, k in enumerate(range(10, 0, -1)):
        clean, beta = denoise(x, i), 1 - abar[k] / abar[k - 1]
        mean = (abar[k - 1].sqrt() * beta * clean + (1 - beta).sqrt() * (1 - abar[k - 1]) * x) / (1 - abar[k])
        x = mean if k == 1 else mean + (beta * (1 - abar[k - 1]) / (1 - abar[k])).sqrt() * noise[:, i + 1]
    torch.testing.assert_close(family.sample(COND.expand(50, 1, 1), noise), x)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_a_wrong_sign_is_noticed(exact_family, sampler):
    family = exact_family(sampler=sampler, steps=100)
    net = family.net
    family.net = lambda *arguments: -net(*arguments)
    assert abs(sample(family).mean().item() - MEAN) > 0.1


def error(exact_family, sampler, steps):
    """Largest distance to the solution of the probability-flow equation, linear for Gaussian data."""
    family = exact_family(levels=2048, sampler=sampler, steps=steps).double()
    abar = family.alpha_bar[-1]
    start = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64).view(-1, 1, 1, 1)
    z = (start[:, 0] - abar.sqrt() * MEAN) / (abar * STD**2 + 1 - abar).sqrt()
    end = family.sample(COND.expand(7, 1, 1), start)
    return (end - (MEAN + STD * z)).abs().max().item()


def test_dpm_solver_converges_with_second_order_and_ddim_with_first(exact_family):
    ratios = {s: error(exact_family, s, 64) / error(exact_family, s, 128) for s in ("ddim", "dpm++")}
    assert 1.6 < ratios["ddim"] < 2.6
    assert 3.2 < ratios["dpm++"] < 5.5
    assert error(exact_family, "dpm++", 64) < error(exact_family, "ddim", 64) / 4


@pytest.mark.parametrize("levels", [10, 100, 1000])
def test_squared_cosine_falls_from_one_to_almost_nothing(levels):
    alpha_bar = squared_cosine(levels)
    assert alpha_bar.shape == (levels + 1,)
    assert alpha_bar[0] == 1
    assert 0 < alpha_bar[-1] < 1e-3
    assert (alpha_bar.diff() < 0).all()
    assert (alpha_bar[1:] / alpha_bar[:-1]).min() > 0.99e-3
    half = torch.cos(torch.tensor((0.5 + 0.008) / 1.008 * torch.pi / 2)).square()
    start = torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)).square()
    torch.testing.assert_close(alpha_bar[levels // 2], half / start)


def test_levels_of_the_loss_cover_one_to_all(exact_family):
    family = exact_family(levels=10, steps=5)
    level = family.draws(1000, generator=torch.Generator().manual_seed(0))["level"]
    assert level.unique().tolist() == list(range(1, 11))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_exact_denoiser_has_the_least_loss(exact_family, prediction):
    """E|v - E[v|x]|^2 < E|v - f(x)|^2 for every other f."""
    family = exact_family(prediction, steps=10)
    generator = torch.Generator().manual_seed(0)
    actions = MEAN + STD * torch.randn(20_000, 1, 1, generator=generator)
    draws = family.draws(20_000, generator=generator)
    mask, cond = torch.ones(20_000, 1, dtype=torch.bool), COND.expand(20_000, 1, 1)
    exact, net = family.loss(Chunks(actions, cond, mask), draws)[0], family.net
    for factor in (0.9, 1.1):
        family.net = lambda *arguments, factor=factor: factor * net(*arguments)
        assert family.loss(Chunks(actions, cond, mask), draws)[0] > exact
