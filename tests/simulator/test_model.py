"""What a learned simulator draws, beside the law that its recordings come from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robolearn.data.store import DemoStore
from robolearn.dynamics.config import CEMConfig, PlannerConfig
from robolearn.dynamics.plan import Planner
from robolearn.errors import UserError
from robolearn.nets.descent import FitConfig
from robolearn.simulator.ending import fit_ending
from robolearn.simulator.model import LearnedSimulator
from robolearn.simulator.returns import LearnedReturns
from robolearn.simulator.transitions import Ends, Recording
from tests.simulator import point

SAMPLES = 500


def drawn(simulator, start, actions, seed=0):
    """States [n, t] after the same actions."""
    noise = simulator.noise(SAMPLES, len(actions), generator=torch.Generator().manual_seed(seed))
    history, repeated = torch.full((SAMPLES, 1, 1), start), torch.tensor(actions).float().expand(SAMPLES, -1)
    return simulator.unroll(history, repeated[..., None], noise)[..., 0].numpy()


@pytest.mark.parametrize("start", [-0.3, 0.1, 0.5])
def test_mean_and_spread_are_those_of_the_system(simulator, start):
    """Twelve steps, three chunks ahead. Sampling alone moves the mean by 4 of its deviations in 1 of 16,000 cases."""
    actions = np.random.default_rng(0).uniform(-1, 1, 12)
    states, (mean, std) = drawn(simulator, start, actions), point.moments(start, actions)
    room = 4 * std / SAMPLES**0.5 + 0.5 * std  # what short training leaves
    assert (np.abs(states.mean(0) - mean) < room).all()
    assert (np.abs(states.std(0) / std - 1) < 0.3).all()


def test_actions_change_what_comes(simulator):
    right, left = (drawn(simulator, 0.0, np.full(4, target))[:, -1].mean() for target in (1.0, -1.0))
    exact = [point.moments(0.0, np.full(4, target))[0][-1] for target in (1.0, -1.0)]
    np.testing.assert_allclose([right, left], exact, atol=0.05)


def test_actions_beyond_the_recorded_ones_count_as_their_bound(simulator):
    beyond, bound = (drawn(simulator, 0.0, np.full(3, target)) for target in (7.0, simulator.facts.action_high[0]))
    np.testing.assert_array_equal(beyond, bound)


def test_actions_beyond_the_recorded_ones_end_episodes_as_their_bound_does(simulator):
    states, share = torch.full((SAMPLES, 1, 1), point.GOAL), torch.linspace(0, 0.999, SAMPLES)[:, None]
    for beyond, bound in ((50.0, simulator.facts.action_high[0]), (-50.0, simulator.facts.action_low[0])):
        ends = [simulator.endings(states, torch.full_like(states, action), states, share) for action in (beyond, bound)]
        np.testing.assert_array_equal(*ends)


def test_a_part_of_a_chunk_is_drawn_alone(simulator):
    """Five steps are a chunk of four and a beginning of the next."""
    assert drawn(simulator, 0.0, np.zeros(5)).shape == (SAMPLES, 5)


def test_endings_are_where_they_were(simulator):
    states = torch.tensor([-0.9, -0.3, 0.3, 0.9])[:, None, None]
    share = torch.full((4, 1), 0.5)
    ends = simulator.endings(states, torch.zeros(4, 1, 1), torch.zeros(4, 1, 1), share)
    assert ends[:, 0].tolist() == [Ends.FAILURE, Ends.NOTHING, Ends.NOTHING, Ends.SUCCESS]


def test_ends_are_as_rare_as_they_were():
    """They are drawn as often as all else in training; probabilities are those of recordings nevertheless.

    Nothing tells when an episode of 20 steps ends here, so that each of its actions does in 1 of 20 cases.
    """
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 2, 20, 1)).astype(np.float32)
    ending = fit_ending([Recording(*pair, Ends.SUCCESS) for pair in rows], 1, FitConfig(300, 64, 1e-3), seed=0)
    seen = torch.from_numpy(rng.normal(size=(1000, 2))).float()
    with torch.no_grad():
        nothing, success, failure = ending(seen).softmax(1).mean(0)
    assert success == pytest.approx(0.05, abs=0.02)
    assert failure < 0.02
    assert nothing > 0.9


def test_an_end_is_judged_in_the_state_in_which_the_action_is_taken(simulator):
    """After the first action the point is where it succeeds; the second one does."""
    history, after = torch.zeros(1, 1, 1), torch.tensor([[[0.9], [0.9], [0.0]]])
    ends = simulator.endings(history, torch.zeros(1, 3, 1), after, torch.full((1, 3), 0.5))
    assert ends.tolist() == [[Ends.NOTHING, Ends.SUCCESS, Ends.SUCCESS]]


def test_it_is_the_same_from_files(simulator):
    again = LearnedSimulator.open(simulator.directory)
    np.testing.assert_array_equal(drawn(again, 0.2, np.ones(6)), drawn(simulator, 0.2, np.ones(6)))


def test_held_out_episodes_are_those_of_the_recording(simulator, point_store):
    store, held_out = DemoStore.open(point_store), simulator.held_out()
    recorded = [store.episode(i) for i in range(store.num_episodes)]
    assert len(held_out) == 40
    for states, actions in held_out:
        twins = [e for e in recorded if len(e) == len(states) and np.array_equal(e.actions[:-1], actions)]
        assert any(np.allclose(states, e.obs["state"], atol=1e-6) for e in twins)
    assert len(held_out) + len(simulator.learned_from()) == sum(len(e) > 1 for e in recorded)


def reward(before, actions, after):
    return after[..., 0] - 0.1 * (actions[..., 0] - 1).square()


def test_plans_bring_what_they_bring_in_the_system(simulator):
    plans = torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 6, 1)
    returns = LearnedReturns(simulator, reward, 200, generator=torch.Generator().manual_seed(0))
    exact = [point.moments(0.0, plan)[0].sum() - 0.6 * (plan[0] - 1) ** 2 for plan in plans[..., 0].numpy()]
    np.testing.assert_allclose(returns(torch.zeros(1), plans), exact, atol=0.25)


def test_a_planner_plans_in_it(simulator):
    generator = torch.Generator().manual_seed(0)
    returns = LearnedReturns(simulator, reward, 4, generator=generator)
    how = PlannerConfig(horizon=4, search=CEMConfig(100, 10, 6))
    planner = Planner(returns, -torch.ones(1), torch.ones(1), how, generator=generator)
    assert planner.act(torch.zeros(1)).item() > 0.4


def test_who_plans_knows_one_state(simulator, monkeypatch):
    monkeypatch.setattr(simulator, "facts", replace(simulator.facts, history=2))
    with pytest.raises(UserError, match="sees 2 states; plan with `history` 1"):
        LearnedReturns(simulator, reward, 4, generator=torch.Generator())
