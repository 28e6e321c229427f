import math

import pytest
import torch

from robolearn.policies.family import Chunks
from robolearn.policies.flow import Flow, FlowConfig

COND = torch.zeros(1, 1, 1)


@pytest.fixture
def make(nets_giving):
    """A flow of one number on a given network."""
    return lambda net, **choices: Flow(FlowConfig(**choices), nets_giving(net), 1, 1)


def error(make, sampler, steps):
    """Against the solution of dx/dt = (1 + t) x from x = 1."""
    family = make(lambda x, cond, time: (1 + time[:, :, None]) * x, sampler=sampler, steps=steps)
    end = family.sample(COND, torch.ones(1, 1, 1, dtype=torch.float64))
    return abs(end.item() - math.exp(1.5))


def test_heun_converges_with_second_order_and_euler_with_first(make):
    ratios = {s: error(make, s, 32) / error(make, s, 64) for s in ("euler", "heun")}
    assert ratios["euler"] == pytest.approx(2, rel=0.15)
    assert ratios["heun"] == pytest.approx(4, rel=0.15)


def test_times_of_sampling_run_from_noise_to_data(make):
    seen = []
    make(lambda x, cond, time: seen.append(time.item()) or x, steps=4).sample(COND, torch.ones(1, 1, 1))
    assert seen == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_the_last_step_begins_at_the_noise_that_is_asked_for(make, sampler):
    seen = []
    family = make(lambda x, cond, time: seen.append(time.item()) or x + time, sampler=sampler, steps=5, last_noise=0.25)
    end = family.sample(COND, torch.ones(1, 1, 1, dtype=torch.float64))
    assert sorted(set(seen)) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert len(seen) == family.nfe
    before = make(
        lambda x, cond, time: 0.8 * (x + 0.8 * time), sampler=sampler, steps=4
    )  # up to 0.8, time in its units
    if sampler == "euler":
        x = before.sample(COND, torch.ones(1, 1, 1, dtype=torch.float64))
        assert end.item() == pytest.approx((x + 0.2 * (x + 0.8)).item())


def test_the_last_step_carries_noise_to_the_mean_of_what_is_possible(make):
    """Of data N(0, 1) the mean of the data, given x_t at noise r over signal, is x_t t / (t^2 + (1 - t)^2)."""

    def velocity(x, cond, time):
        t = time[:, :, None]
        return x * (2 * t - 1) / (t**2 + (1 - t) ** 2)

    noise = torch.randn(4096, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cond, spreads = COND.expand(4096, -1, -1), []
    for last_noise in (0.02, 1.0):
        spreads.append(make(velocity, steps=200, last_noise=last_noise).sample(cond, noise).std().item())
    assert spreads[0] / noise.std().item() == pytest.approx(1, abs=0.02)
    assert spreads[1] / noise.std().item() == pytest.approx(2**-0.5, abs=0.02)


@pytest.mark.parametrize(
    ("density", "law"),
    [
        ("uniform", lambda t: t),
        ("logit-normal", lambda t: torch.special.ndtr(torch.logit(t))),
        ("beta", lambda t: 1 - (1 - t / 0.999) ** 1.5),  # 1 - t / 0.999 ~ Beta(1.5, 1)
    ],
)
def test_training_times_follow_their_law(make, density, law):
    """Kolmogorov-Smirnov at the level 1e-6."""
    n = 20_000
    draws = make(None, time_density=density).draws(n, generator=torch.Generator().manual_seed(0))
    time = draws["time"][:, 0].sort().values.double()
    assert time[0] >= 0
    assert time[-1] <= 1
    distance = (law(time) - (torch.arange(n) + 0.5) / n).abs().max() + 0.5 / n
    assert distance < math.sqrt(-math.log(1e-6 / 2) / 2 / n)


def test_the_laws_differ(make):
    """So that the test above can tell them apart."""
    time = make(None, time_density="beta").draws(20_000, generator=torch.Generator().manual_seed(0))["time"]
    assert time.mean().item() == pytest.approx(0.999 * (1 - 1.5 / 2.5), abs=0.01)  # not 0.6, the mirrored one


def test_the_exact_velocity_carries_noise_to_gaussian_data(make):
    """For data N(m, s^2) the marginal velocity is known; Euler with many steps reaches the data's law."""
    m, s = 0.3, 0.2

    def net(x, cond, time):
        t = time[:, :, None]
        variance = (1 - t) ** 2 + t**2 * s**2
        return m + (t * s**2 - (1 - t)) / variance * (x - t * m)

    family = make(net, steps=200)
    noise = family.noise(20_000, generator=torch.Generator().manual_seed(0))
    chunks = family.sample(COND.expand(20_000, 1, 1), noise)
    assert chunks.mean().item() == pytest.approx(m, abs=0.01)
    assert chunks.std().item() == pytest.approx(s, rel=0.03)
    # The same velocity has the least loss.
    actions = m + s * torch.randn(20_000, 1, 1, generator=torch.Generator().manual_seed(1))
    draws = family.draws(20_000, generator=torch.Generator().manual_seed(2))
    arguments = Chunks(actions, COND.expand(20_000, 1, 1), torch.ones(20_000, 1, dtype=torch.bool)), draws
    exact = family.loss(*arguments)[0]
    family.net = lambda *a: -net(*a)
    assert family.loss(*arguments)[0] > exact


def test_the_exact_velocity_toward_one_chunk_costs_nothing(nets_giving):
    """All paths lead to 0.3: v(x, t) = (0.3 - x) / (1 - t)."""
    family = Flow(FlowConfig(), nets_giving(lambda x, cond, time: (0.3 - x) / (1 - time[:, :, None])), 2, 1)
    draws = family.draws(50, generator=torch.Generator().manual_seed(0))
    draws["time"] = draws["time"].clamp(max=0.9)
    mask = torch.ones(50, 2, dtype=torch.bool)
    loss = family.loss(Chunks(torch.full((50, 2, 1), 0.3), torch.zeros(50, 1, 1), mask), draws)[0]
    assert loss.item() == pytest.approx(0, abs=1e-8)
