import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.trust.scores.samples import (
    action_entropy,
    energy_disagreement,
    most_agreed,
    pooled_variance,
    single_inconsistency,
    temporal_inconsistency,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def two_ways(k, b, n, seed=0):
    """Chunks at -0.8 or 0.8, alike in all members: much choice, no doubt."""
    way = torch.where(torch.rand(k, b, n, 1, 1, generator=generator(seed)) < 0.5, -0.8, 0.8)
    return way + 0.05 * torch.randn(k, b, n, 4, 2, generator=generator(seed + 1))


def one_way_each(b, n):
    """Two members that are sure of different ways."""
    chunks = 0.05 * torch.randn(2, b, n, 4, 2, generator=generator())
    chunks[0] -= 0.4
    chunks[1] += 0.4
    return chunks


def test_members_that_agree_on_two_ways_do_not_disagree():
    """1,000 observations: the mean is 0 within four standard errors; with pairs of a sample and itself it is not."""
    chunks = two_ways(3, 1000, 8)
    disagreement = energy_disagreement(chunks)
    assert abs(disagreement.mean()) < 4 * disagreement.std() / np.sqrt(1000)
    within = (chunks[:, :, :, None] - chunks[:, :, None]).square().mean((4, 5)).sqrt().mean((0, 2, 3))
    biased = disagreement + 2 * within / 7  # n / (n - 1) less within
    assert biased.mean() > 10 * disagreement.std() / np.sqrt(1000)


def test_variance_takes_choice_for_doubt_and_disagreement_does_not():
    choice, doubt = two_ways(2, 200, 16), one_way_each(200, 16)
    assert pooled_variance(choice).mean() > 2 * pooled_variance(doubt).mean()
    assert energy_disagreement(doubt).min() > energy_disagreement(choice).quantile(0.99)


@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 100))
def test_energy_is_that_of_the_definition(k, n, seed):
    x = torch.randn(k, 2, n, 3, 2, generator=generator(seed), dtype=torch.float64)

    def apart(p, q):
        return (p - q).square().mean().sqrt()

    for b, energy in enumerate(energy_disagreement(x)):
        pairs = []
        for i in range(k):
            for j in range(i):
                p, q = x[i, b], x[j, b]
                cross = torch.stack([apart(u, v) for u in p for v in q]).mean()
                own = [torch.stack([apart(s[u], s[v]) for u in range(n) for v in range(u)]).mean() for s in (p, q)]
                pairs.append(2 * cross - sum(own))
        torch.testing.assert_close(energy, torch.stack(pairs).mean())


@pytest.mark.parametrize("apart", [0.0, 1e-4, 1e-3, 1e-2])
def test_members_that_hardly_disagree_do_so_by_what_they_disagree(apart):
    """Each is sure of one chunk, as a regression is, and a chunk is long beside what lies between them."""
    chunk, other = torch.rand(2, 4, 1, 16, 2, generator=generator()) * 2 - 1
    chunks = torch.stack([chunk, chunk + apart * other]).expand(2, 4, 16, 16, 2)
    expected = 2 * (chunks[1] - chunks[0]).square().mean((2, 3)).sqrt()[:, 0]
    torch.testing.assert_close(energy_disagreement(chunks), expected, rtol=1e-4, atol=1e-7)


def test_action_entropy_counts_modes():
    one, two = torch.zeros(1, 64, 4, 2), torch.zeros(1, 64, 4, 2)
    two[:, ::2] = 0.55
    assert action_entropy(one).item() == 0
    assert action_entropy(two).item() == pytest.approx(8 * np.log(2))


def test_plans_that_go_on_are_consistent():
    """A plan shifted by what was executed is the same plan; another way is not, nor is one shifted by too little."""
    plan = torch.cumsum(0.1 * torch.randn(3, 16, 12, 2, generator=generator()), dim=2)
    before, now = plan[:, :, :8], plan[:, :, 3:11]
    assert temporal_inconsistency(before, now, 3).max() < 1e-6
    assert single_inconsistency(before[:, 0], now[:, 0], 3).max() < 1e-6
    assert temporal_inconsistency(before, now, 2).min() > 1e-4
    assert temporal_inconsistency(before, now + 2, 3).min() > 0.5
    with pytest.raises(ValueError, match=r"num_executed 8 must be in 0\.\.7"):
        temporal_inconsistency(before, now, 8)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (3, 1)])
def test_disagreement_needs_two_of_both(k, n):
    with pytest.raises(ValueError, match="at least 2 members and 2 samples"):
        energy_disagreement(torch.zeros(k, 1, n, 2, 1))


def of_one_number(*members):
    """Chunks of one number per member, one observation."""
    return torch.tensor(members)[:, None, :, None, None]


def test_it_lies_in_the_largest_mode_of_the_others():
    first = [-1.0, 0.0, 1.0, 1.1]
    others = [[1.0, 1.05, 1.1, -1.0], [1.0, 0.95, 1.02, -0.9]]
    assert most_agreed(of_one_number(first, *others)).tolist() == [2]


def test_the_mean_of_two_modes_is_not_chosen():
    samples = [0.0, -1.0, -1.01, 1.0, 1.01, 0.99]
    assert abs(samples[most_agreed(of_one_number(samples, samples))[0]]) > 0.9


def test_one_member_is_judged_by_its_own_samples():
    assert most_agreed(of_one_number([5.0, 0.0, 0.1, 0.04, 0.05, 0.06])).tolist() == [4]
