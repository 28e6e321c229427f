"""Fields can be crossed, whatever was drawn, and the ways that are planned through them touch nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.avoid import FINISH_Y, ROD_RADIUS, START_Y, WALLS
from envs.detours import detour
from envs.fields import BOTTOM, KINDS, MARGIN, MAX_CYLINDERS, PASSAGE, clearance, sample_field

KIND = st.sampled_from(sorted(KINDS))
SEED = st.integers(0, 2**32)
GRID = 0.005  # [m]


def drawn(seed, kind):
    return sample_field(np.random.default_rng(seed), KINDS[kind])


def discs_of(field):
    """Where the rod's axis would come nearer to a cylinder than the margin."""
    return field[field[:, 2] > 0] + [0.0, 0.0, ROD_RADIUS + MARGIN]


def reached(field, margin):
    """Whether a flood over a grid, from the start through places of so much clearance, comes to the finish line."""
    x, y = np.arange(WALLS[0, 0], WALLS[1, 0] + GRID / 2, GRID), np.arange(START_Y, FINISH_Y + GRID, GRID)
    free = clearance(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1), field) >= margin
    wet = np.zeros_like(free)
    wet[np.abs(x).argmin(), 0] = True
    while True:
        padded = np.pad(wet, 1)
        flood = wet | padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
        if (flood & free == wet).all():
            return wet[:, -1].any()
        wet = flood & free


# The sampler


@given(seed=SEED, kind=KIND)
@settings(max_examples=60)
def test_a_field_is_what_its_kind_says_and_leaves_passages(seed, kind):
    field = drawn(seed, kind)
    assert field.shape == (MAX_CYLINDERS, 3)
    there = field[field[:, 2] > 0]
    (fewest, most), (thinnest, thickest) = KINDS[kind]
    assert fewest <= len(there) <= most
    assert (field[len(there) :] == 0).all()
    assert ((there[:, 2] >= thinnest) & (there[:, 2] <= thickest)).all()
    distance = np.linalg.norm(there[:, None, :2] - there[:, :2], axis=-1)
    gaps = distance - there[:, None, 2] - there[:, 2] + 9.0 * np.eye(len(there))
    assert gaps.min() >= PASSAGE - 1e-12
    discs = discs_of(field)
    assert (discs[:, 1] - discs[:, 2] >= BOTTOM - 1e-12).all()
    assert (discs[:, 1] + discs[:, 2] <= FINISH_Y + 1e-12).all()


@given(seed=SEED)
@settings(max_examples=40)
def test_no_field_stands_on_a_start(seed):
    """Wherever the rod begins, y at most -0.27 m, it has the margin and more."""
    for kind in KINDS:
        starts = np.stack(np.meshgrid(np.linspace(-0.32, 0.32, 33), [-0.29, -0.27]), axis=-1)
        assert clearance(starts, drawn(seed, kind)).min() >= MARGIN + 0.02 - 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_can_be_crossed_by_a_search_that_knows_nothing_of_the_proof(kind):
    for seed in range(60):
        assert reached(drawn(seed, kind), MARGIN - GRID)


def test_the_search_finds_closed_fields_closed():
    """A wall of cylinders with gaps that are too narrow; one wide gap opens it."""
    closed = np.array([(x, 0.0, 0.03) for x in np.arange(-0.32, 0.33, 0.078)])
    assert not reached(closed, MARGIN - GRID)
    assert reached(np.delete(closed, 4, axis=0), MARGIN - GRID)


def test_the_kinds_differ_as_their_names_say():
    """Cylinders, their radii, and how often the way straight ahead is free."""
    numbers = {}
    for kind in KINDS:
        fields = [drawn(seed, kind) for seed in range(400)]
        ahead = np.stack([np.zeros(127), np.linspace(START_Y, FINISH_Y, 127)], axis=-1)
        count = np.mean([(f[:, 2] > 0).sum() for f in fields])
        radius = np.concatenate([f[f[:, 2] > 0, 2] for f in fields]).mean()
        free = np.mean([clearance(ahead, f).min() > 0 for f in fields])
        numbers[kind] = (count, radius, free)
    assert numbers["usual"][0] == pytest.approx(11, abs=0.3)
    assert numbers["dense"][0] == pytest.approx(18, abs=0.3)
    assert numbers["usual"][1] == pytest.approx(numbers["dense"][1], abs=0.001)
    assert numbers["thick"][1] == pytest.approx(0.0425, abs=0.001)
    assert [free < 0.35 for *_, free in numbers.values()] == [True] * 3
    assert numbers["dense"][2] < numbers["usual"][2]


def test_fields_are_not_drawn_alike():
    fields = {drawn(seed, "usual").tobytes() for seed in range(200)}
    assert len(fields) == 200
    np.testing.assert_array_equal(drawn(7, "dense"), drawn(7, "dense"))


def test_clearance_is_the_signed_distance_to_the_cylinders_that_are_there():
    field = np.array([[0.1, 0.0, 0.03], [-0.1, 0.05, 0.02], [0.0, 0.0, 0.0]])
    xy = np.array([[0.1, 0.0], [0.1, 0.04], [-0.1, 0.0], [0.0, 0.0]])
    expected = [-0.04, 0.0, 0.02, 0.06]
    np.testing.assert_allclose(clearance(xy, field), expected, atol=1e-12)
    assert (clearance(xy, np.zeros((3, 3))) == np.inf).all()
    both = clearance(xy[:2], np.stack([field, field[[1, 2, 0]]]))  # a field for each
    np.testing.assert_allclose(both, clearance(xy[:2], field))


# The planner


@given(seed=SEED, kind=KIND, moved=st.floats(-0.1, 0.1))
@settings(max_examples=60)
def test_a_way_from_anywhere_keeps_the_margin_and_ends_at_its_goal(seed, kind, moved):
    """Also where the whole field is moved, so that some of it stands in the walls."""
    field, rng = drawn(seed, kind), np.random.default_rng(seed)
    field[:, 0] += moved
    places = rng.uniform(WALLS[0], [0.32, 0.30], (200, 2))
    start = places[clearance(places, field) > 0.0][0]
    goal = np.array([rng.uniform(-0.3, 0.3), WALLS[1, 1]])
    way = detour(start, goal, discs_of(field), WALLS, rng.uniform(size=MAX_CYLINDERS), 512)
    assert way.shape == (512, 2)
    np.testing.assert_allclose(way[-1], goal, atol=1e-9)
    inside = np.clip(way, *WALLS)  # where a target leads the rod
    assert clearance(inside, field).min() > min(MARGIN - 0.001, clearance(start, field) - 0.001)
    step = np.linalg.norm(np.diff(way, axis=0), axis=1)
    assert step.max() < 0.005


def test_the_coin_decides_on_which_side_a_cylinder_in_the_middle_is_passed():
    start, goal, disc = np.array([0.0, -0.28]), np.array([0.0, 0.4]), np.array([[0.0, 0.05, 0.05]])
    sides = [detour(start, goal, disc, WALLS, np.array([coin]), 256) for coin in (0.01, 0.49, 0.51, 0.99)]
    assert np.sign([side[np.abs(side[:, 1] - 0.05).argmin(), 0] for side in sides]).tolist() == [-1, -1, 1, 1]


def test_the_longer_way_is_taken_more_seldom_and_a_closed_one_never():
    start, goal = np.array([0.0, -0.28]), np.array([0.0, 0.4])

    def share_right(disc, walls=WALLS):
        ways = [detour(start, goal, disc, walls, np.array([c]), 128) for c in np.linspace(0, 0.999, 200)]
        return np.mean([way[np.abs(way[:, 1] - disc[0, 1]).argmin(), 0] > disc[0, 0] for way in ways])

    assert share_right(np.array([[0.0, 0.05, 0.05]])) == pytest.approx(0.5, abs=0.01)
    assert 0.0 < share_right(np.array([[0.01, 0.05, 0.05]])) < 0.4
    assert share_right(np.array([[0.03, 0.05, 0.05]])) < 0.05
    narrow = WALLS * [[0.1], [1.0]]  # the left wall is 32 mm beside the middle
    assert share_right(np.array([[0.01, 0.05, 0.05]]), narrow) == 1.0


def test_without_a_cylinder_the_way_is_straight():
    way = detour(np.array([0.1, -0.28]), np.array([0.0, 0.4]), np.empty((0, 3)), WALLS, np.empty(0), 64)
    np.testing.assert_allclose(way, np.linspace([0.1, -0.28], [0.0, 0.4], 64), atol=1e-12)
