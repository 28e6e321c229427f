"""Plans that are carried out in copies of the environment are what the environment itself would do."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from robolearn.dynamics.config import ICEMConfig
from robolearn.errors import UserError
from robolearn.planning.config import PlanConfig
from robolearn.planning.plan import plan
from robolearn.planning.simulator import WIDTH, simulator_of
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import opened_envs

EXACT = [
    "envs:robolearn/Push-v0",
    "Pendulum-v1",
    "InvertedPendulum-v5",
    "Reacher-v5",
    "HalfCheetah-v5",
    "tests.planning.point_envs:test/Settable-v0",
]
SEED = 11


@contextmanager
def opened(env_id, **options):
    """The environment that acts, three steps into an episode, its copies, and random plans [n, t, a]."""
    env, rng = EnvConfig(env_id, **options), np.random.default_rng(0)
    key = {"envs": "state", "tests.planning.point_envs": "place"}.get(env_id.partition(":")[0], "observation")
    with opened_envs(env, 1, (key,), 0) as envs, simulator_of(envs, SEED) as simulator:
        space = envs.interface.action_space
        envs.reset(seed=[SEED], options={"reset_mask": np.ones(1, bool)})
        simulator.begin(SEED)
        draw = lambda *shape: rng.uniform(space.low, space.high, (*shape, *space.shape)).astype(np.float32)  # noqa: E731
        envs.step_chunk(draw(1, 3), np.ones(1, bool))
        yield envs, simulator, draw


@pytest.mark.parametrize("env_id", EXACT)
def test_a_plan_brings_what_it_would_bring(env_id):
    with opened(env_id) as (envs, simulator, draw):
        plans = draw(3, 6)
        state = torch.zeros(0)
        expected = simulator(state, torch.from_numpy(plans))
        assert len(set(expected.tolist())) > 1 or env_id.startswith(("envs", "Inverted"))
        # Asked in another order and again, the same comes out: nothing is left of a plan, and nothing has moved.
        assert torch.equal(simulator(state, torch.from_numpy(plans[::-1].copy())), expected.flip(0))
        chunk = envs.step_chunk(plans[:1], np.ones(1, bool))
        done = int(chunk.num_steps[0])
        assert done > 1
        assert float(expected[0]) == np.float32(chunk.rewards[0, :done].sum())


def test_more_plans_than_fit_side_by_side_are_all_judged():
    """Plans of Push that differ: each is judged as when it is asked alone."""
    with opened("envs:robolearn/Push-v0") as (_, simulator, draw):
        plans = draw(WIDTH + 3, 4)
        together = simulator.rewards(plans)
        assert together.shape == (WIDTH + 3, 4)
        for i in (0, 1, WIDTH - 1, WIDTH, WIDTH + 2):
            np.testing.assert_array_equal(simulator.rewards(plans[i : i + 1])[0], together[i])
        assert len(np.unique(together.sum(1))) > 10


def test_nothing_is_paid_after_an_end():
    """The pole falls within a second if it is pushed to one side."""
    with opened("InvertedPendulum-v5") as (_, simulator, _):
        rewards = simulator.rewards(np.full((1, 60, 1), 3.0, np.float32))[0]
    fallen = int(rewards.sum())
    assert 2 < fallen < 40
    np.testing.assert_array_equal(rewards, np.arange(60) < fallen)


def test_steps_that_an_environment_counts_itself_are_no_end_of_plans():
    with opened("tests.planning.point_envs:test/Counting-v0") as (_, simulator, draw):
        plans = draw(4, 9)
        rewards = simulator.rewards(plans)
        assert (rewards != 0).all()
        np.testing.assert_array_equal(simulator.rewards(plans), rewards)


@pytest.mark.parametrize(("stops", "paid"), [(True, 2), (False, 9), (None, 9)])
def test_a_plan_ends_at_its_success_where_episodes_do(stops, paid):
    """Pushed on all along, it succeeds in its second step."""
    with opened("tests.planning.point_envs:test/Reached-v0", stop_on_success=stops) as (envs, simulator, _):
        envs.copies[0].env.unwrapped.at = np.zeros(2)
        rewards = simulator.rewards(np.ones((2, 9, 1), np.float32))
        np.testing.assert_array_equal(rewards, np.tile(np.arange(9) < paid, (2, 1)))


@pytest.mark.parametrize("begin", ["Reached", "Unstable"])
def test_ends_that_are_no_terminations_are_no_difference_between_an_environment_and_its_copy(begin):
    with opened(f"tests.planning.point_envs:test/{begin}-v0", stop_on_success=True) as (envs, simulator, _):
        envs.copies[0].env.unwrapped.at = np.array([0.9, 0])
        assert simulator.rewards(np.ones((1, 3, 1), np.float32)).tolist() == [[1, 0, 0]]


def test_plans_in_a_driver_end_at_their_success_where_episodes_do(monkeypatch):
    for stops in (True, False):
        with opened("envs:robolearn/Push-v0", stop_on_success=stops) as (_, simulator, draw):
            plans, step = draw(3, 6), simulator.copies.step_chunk

            def succeeding(actions, active, step=step):
                chunk = step(actions, active)
                chunk.rewards[:], chunk.info["success"][1, 2:] = 1, True
                return chunk

            monkeypatch.setattr(simulator.copies, "step_chunk", succeeding)
            assert simulator.rewards(plans).sum(1).tolist() == [6, 3 if stops else 6, 6]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("Point", r"its state cannot be set, .* plan with `model` ensemble, or give it get_state\(\)"),
        ("Forgetful", "a copy that is set to its state goes on otherwise"),
        ("Halves", r"its copy failed \(TypeError: .*set_state\(\) missing 1 required .* 'qvel'"),
        ("Closed", r"its state cannot be taken \(RuntimeError: ask otherwise\); plan with `model` ensemble"),
        ("Shown", "without its wrappers, as plans are carried out in it, it shows something else .*place"),
    ],
)
def test_an_environment_that_cannot_be_its_own_model_is_one_line(tmp_path, env, message):
    cfg = PlanConfig(EnvConfig(f"tests.planning.point_envs:test/{env}-v0"), tmp_path / "run", model="simulator")
    with pytest.raises(UserError, match=message) as error:
        plan(cfg)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_planning_in_the_simulator_goes_straight_to_the_goal(tmp_path):
    """It sees the place alone, and plans as if it saw the speed."""
    env = EnvConfig("tests.planning.point_envs:test/Settable-v0")
    search = ICEMConfig(population=30, elites=5)
    run = plan(PlanConfig(env, tmp_path / "run", search, trials=1, model="simulator", horizon=6))
    random, planned = run.results()
    assert random.total < -20
    assert planned.total > -3
    assert planned.model_error is planned.reward_error is None
    assert run.fitted() == 0


@pytest.mark.parametrize("length", [1, 3])
def test_a_time_limit_is_no_difference_between_an_environment_and_its_copy(tmp_path, length):
    env = EnvConfig("tests.planning.point_envs:test/Settable-v0", max_episode_steps=length)
    search = ICEMConfig(population=6, elites=2, iterations=1)
    run = plan(PlanConfig(env, tmp_path / "run", search, trials=1, model="simulator", horizon=4))
    assert [result.steps for result in run.results()] == [length, length]
