import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.stats.agreement import chunk_energy, expert_radius, nearest_distance, share_beyond


def test_energy_closed_form():
    """Two samples at 0 and 3, the expert at 1: 2 * (1 + 2) / 2 - 3 = 0; distances are root mean squares."""
    samples = np.array([[[0.0, 0.0], [3.0, 3.0]]])
    assert chunk_energy(samples, np.array([[1.0, 1.0]])) == pytest.approx([0.0])
    with pytest.raises(ValueError, match="at least 2"):
        chunk_energy(samples[:, :1], np.array([[1.0, 1.0]]))


def test_energy_is_unbiased_and_lowest_for_the_experts_distribution():
    """Experts at -1 or 1; E|y - y'| = 1. Error bars: 4 standard errors of 4000 observations."""
    rng = np.random.default_rng(0)
    expert = rng.choice([-1.0, 1.0], size=(4000, 1))

    def mean(samples):
        energy = chunk_energy(samples[..., None], expert)
        return energy.mean(), 4 * energy.std() / 4000**0.5

    same, error = mean(rng.choice([-1.0, 1.0], size=(4000, 4)))
    assert same == pytest.approx(1.0, abs=error)  # 2 * 1 - 1: the distance 0 plus the constant
    pairs = rng.choice([-1.0, 1.0], size=(4000, 4))
    biased = 2 * np.abs(pairs - expert).mean() - np.abs(pairs[:, :, None] - pairs[:, None]).mean()
    assert abs(biased - 1.0) > 3 * error  # the mutant that counts pairs of a sample with itself
    for other in (np.ones((4000, 4)), np.zeros((4000, 4)), rng.normal(size=(4000, 4))):  # one mode, their mean, smear
        value, error = mean(other)
        assert value > same + error


@given(st.integers(0, 1000))
def test_energy_depends_on_distances_only(seed):
    rng = np.random.default_rng(seed)
    samples, expert = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4))
    energy = chunk_energy(samples, expert)
    assert chunk_energy(samples[:, ::-1] + 5, expert + 5) == pytest.approx(energy)
    assert chunk_energy(3 * samples, 3 * expert) == pytest.approx(3 * energy)


def test_experts_are_beyond_their_own_radius_once_in_a_hundred():
    rng = np.random.default_rng(0)
    expert, neighbors = rng.normal(size=(500, 4)), rng.normal(size=(500, 20, 4))
    radius = expert_radius(expert, neighbors)
    assert share_beyond(expert[:, None], neighbors, radius).mean() == pytest.approx(0.01, abs=0.002)


def test_what_lies_between_two_modes_is_a_bridge():
    rng = np.random.default_rng(0)
    neighbors = rng.choice([-1.0, 1.0], size=(50, 20, 1)) + 0.01 * rng.normal(size=(50, 20, 3))
    expert = neighbors[:, 0] + 0.001
    radius = expert_radius(expert, neighbors[:, 1:])
    samples = np.stack([np.full((50, 3), value) for value in (-1.0, 0.0, 0.5, 1.0)], axis=1)
    assert (share_beyond(samples, neighbors, 3 * radius) == 0.5).all()


def test_nearest_is_over_the_neighbors_of_the_same_observation():
    chunks, neighbors = np.array([[[0.0]], [[10.0]]]), np.array([[[1.0], [5.0]], [[0.0], [7.0]]])
    assert nearest_distance(chunks, neighbors).tolist() == [[1.0], [3.0]]
