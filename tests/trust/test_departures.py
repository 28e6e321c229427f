"""Episodes on a plane, between demonstrations that run from left to right."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.report.departures import drawings, failures, sentence
from robolearn.stats.proportions import wilson
from robolearn.trust.departures import MAX_STEPS, departure, find_departures
from robolearn.types import Trajectory

STEPS, LANES = 30, 21
X = np.linspace(-1, 1, STEPS)


def lane(y):
    return np.stack([X, np.full(STEPS, y)], 1).astype(np.float32)


def demonstrations(lanes=LANES):
    """Ways from left to right at heights -1 ... 1, with numbers from 100 on."""
    rows = np.concatenate([lane(y) for y in np.linspace(-1, 1, lanes)])
    ends = np.arange(1, lanes + 1) * STEPS
    state = torch.from_numpy(rows)
    return Windows({"state": state}, state, ends, 2, 4, numbers=np.arange(100, 100 + lanes))


@pytest.fixture
def ensemble(make_policy):
    policy = make_policy(RegressionConfig(), obs_shapes={"state": (2,)})
    same = {"state": torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), "action": torch.tensor([[-1.0, -1.0], [1.0, 1.0]])}
    return Ensemble([Policy(policy.cfg, Normalizer.fit(same))])


def trajectory(states, success, episode=7, **others):
    n = len(states) - 1
    zeros = np.zeros(n, np.float32)
    states = np.asarray(states, np.float32)
    return Trajectory(episode, 1, {"state": states}, states[1:], zeros, zeros, success, -1, "time", **others)


def strays(at):
    """A way at height 0.1 that climbs steeply from step `at` on."""
    states = lane(0.1)
    states[at:, 1] += 0.3 * np.arange(1, STEPS - at + 1)
    return states


@given(st.lists(st.floats(0, 2), min_size=1, max_size=12), st.floats(0, 2))
def test_a_departure_is_the_beginning_of_the_last_stretch(distances, limit):
    x = np.array(distances)
    index = departure(x, limit)
    if index is None:
        assert x[-1] <= limit
    else:
        assert (x[index:] > limit).all()
        assert index == 0 or x[index - 1] <= limit


def test_an_episode_among_demonstrations_never_leaves_and_one_that_strays_leaves_where_it_does(ensemble):
    stayed, left = trajectory(lane(0.1), True), trajectory(strays(20), False)
    departures = find_departures(demonstrations(), ensemble, [stayed, left])
    inside, outside = departures.courses
    assert inside.departure is None
    assert outside.departure is not None
    assert 20 <= outside.steps[outside.departure] <= 22
    assert departures.left(True) == wilson(0, 1)
    assert departures.left(False) == wilson(1, 1)
    assert departures.left(None) is None


def test_distances_and_neighbors_are_those_of_a_search_by_hand(ensemble):
    """Height 0.13 lies between the lanes of numbers 111 at 0.1 and 112 at 0.2; two observations are looked at."""
    departures = find_departures(demonstrations(), ensemble, [trajectory(lane(0.13), True)])
    (course,) = departures.courses
    assert course.distance == pytest.approx(np.full(STEPS, 0.03 * np.sqrt(2)), abs=1e-5)
    assert course.neighbors == (111, 112, 110)


def test_the_limit_is_between_demonstrations_and_not_within_one(ensemble):
    """Each observation is 0.1 away from the next lane in both of its steps, and 0 from its own."""
    departures = find_departures(demonstrations(), ensemble, [])
    assert departures.limit == pytest.approx(0.1 * np.sqrt(2), abs=1e-5)
    assert departures.demonstrators.n == LANES
    assert departures.demonstrators.value == 0.0


def test_an_episode_that_comes_back_has_not_left(ensemble):
    states = strays(10)
    states[20:] = lane(0.1)[20:]
    departures = find_departures(demonstrations(), ensemble, [trajectory(states, False)])
    assert departures.courses[0].distance.max() > departures.limit
    assert departures.courses[0].departure is None


def test_long_episodes_are_looked_at_evenly_and_to_their_end(ensemble):
    states = np.concatenate([np.repeat(lane(0.1), 20, axis=0), [[0.0, 9.0]]])
    (course,) = find_departures(demonstrations(), ensemble, [trajectory(states, False)]).courses
    assert len(course.steps) == MAX_STEPS
    assert course.steps[[0, -1]].tolist() == [0, len(states) - 1]
    assert course.departure == MAX_STEPS - 1


def test_the_plane_is_that_of_the_principal_components(ensemble):
    departures = find_departures(demonstrations(), ensemble, [])
    centered = departures.plane - departures.plane.mean(0)
    assert abs(centered[:, 0] @ centered[:, 1]) < 1e-2 * len(centered)
    assert departures.explained.sum() == pytest.approx(1.0, abs=1e-2)
    assert departures.explained[0] >= departures.explained[1]


def test_one_demonstration_is_no_measure(ensemble):
    with pytest.raises(UserError, match="one demonstration"):
        find_departures(demonstrations(1), ensemble, [])


def test_the_page_lists_failures_that_left_first(ensemble):
    runs = [
        trajectory(lane(0.1), True, 0),
        trajectory(lane(0.1), False, 1),
        trajectory(strays(20), False, 2),
        trajectory(strays(5), False, 3),
    ]
    departures = find_departures(demonstrations(), ensemble, runs)
    listed = failures(departures, 0.1)
    assert [one.episode for one in listed] == [3, 2, 1]
    assert listed[0].left == pytest.approx(0.5, abs=0.2)
    assert listed[-1].left is None
    assert sentence(departures).startswith("2 of 3 failures and 0 of 1 successes left what was demonstrated")
    assert f"0 of {LANES} demonstrations" in sentence(departures)
    assert [title for title, _, _ in drawings(departures, 0.1)] == [
        "Distance to the demonstrations",
        "Where failures left",
    ]


def test_where_nobody_tells_of_success_there_are_episodes(ensemble):
    runs = [dataclasses.replace(trajectory(strays(20), False), tells_success=False)]
    departures = find_departures(demonstrations(), ensemble, runs)
    assert sentence(departures).startswith("1 of 1 episodes left")
    assert len(failures(departures, 0.1)) == 1
