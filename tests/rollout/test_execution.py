"""Delay, candidates, kept noise and prefixes: which planned action is executed at each step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.policies.flow import FlowConfig
from robolearn.rollout import controller as controller_module
from robolearn.rollout.controller import Controller
from robolearn.rollout.execution import Execution, most_coherent
from tests.rollout.stub import HORIZON, Stub, count_on, drive


def planned_at(execution, num_steps):
    """Step at which the action of each step was planned, by the definition."""
    plans = range(0, num_steps, execution.period)
    return [max(p for p in plans if p == 0 or p + execution.delay <= step) for step in range(num_steps)]


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (0, [0.00, 0.01, 2.00, 2.01, 4.00, 4.01, 6.00, 6.01]),
        (1, [0.00, 0.01, 0.02, 2.01, 2.02, 4.01, 4.02, 6.01]),
        (3, [0.00, 0.01, 0.02, 0.03, 0.04, 2.03, 2.04, 4.03]),
    ],
)
def test_a_chunk_takes_effect_after_the_delay(delay, expected):
    """Units tell the step of the observation, hundredths the index within the chunk."""
    actions = drive(Controller(Stub(count_on), 1, Execution(2, delay=delay), seed=0), 8)
    np.testing.assert_allclose(actions[:, 0], expected, atol=1e-5)


executions = st.integers(1, HORIZON).flatmap(
    lambda h: st.builds(Execution, exec_horizon=st.just(h), delay=st.integers(0, HORIZON - h))
)


@settings(max_examples=40)
@given(execution=executions, num_steps=st.integers(1, 20))
def test_delay_by_its_definition(execution, num_steps):
    actions = drive(Controller(Stub(count_on), 1, execution, seed=0), num_steps)
    plans = np.array(planned_at(execution, num_steps))
    np.testing.assert_allclose(actions[:, 0], plans + (np.arange(num_steps) - plans) / 100, atol=1e-5)


@settings(max_examples=20)
@given(delay=st.integers(0, HORIZON - 1), decay=st.floats(0, 2))
def test_ensembling_averages_the_chunks_that_are_there_in_time(delay, decay):
    execution = Execution(3, ensembling=decay, delay=delay)
    actions = drive(Controller(Stub(count_on), 1, execution, seed=0), 15)
    for step, action in enumerate(actions[:, 0]):
        in_time = [p for p in range(max(0, step - HORIZON + 1), step + 1) if p == 0 or p + delay <= step]
        predictions = [p + (step - p) / 100 for p in in_time]
        weights = np.exp(-decay * np.arange(len(predictions)))
        assert action == pytest.approx(np.average(predictions, weights=weights), abs=1e-5)


@settings(max_examples=30)
@given(execution=executions, ensembling=st.none() | st.floats(0, 1))
def test_the_prefix_is_what_is_executed_meanwhile(execution, ensembling):
    """Known exactly: the actions from the observation until the chunk planned from it takes effect."""
    execution = Execution(execution.exec_horizon, ensembling, delay=execution.delay)
    stub = Stub(count_on, prefix_horizon=HORIZON - 1)
    actions = drive(Controller(stub, 1, execution, seed=0), 20)
    for number, prefix in enumerate(stub.prefixes):
        step = number * execution.period
        length = int(prefix.length[0])
        assert length == (execution.delay if step else 0)
        assert prefix.actions.shape == (len(prefix.length), HORIZON - 1, 1)
        executed = actions[step : step + length]
        np.testing.assert_allclose(prefix.actions[0, : len(executed)], executed, atol=1e-6)


def test_a_policy_without_a_prefix_gets_none():
    stub = Stub(count_on)
    drive(Controller(stub, 1, Execution(2, delay=3), seed=0), 6)
    assert stub.prefixes == [None] * 3


def test_a_new_episode_does_not_wait_for_a_plan():
    controller = Controller(Stub(count_on, prefix_horizon=3), 1, Execution(2, delay=3), seed=0)
    first = drive(controller, 7)
    np.testing.assert_array_equal(drive(controller, 7), first)


@given(data=st.data(), sizes=st.tuples(*[st.integers(1, 4)] * 5))
def test_nearest_by_its_definition(data, sizes):
    n, k, r, more, a = sizes
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    candidates, rest = rng.standard_normal((n, k, r + more - 1, a)), rng.standard_normal((n, r, a))
    for i, choice in enumerate(most_coherent(candidates, rest)):
        distances = [sum(((chunk[j] - rest[i, j]) ** 2).sum() for j in range(r)) for chunk in candidates[i]]
        assert choice == np.argmin(distances)


def constant(history, noise):
    """The noise itself, at all steps."""
    return noise.expand(HORIZON, -1)


def assert_goes_on_from_the_nearest(scale=(1.0, 1.0)):
    stub = Stub(constant, num_draws=2, action_dim=2)
    stub.normalizer.action_scale.copy_(torch.tensor(scale))
    actions = drive(Controller(stub, 1, Execution(2, candidates=5, delay=1), seed=0), 21)
    drawn = [noise[:5] for noise in stub.noises]
    assert len({noise.tobytes() for noise in drawn}) == len(drawn)
    chosen = [drawn[0][0]]
    for noise in drawn[1:]:
        distance = (((noise - chosen[-1]) / scale) ** 2).sum(1)
        chosen.append(noise[distance.argmin()])
    plans = np.array(planned_at(Execution(2, delay=1), 21)) // 2
    np.testing.assert_allclose(actions, np.array(chosen)[plans], atol=1e-6)


def test_of_the_candidates_the_nearest_is_executed():
    assert_goes_on_from_the_nearest()


def test_every_dimension_of_an_action_counts_alike():
    assert_goes_on_from_the_nearest(scale=(0.01, 10.0))


def test_another_choice_would_be_noticed(monkeypatch):
    def farthest(candidates, rest):
        return np.square(candidates[:, :, : rest.shape[1]] - rest[:, None]).mean((2, 3)).argmax(1)

    monkeypatch.setattr(controller_module, "most_coherent", farthest)
    with pytest.raises(AssertionError):
        assert_goes_on_from_the_nearest()


def test_candidates_fill_as_few_groups_of_rows_as_they_can():
    stub = Stub(constant)
    controller = Controller(stub, 5, Execution(2, candidates=8), seed=0)
    controller.reset(range(5), range(5), {"state": np.zeros((5, 1))})
    controller.act(np.ones(5, bool))
    assert len(stub.noises) == 2  # 40 rows in groups of 32
    assert len(np.unique(np.concatenate(stub.noises)[:40])) == 40


@pytest.mark.parametrize("candidates", [1, 3])
def test_kept_noise_is_that_of_the_first_planning(candidates):
    kept, plain = Stub(constant), Stub(constant)
    controller = Controller(kept, 1, Execution(2, keep_noise=True, candidates=candidates), seed=0)
    for episode in (4, 5):
        drive(controller, 8, episode)
    drive(Controller(plain, 1, Execution(2, candidates=candidates), seed=0), 8, episode=4)
    for noise in kept.noises[:4]:
        np.testing.assert_array_equal(noise, plain.noises[0])
    for noise in kept.noises[4:]:
        np.testing.assert_array_equal(noise, kept.noises[4])
    assert (kept.noises[0] != kept.noises[4]).all()
    assert (plain.noises[0] != plain.noises[1]).all()


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        (Execution(0), r"exec_horizon 0 must be in 1\.\.4"),
        (Execution(5), r"exec_horizon 5 must be in 1\.\.4, the policy's action_horizon"),
        (Execution(1, ensembling=-0.1), "ensembling -0.1 must not be negative"),
        (Execution(1, ensembling=float("nan")), "ensembling nan must be a finite number"),
        (Execution(1, ensembling=float("inf")), "ensembling inf must be a finite number"),
        (Execution(1, candidates=0), "candidates 0 must be at least 1"),
        (Execution(1, delay=-1), r"delay -1 must be in 0\.\.3"),
        (Execution(3, delay=2), r"delay 2 must be in 0\.\.1: a chunk of 4 actions has to last"),
        (Execution(3, ensembling=0.1, delay=4), r"delay 4 must be in 0\.\.3"),
        (Execution(1, ensembling=0.1, candidates=2), "candidates and ensembling exclude each other"),
        (Execution(4, candidates=2), "candidates need exec_horizon below 4"),
        (Execution(1, delay=3), r"delay 3 must be in 0\.\.2, the policy's prefix_horizon"),
    ],
)
def test_impossible_choices(make_policy, execution, message):
    with pytest.raises(ValueError, match=message) as caught:
        Controller(make_policy(FlowConfig(), prefix_horizon=2), 1, execution, seed=0)
    assert "\n" not in str(caught.value)


def test_any_delay_for_a_policy_without_a_prefix(make_policy):
    Controller(make_policy(FlowConfig()), 1, Execution(1, delay=3), seed=0)


def test_the_trained_exec_horizon_is_the_default():
    assert Execution(delay=1).with_defaults(8) == Execution(8, delay=1)
    assert Execution(4).with_defaults(8) == Execution(4)
