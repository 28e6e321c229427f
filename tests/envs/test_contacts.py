"""Contacts of whole control steps, beside the distances at all of their moments."""

import numpy as np
import pytest

from envs import fields
from envs.avoid import OBSTACLES, clearance
from envs.avoid_pixels import AvoidPixels
from envs.contacts import touches


def of_rows(obstacles):
    return lambda xy, shift: clearance(xy, obstacles, shift)


def shifts(rng, n):
    return rng.uniform(-0.07, 0.07, (n, 3))


def random_fields(rng, n):
    return np.stack([fields.sample_field(rng, fields.KINDS["dense"]) for _ in range(n)])


SCENES = {
    "rows": (of_rows(OBSTACLES), lambda rng, n: np.zeros((n, 3))),
    "rows with bars": (of_rows(AvoidPixels.obstacles), shifts),
    "fields": (fields.clearance, random_fields),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("reach", [0.0, 0.005, 0.1])
def test_a_step_touches_where_one_of_its_moments_does(scene, reach):
    """Whether a step is short or long, and wherever in it the contact is."""
    distance, scenes = SCENES[scene]
    rng = np.random.default_rng(0)
    xy = rng.uniform([-0.3, -0.28], [0.3, 0.35], (400, 1, 2)) + reach * rng.uniform(-1.0, 1.0, (400, 10, 2))
    drawn = scenes(rng, 400)
    expected = (distance(xy, drawn[:, None]) <= 0.0).any(axis=1)
    assert 20 < expected.sum() < 380
    np.testing.assert_array_equal(touches(distance, xy, drawn), expected)
    moved_in_between = expected & (distance(xy[:, -1], drawn) > 0.0)
    assert moved_in_between.any() == (reach > 0.0)


def test_a_contact_at_exactly_0_counts():
    """On the way past a cylinder of whose distance the points tell exactly."""
    xy = np.array([[[0.5, 0.0], [0.25, 0.0], [0.5, 0.25]]])
    exact = lambda xy, scene: xy[..., 0] - 0.25 + scene[..., 0]  # noqa: E731
    np.testing.assert_array_equal(touches(exact, xy, np.zeros((1, 1))), [True])
    np.testing.assert_array_equal(touches(exact, xy, np.full((1, 1), 1e-12)), [False])


def test_a_diverged_step_touches_nothing():
    assert not touches(of_rows(OBSTACLES), np.full((2, 10, 2), np.nan), np.zeros((2, 3))).any()
