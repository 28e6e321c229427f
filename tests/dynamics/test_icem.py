import pytest
import torch

from robolearn.dynamics.config import ICEMConfig
from robolearn.dynamics.icem import ICEM, icem

LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0])
MIDDLE = ((LOW + HIGH) / 2).expand(4, 2)
OPTIMUM = torch.tensor([[0.3, 2.0], [-0.7, -1.5], [0.0, 0.4], [0.8, 2.5]])
WHITE = ICEMConfig(population=1000, elites=50, iterations=20, beta=0.0, decay=1.0)


class Recorder:
    """A skewed quadratic, whose axes are not the plan's, that remembers what it was asked."""

    def __init__(self, optimum=OPTIMUM):
        self.optimum, self.seen = optimum, []

    def __call__(self, plans):
        self.seen.append(plans)
        factor = torch.eye(8) + 0.05 * torch.ones(8, 8)
        return ((plans - self.optimum).flatten(1) @ factor).square().sum(1)


def search(cost, cfg, mean=MIDDLE, kept=MIDDLE[None][:0], seed=0):
    return icem(cost, mean, kept, LOW, HIGH, cfg, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_of_a_quadratic_is_found(seed):
    mean, elites = search(Recorder(), WHITE, seed=seed)
    assert (mean - OPTIMUM).abs().max() < 0.05
    assert (elites[0] - OPTIMUM).abs().max() < 0.05


def test_a_smooth_optimum_is_found_with_few_plans_by_smooth_noise():
    """Thirty actions along half a sine wave: white noise of as many plans stays away."""
    optimum = torch.sin(torch.linspace(0, 3.14, 30))[:, None] * torch.tensor([0.8, 1.5])
    gap = {}
    for beta in (0.0, 2.5):
        best_plans = [
            search(
                lambda plans: (plans - optimum).square().sum((1, 2)),
                ICEMConfig(population=60, elites=10, iterations=5, beta=beta),
                mean=torch.zeros(30, 2),
                kept=torch.zeros(0, 30, 2),
                seed=seed,
            )[1][0]
            for seed in range(5)
        ]
        gap[beta] = torch.stack([(plan - optimum).abs().mean() for plan in best_plans]).mean()
    assert gap[2.5] < 0.25
    assert gap[2.5] < 0.5 * gap[0.0]


def test_no_plan_leaves_the_bounds_and_an_optimum_outside_is_sought_at_them():
    seen = []

    def cost(plans):
        seen.append(plans)
        return (plans - torch.tensor([2.0, -4.0])).square().sum((1, 2))

    _, elites = search(cost, ICEMConfig(population=400, elites=40, iterations=15, beta=0.0, decay=1.0))
    every = torch.cat(seen)
    assert ((every >= LOW) & (every <= HIGH)).all()
    assert (every[:, :, 0] == HIGH[0]).any()
    assert (every[:, :, 1] == LOW[1]).any()
    assert (elites[0] - torch.tensor([1.0, -2.0])).abs().max() < 0.1


def test_the_population_shrinks_and_the_mean_competes_at_the_end():
    cost = Recorder()
    cfg = ICEMConfig(population=40, elites=10, iterations=4, keep=0.3, decay=1.5)
    kept = torch.rand(3, 4, 2)
    mean, _ = search(cost, cfg, kept=kept)
    # 40 and 3 kept; 26 and 3 of the elites; twice the elites, and 3; the same and the mean.
    assert [len(plans) for plans in cost.seen] == [43, 29, 23, 24]
    assert torch.equal(cost.seen[0][-3:], kept)
    last = cost.seen[-1]
    best = last[Recorder()(last).argsort()[:10]]
    torch.testing.assert_close(mean, 0.1 * last[-1] + 0.9 * best.mean(0))  # its last plan was the mean before


def test_elites_stay_for_the_next_iteration():
    cost = Recorder()
    cfg = ICEMConfig(population=40, elites=10, iterations=3, keep=0.5, decay=1.0)
    search(cost, cfg)
    for before, after in zip(cost.seen[:2], cost.seen[1:], strict=True):
        best = before[Recorder()(before).argsort()[:5]]
        assert torch.equal(after[40:45], best)
    lowest = [float(Recorder()(plans).min()) for plans in cost.seen]
    assert lowest == sorted(lowest, reverse=True)


def test_mean_and_spread_follow_the_elites():
    """The second population tells what they became after the first."""
    cost = Recorder(MIDDLE)
    cfg = ICEMConfig(population=4000, elites=100, iterations=2, beta=0.0, keep=0.0, decay=1.0)
    search(cost, cfg)
    first, second = cost.seen[0], cost.seen[1][:4000]
    inside = (first > LOW) & (first < HIGH)
    assert 0.94 < float(inside.float().mean()) < 0.965  # two standard deviations to either side
    elites = first[Recorder(MIDDLE)(first).argsort()[:100]]
    mean = 0.1 * MIDDLE + 0.9 * elites.mean(0)
    std = 0.1 * (HIGH - LOW) / 4 + 0.9 * elites.std(0, correction=0)
    assert (torch.minimum(mean - LOW, HIGH - mean) > 2.5 * std).all()  # hardly a plan is clipped
    torch.testing.assert_close(second.mean(0), mean, rtol=0, atol=0.06)
    torch.testing.assert_close(second.std(0), std, rtol=0.05, atol=0)


def test_the_best_plan_is_executed_and_the_next_search_begins_from_it():
    controller = ICEM(ICEMConfig(population=40, elites=10, keep=0.3), 4, LOW, HIGH, torch.Generator().manual_seed(0))
    cost = Recorder()
    action = controller.find(cost)
    last = cost.seen[-1]
    best = last[Recorder()(last).argsort()[:3]]
    assert torch.equal(action, best[0, 0])
    assert torch.equal(controller.kept, best)
    mean, cost = controller.mean.clone(), Recorder()
    assert torch.equal(mean[-1], mean[-2])
    controller.find(cost)
    begun = cost.seen[0]
    assert len(begun) == 43
    assert torch.equal(begun[40:, :3], best[:, 1:])  # a step shorter
    assert len({tuple(row) for row in begun[40:, 3].tolist()}) == 3  # and their ends drawn
    assert (begun[:40].mean(0) - mean).abs().max() < 0.6
    controller.reset()
    assert len(controller.kept) == 0
    assert torch.equal(controller.mean, MIDDLE)


def test_nan_is_never_chosen():
    def cost(plans):
        return torch.where(plans[:, 0, 1] > 0, torch.nan, plans[:, 0, 0].square())

    mean, elites = search(cost, ICEMConfig(iterations=5))
    assert mean.isfinite().all()
    assert (elites[0, 0, 1] <= 0).all()
