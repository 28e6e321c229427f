import pytest
import torch

from robolearn.dynamics.config import CEMConfig, ICEMConfig, PlannerConfig
from robolearn.dynamics.plan import ModelReturns, Planner, going_on

LOW, HIGH = torch.tensor([-1.0]), torch.tensor([1.0])
SEARCHES = {"cem": CEMConfig(population=100, elites=10, iterations=5), "icem": ICEMConfig(population=40)}


class Mass:
    """Two members that agree: the speed is the state, the action pushes it."""

    num_members = 2

    def __call__(self, states, actions):
        return states + 0.5 * actions, torch.full_like(states, 1e-4)


def reward(before, actions, after):
    return -(after[..., 0] - 1.0).square() - 1e-3 * actions[..., 0].square()


def returns(cfg, seed=0, reward=reward, ended=None):
    return ModelReturns(Mass(), reward, cfg, generator=torch.Generator().manual_seed(seed), ended=ended)


def planner(horizon=4, seed=0, search="cem"):
    cfg = PlannerConfig(horizon=horizon, num_particles=4, search=SEARCHES[search])
    return Planner(returns(cfg, seed), LOW, HIGH, cfg, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("search", SEARCHES)
def test_planning_reaches_the_goal_and_stays(search):
    controller, state = planner(search=search), torch.tensor([-1.0])
    for _ in range(12):
        state = state + 0.5 * controller.act(state)
    assert abs(float(state) - 1.0) < 0.1


def test_the_next_search_begins_from_what_is_left_of_the_plan():
    controller = planner()
    controller.act(torch.tensor([-1.0]))
    left = controller.search.plan.clone()
    assert left[0] > 0.3  # still to be accelerated
    assert left[-1] == 0  # of the end nothing is known
    controller.reset()
    assert controller.search.plan.abs().max() == 0


def test_a_return_is_the_mean_over_particles_of_the_summed_rewards():
    plans = torch.tensor([[[1.0], [1.0]], [[0.0], [0.0]]])
    # Speeds 0.5, 1.0 and 0, 0; process noise adds the variance of the sum of t draws.
    expected = -torch.tensor([0.25 + 0.0 + 2e-3, 2.0])
    estimates = returns(PlannerConfig(num_particles=4))(torch.zeros(1), plans)
    torch.testing.assert_close(estimates, expected, rtol=0, atol=0.05)


def test_a_reward_is_of_what_was_before_what_was_done_and_what_came():
    """Speeds 0, 0.5, 1.0, 0.5 under actions 1, 1, -1."""
    plans = torch.tensor([[[1.0], [1.0], [-1.0]]])

    def reward(before, actions, after):
        return 100 * before[..., 0] + 10 * actions[..., 0] + after[..., 0]

    estimate = returns(PlannerConfig(num_particles=4), reward=reward)(torch.zeros(1), plans)
    assert float(estimate) == pytest.approx(100 * 1.5 + 10 * 1 + 2.0, abs=5)


def test_rewards_after_the_end_count_nothing():
    """Each step brings 1; the speed is beyond 0.8 after the second step of the first plan, never in the other."""
    plans = torch.tensor([[[1.0]] * 5, [[0.0]] * 5])
    asked = returns(
        PlannerConfig(num_particles=4),
        reward=lambda before, actions, after: torch.ones_like(after[..., 0]),
        ended=lambda before, actions, after: after[..., 0] > 0.8,
    )
    assert asked(torch.zeros(1), plans).tolist() == [2.0, 5.0]
    ended = torch.tensor([[False, True], [True, False], [False, False], [True, False]])
    assert going_on(ended).tolist() == [[True, True], [True, False], [False, False], [False, False]]


def test_a_reward_that_is_no_number_after_the_end_counts_nothing():
    def wild(before, actions, after):
        return torch.where(before[..., 0] > 0.4, torch.nan, 1.0)

    end = lambda before, actions, after: after[..., 0] > 0.4  # noqa: E731
    plans, start = torch.ones(1, 3, 1), torch.tensor([0.0])
    cfg = PlannerConfig(horizon=3, num_particles=4)
    assert returns(cfg, reward=wild, ended=end)(start, plans).tolist() == [1.0]
    assert returns(cfg, reward=wild)(start, plans).isnan().all()


@pytest.mark.parametrize("search", SEARCHES)
def test_the_same_seed_gives_the_same_actions(search):
    actions = [planner(seed=seed, search=search).act(torch.tensor([0.2])) for seed in (1, 1, 2)]
    assert torch.equal(actions[0], actions[1])
    assert not torch.equal(actions[0], actions[2])


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (CEMConfig, {"elites": 300}, r"`search.elites` 300 must be in 1\.\.`search.population` 200"),
        (CEMConfig, {"iterations": 0}, "`search.iterations` 0 must be at least 1"),
        (CEMConfig, {"momentum": 1.0}, r"`search.momentum` 1\.0 must be in \[0, 1\)"),
        (ICEMConfig, {"beta": -1.0}, r"`search.beta` -1\.0 must be in \[0, 10\]"),
        (ICEMConfig, {"beta": 60.0}, r"`search.beta` 60\.0 must be in \[0, 10\]"),
        (ICEMConfig, {"keep": 1.5}, r"`search.keep` 1\.5 must be in \[0, 1\]"),
        (ICEMConfig, {"decay": 0.5}, r"`search.decay` 0\.5 must be at least 1"),
        (ICEMConfig, {"elites": 300}, r"`search.elites` 300 must be in 1\.\.`search.population` 60"),
        (PlannerConfig, {"horizon": 0}, "`horizon` 0 must be at least 1"),
    ],
)
def test_a_wrong_configuration_is_refused(config, settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_uneven_particles_are_refused():
    with pytest.raises(ValueError, match="num_particles 3 must be a multiple of the 2 members"):
        returns(PlannerConfig(num_particles=3))(torch.zeros(1), torch.zeros(2, 15, 1))
