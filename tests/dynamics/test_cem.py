import math

import pytest
import torch

from robolearn.dynamics.cem import CEM, cem, truncated_normal
from robolearn.dynamics.config import CEMConfig

LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0])
MIDDLE = ((LOW + HIGH) / 2).expand(4, 2)


def search(cost, mean=MIDDLE, seed=0, **settings):
    return cem(cost, mean, LOW, HIGH, CEMConfig(**settings), generator=torch.Generator().manual_seed(seed))


def quadratic(optimum):
    """Skewed, so that its axes are not the plan's."""
    factor = torch.eye(8) + 0.05 * torch.ones(8, 8)
    return lambda plans: ((plans - optimum).flatten(1) @ factor).square().sum(1)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_of_a_quadratic_is_found(seed):
    optimum = torch.tensor([[0.3, 2.0], [-0.7, -1.5], [0.0, 0.4], [0.8, 2.5]])
    sizes = {"population": 1000, "elites": 100}
    assert (search(quadratic(optimum), seed=seed, iterations=20, **sizes) - optimum).abs().max() < 0.05
    assert (search(quadratic(optimum), seed=seed, iterations=1, **sizes) - optimum).abs().max() > 0.2


def test_an_optimum_outside_is_sought_at_the_bound_and_no_plan_leaves_it():
    seen = []

    def cost(plans):
        seen.append(plans)
        return (plans - torch.tensor([5.0, 0.0])).square().sum((1, 2))

    plan = search(cost, iterations=30)
    assert ((torch.cat(seen) >= LOW) & (torch.cat(seen) <= HIGH)).all()
    assert (plan[:, 0] > 0.97).all()
    assert plan[:, 1].abs().max() < 0.1


@pytest.mark.parametrize(("edge", "most"), [(0.8, 0.03), (1.0, 0.35)], ids=["inside", "at the bounds"])
def test_the_default_search_comes_near_the_optimum(edge, most):
    """Fifteen actions in [-1, 1], mean distance over ten seeds; three iterations leave 0.14 and 0.59."""
    low, optimum = -torch.ones(1), torch.linspace(-edge, edge, 15)[:, None]
    if edge == 1.0:
        optimum = optimum.sign() + (optimum == 0)
    gaps = [
        (
            cem(
                lambda plans: (plans - optimum).square().sum((1, 2)),
                torch.zeros(15, 1),
                low,
                -low,
                CEMConfig(),
                generator=torch.Generator().manual_seed(seed),
            )
            - optimum
        )
        .abs()
        .mean()
        for seed in range(10)
    ]
    assert sum(gaps) / 10 < most


@pytest.mark.parametrize("mean", [MIDDLE, MIDDLE + torch.tensor([0.9, -2.0])], ids=["middle", "near a bound"])
def test_mean_and_variance_follow_the_elites_as_in_the_paper(mean):
    """The second population tells what mean and variance became after the first."""
    seen = []

    def cost(plans):
        seen.append(plans)
        return plans[:, 0, 0]

    plan = search(cost, mean=mean, population=4000, elites=40, iterations=2, momentum=0.1)
    first, second = seen
    elites = first[first[:, 0, 0].argsort()[:40]]
    between = 0.1 * mean + 0.9 * elites.mean(0)
    torch.testing.assert_close(plan, 0.1 * between + 0.9 * second[second[:, 0, 0].argsort()[:40]].mean(0))
    var = 0.1 * ((HIGH - LOW) / 4).square() + 0.9 * elites.var(0, correction=0)
    room = torch.minimum(between - LOW, HIGH - between) / 2
    std = torch.minimum(var.sqrt(), room)
    # Within two standard deviations a normal law has 0.8796 of its own.
    torch.testing.assert_close(second.std(0) / std, torch.full((4, 2), 0.8796), rtol=0, atol=0.03)
    assert ((second - between).abs() <= 2 * std + 1e-5).all()
    torch.testing.assert_close(first.std(0) / 0.8796, first_std(mean), rtol=0.05, atol=0)


def first_std(mean):
    return torch.minimum((HIGH - LOW) / 4, torch.minimum(mean - LOW, HIGH - mean) / 2)


def test_a_truncated_normal_law():
    z = truncated_normal((100_000,), torch.Generator().manual_seed(0))
    assert z.abs().max() <= 2
    inside = 0.95450  # of a normal law within two standard deviations
    assert abs(float((z.abs() < 1).float().mean()) - 0.68269 / inside) < 5 * math.sqrt(0.2 / 100_000)


def test_nan_is_never_chosen():
    def cost(plans):
        costs = plans[:, 0, 0].square()
        return torch.where(plans[:, 0, 1] > 0, torch.nan, costs)

    plan = search(cost, iterations=10)
    assert plan.isfinite().all()
    assert plan[0, 1] < 0


def test_a_search_goes_on_from_the_rest_of_its_plan():
    """It executes the mean, and of the end nothing is known."""
    optimum = torch.tensor([[0.5, 1.5], [0.2, 1.0], [-0.3, 0.0], [-0.5, -0.5]])
    search = CEM(CEMConfig(), 4, LOW, HIGH, torch.Generator().manual_seed(0))
    action = search.find(quadratic(optimum))
    assert (action - optimum[0]).abs().max() < 0.15
    assert (search.plan[:3] - optimum[1:]).abs().max() < 0.15
    assert torch.equal(search.plan[3], MIDDLE[0])
    search.reset()
    assert torch.equal(search.plan, MIDDLE)
