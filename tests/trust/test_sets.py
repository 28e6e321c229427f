"""A model of the dynamics, tubes around what it predicts, and the chunks that keep clear with their tube."""

import numpy as np
import pytest

from robolearn.trust.motion import LinearDynamics
from robolearn.trust.sets import Motion, SafetySet, error_scale, position_errors, worst_error
from robolearn.types import Trajectory

PUSHED = np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])  # the action is added to the position
MODEL = LinearDynamics(PUSHED)


def test_a_linear_system_is_found_again():
    rng = np.random.default_rng(0)
    states, actions = rng.standard_normal((200, 2)), rng.standard_normal((200, 2))
    weights = rng.standard_normal((2, 5))
    following = states + np.concatenate([states, actions, np.ones((200, 1))], 1) @ weights.T
    np.testing.assert_allclose(LinearDynamics.fit(states, actions, following, 1e-12).weights, weights, atol=1e-8)


def test_predictions_are_steps_in_a_row():
    path = MODEL.predict(np.array([[1.0, 2.0]]), np.array([[[0.5, 0.0], [0.5, 1.0]]]))
    np.testing.assert_allclose(path, [[[1.5, 2.0], [2.0, 3.0]]])


def test_a_model_needs_examples():
    with pytest.raises(ValueError, match="as many examples, got 4"):
        LinearDynamics.fit(np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((4, 2)))


def wall(positions):
    """Distance to x >= 1."""
    return 1.0 - positions[..., 0]


@pytest.mark.parametrize(
    ("steps", "admissible"),
    [
        ([0.2, 0.2, 0.2], True),
        ([0.7, 0.0, 0.0], True),
        ([0.8, 0.05, 0.0], False),  # within the second step's radius of 0.2
        ([0.3, 0.3, 0.3], False),  # what is not executed counts with the last radius
        ([1.5, -1.0, 0.0], False),  # in between
    ],
)
def test_a_chunk_is_admissible_if_its_tube_keeps_clear(steps, admissible):
    safety_set = SafetySet(MODEL, "state", (0, 1), scale=np.array([0.05, 0.1]), height=2.0)
    chunk = np.zeros((1, 1, 3, 2), np.float32)
    chunk[..., 0] = steps
    assert safety_set.admissible(np.zeros((1, 2)), chunk, wall).tolist() == [[admissible]]


def test_candidates_are_judged_from_the_state_of_their_own_environment():
    safety_set = SafetySet(MODEL, "state", (0, 1), scale=np.array([0.05, 0.1]), height=1.0)
    chunks = np.zeros((2, 3, 2, 2), np.float32)
    chunks[:, 1, :, 0] = 0.3
    states = np.array([[0.0, 0.0], [0.5, 0.0]])
    assert safety_set.admissible(states, chunks, wall).tolist() == [[True, True, True], [True, False, True]]


def trajectory(noise, length, seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.standard_normal((length, 2)).astype(np.float32)
    moved = np.cumsum(actions + noise * rng.standard_normal((length, 2)), 0)
    obs = {"state": np.concatenate([np.zeros((1, 2)), moved])}
    zeros = np.zeros(length)
    return Trajectory(0, seed, obs, actions, zeros, zeros, True, -1, "success")


def errors(episode, position=(0, 1), period=4):
    return position_errors(Motion.from_trajectory(episode, "state"), MODEL, position, period)


def test_errors_are_those_of_chunks_from_the_observed_state():
    np.testing.assert_allclose(errors(trajectory(0.0, 11)), np.zeros(11), atol=1e-5)
    pushed = trajectory(0.0, 8)
    pushed.obs["state"][4:] += [3.0, 4.0]  # at the end of the first chunk, from where the second starts
    np.testing.assert_allclose(errors(pushed), [0, 0, 0, 5, 0, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(errors(pushed, (1,))[3], 4, atol=1e-5)


def test_an_episode_that_did_not_begin_has_no_errors():
    assert errors(trajectory(0.0, 0)).shape == (0,)


@pytest.mark.parametrize("length", [1, 3, 5, 6, 7])
def test_the_last_chunk_counts_as_far_as_it_was_executed(length):
    """An episode that ends in the middle of a chunk, pushed off its way at the last step."""
    whole = trajectory(0.0, length)
    safety_set = SafetySet(MODEL, "state", (0, 1), np.full(4, 0.5), height=2.0)
    assert not safety_set.left([Motion.from_trajectory(whole, "state")]).any()
    whole.obs["state"][-1] += [3.0, 4.0]
    np.testing.assert_allclose(errors(whole), [*[0] * (length - 1), 5], atol=1e-5)
    assert safety_set.left([Motion.from_trajectory(whole, "state")]).tolist() == [True]
    assert safety_set.worst_errors([Motion.from_trajectory(whole, "state")]) == pytest.approx([10.0])


def test_an_episode_counts_by_its_worst_error_for_its_step():
    scale = np.array([1.0, 2.0])
    assert worst_error(np.array([1.0, 1.0, 0.5, 6.0]), scale) == 3.0
    assert worst_error(np.array([1.0, 1.0, 2.5]), scale) == 2.5
    assert worst_error(np.zeros(0), scale) == 0.0


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_outside_every_tube(lost):
    broken = trajectory(0.0, 6)
    broken.obs["state"][-1] = lost
    wide = SafetySet(MODEL, "state", (0, 1), np.ones(4), height=1e9)
    assert wide.left(
        [Motion.from_trajectory(broken, "state"), Motion.from_trajectory(trajectory(0.0, 6), "state")]
    ).tolist() == [True, False]


def test_an_episode_on_the_edge_of_its_tube_has_not_left_it():
    step = Motion(np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros((1, 2)))
    assert not SafetySet(MODEL, "state", (0, 1), np.ones(1), 1.0).left([step])
    assert SafetySet(MODEL, "state", (0, 1), np.ones(1), 0.999).left([step])
    assert SafetySet(MODEL, "state", (0, 1), np.ones(1), np.nan).left([step])


def test_a_tube_grows_with_the_errors():
    scale = error_scale([errors(trajectory(0.1, 42, seed)) for seed in range(50)], 4)
    np.testing.assert_allclose(scale, 0.1 * np.sqrt(2 * np.arange(1, 5)), rtol=0.1)


def test_without_a_whole_chunk_there_is_no_tube():
    with pytest.raises(ValueError, match="long enough"):
        error_scale([np.zeros(3), np.zeros(0)], 4)
