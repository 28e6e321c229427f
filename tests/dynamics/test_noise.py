import pytest
import torch

from robolearn.dynamics.config import MOST_BETA
from robolearn.dynamics.noise import colored_noise

NUM = 20_000


def noise(length, beta, seed=0, num=NUM):
    return colored_noise(num, length, 2, beta, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("length", [2, 15, 16])
def test_the_spectrum_is_the_power_law(length, beta):
    """The mean power of 20,000 sequences; one frequency's power is a chi-square of two numbers, or of one at an end."""
    power = torch.fft.rfft(noise(length, beta).double(), dim=1).abs().square()
    mean, error = power.mean(0), power.std(0) / NUM**0.5
    frequencies = torch.fft.rfftfreq(length).double()
    law = frequencies[1:] ** -beta
    expected = torch.cat([law[:1], law])  # the constant part has the power of the lowest frequency
    whole = 2 * expected.sum() - expected[0] - (expected[-1] if length % 2 == 0 else 0)
    expected = expected * length**2 / whole  # of variance 1
    assert ((mean - expected[:, None]).abs() < 4.5 * error).all()
    if beta:
        assert ((mean - mean.mean()).abs() > 10 * error).any() or length == 2  # white noise is told apart


@pytest.mark.parametrize("beta", [0.0, 2.5])
@pytest.mark.parametrize("length", [1, 2, 15, 16])
def test_every_step_has_mean_0_and_variance_1(length, beta):
    x = noise(length, beta).double()
    assert x.shape == (NUM, length, 2)
    assert (x.mean(0).abs() < 4.5 / NUM**0.5).all()
    assert ((x.var(0) - 1).abs() < 4.5 * (2 / NUM) ** 0.5).all()


def test_sequences_and_numbers_are_independent_and_time_is_not():
    x = noise(12, 2.5).double()
    assert abs(float((x[:, :, 0] * x[:, :, 1]).mean(0).max())) < 4.5 / NUM**0.5
    assert abs(float((x[:-1] * x[1:]).mean(0).max())) < 4.5 / NUM**0.5
    assert ((x[:, :-1] * x[:, 1:]).mean(0) > 0.7).all()


def test_the_seed_fixes_it():
    assert torch.equal(noise(7, 2.0, num=3), noise(7, 2.0, num=3))
    assert not torch.equal(noise(7, 2.0, num=3), noise(7, 2.0, seed=1, num=3))


def test_the_steepest_noise_is_made_of_numbers():
    assert colored_noise(2, 100_000, 1, MOST_BETA, torch.Generator().manual_seed(0)).isfinite().all()
