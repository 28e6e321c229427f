"""Receding horizon: what the policy is shown, and which of its actions are executed."""

import numpy as np
import pytest

from robolearn.policies.flow import FlowConfig
from robolearn.rollout.controller import ROWS, Controller
from robolearn.rollout.execution import Execution
from tests.rollout.stub import HORIZON, Stub, count_on, drive


@pytest.mark.parametrize("exec_horizon", [1, 3, 6])
def test_index_zero_is_executed_now(exec_horizon):
    actions = drive(Controller(Stub(count_on), 1, Execution(exec_horizon), seed=0), 12)
    step = np.arange(12)
    planned_at = step - step % exec_horizon
    np.testing.assert_allclose(actions[:, 0], planned_at + (step - planned_at) / 100, atol=1e-5)


@pytest.mark.parametrize("obs_horizon", [1, 2, 4])
def test_the_policy_sees_the_newest_observations(obs_horizon):
    stub = Stub(count_on, obs_horizon)
    drive(Controller(stub, 1, Execution(3), seed=0), 9)
    for planned_at, shown in zip([0, 3, 6], stub.shown, strict=True):
        expected = np.maximum(np.arange(planned_at - obs_horizon + 1, planned_at + 1), 0)
        np.testing.assert_array_equal(shown[0], expected)


def test_history_starts_as_copies_of_the_first_observation():
    stub = Stub(count_on, obs_horizon=3)
    controller = Controller(stub, 2, Execution(3), seed=0)
    controller.reset([0, 1], [0, 1], {"state": np.array([[5.0], [6.0]])})
    controller.act(np.array([True, True]))
    np.testing.assert_array_equal(stub.shown[0][:2], [[5, 5, 5], [6, 6, 6]])


def test_a_new_episode_forgets_the_old_one():
    controller = Controller(Stub(count_on), 1, Execution(3, ensembling=0.1), seed=0)
    first = drive(controller, 7)
    np.testing.assert_array_equal(drive(controller, 7), first)


def test_inactive_environments_are_left_alone():
    stub = Stub(count_on)
    controller = Controller(stub, 3, Execution(2), seed=0)
    controller.reset([0, 1, 2], [0, 1, 2], {"state": np.array([[1.0], [2.0], [3.0]])})
    actions = controller.act(np.array([True, False, True]))
    np.testing.assert_allclose(actions[:, 0, 0], [1, 0, 3])
    controller.observe({"state": np.full((3, 2, 1), 9.0)}, np.array([2, 0, 1]))
    np.testing.assert_array_equal(controller.history["state"][:, :, 0], [[9, 9], [2, 2], [3, 9]])


def test_noise_belongs_to_the_episode_not_to_the_slot():
    def noises(slots, episodes, active):
        stub = Stub(count_on)
        controller = Controller(stub, 3, Execution(2), seed=7)
        controller.reset(slots, episodes, {"state": np.zeros((3, 1))})
        return [controller.act(active) is not None and stub.noises[-1] for _ in range(2)]

    alone = noises([2], [40], np.array([False, False, True]))
    beside = noises([0, 1, 2], [40, 41, 42], np.ones(3, bool))
    for one, many in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one[0], many[0])
        assert len(np.unique(many[:3])) == 3
    assert alone[0][0] != alone[1][0]


def test_noise_depends_on_the_seed():
    drawn = []
    for seed in (1, 2):
        stub = Stub(count_on)
        controller = Controller(stub, 1, Execution(2), seed=seed)
        controller.reset([0], [40 - seed], {"state": np.zeros((1, 1))})  # the same environment seed
        controller.act(np.array([True]))
        drawn.append(stub.noises[0][0, 0])
    assert drawn[0] != drawn[1]


def test_more_environments_than_rows():
    n = 2 * ROWS + 3
    controller = Controller(Stub(count_on), n, Execution(1), seed=0)
    controller.reset(range(n), range(n), {"state": np.arange(n, dtype=np.float32)[:, None]})
    np.testing.assert_array_equal(controller.act(np.ones(n, bool))[:, 0, 0], np.arange(n))


@pytest.mark.parametrize("decay", [0.0, 0.1, 2.0])
def test_temporal_ensembling_equals_the_naive_one(decay):
    """ACT, algorithm 2: keep every chunk; average all predictions for a step, the oldest with weight 1."""
    actions = drive(Controller(Stub(count_on), 1, Execution(3, ensembling=decay), seed=0), 15)[:, 0]
    for step, action in enumerate(actions):
        predictions = [p + (step - p) / 100 for p in range(max(0, step - HORIZON + 1), step + 1)]
        weights = np.exp(-decay * np.arange(len(predictions)))
        assert action == pytest.approx(np.average(predictions, weights=weights), abs=1e-5)


def test_ensembling_with_environments_that_start_later():
    controller = Controller(Stub(count_on), 2, Execution(3, ensembling=0.3), seed=0)
    alone = drive(Controller(Stub(count_on), 1, Execution(3, ensembling=0.3), seed=0), 8)[:, 0]
    actions = {0: [], 1: []}
    started = [0, 3]
    for step in range(8):
        for slot in (0, 1):
            if step == started[slot]:
                controller.reset([slot], [slot], {"state": np.zeros((2, 1))})
        active = np.array([True, step >= 3])
        planned = controller.act(active)
        seen = np.array([step + 1, step - 2], np.float32)[:, None, None]
        controller.observe({"state": seen}, active.astype(int))
        for slot in np.flatnonzero(active):
            actions[int(slot)].append(planned[slot, 0, 0])
    np.testing.assert_allclose(actions[0], alone)
    np.testing.assert_allclose(actions[1], alone[:5])


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
def test_the_place_among_the_rows_does_not_change_a_bit(make_policy, backbone):
    policy = make_policy(FlowConfig(), backbone)
    n, num_active = 40, (1, 5, 40)
    obs = {"state": np.random.default_rng(0).standard_normal((n, 4)).astype(np.float32)}
    plans = []
    for count in num_active:
        controller = Controller(policy, n, Execution(2), seed=0)
        slots = np.arange(n)[::-1][:count]  # the last slot comes last, first or alone
        controller.reset(slots.tolist(), slots.tolist(), obs)
        plans.append(controller.act(np.isin(np.arange(n), slots)))
    for plan, count in zip(plans[:-1], num_active[:-1], strict=True):
        np.testing.assert_array_equal(plan[-count:], plans[-1][-count:])
