"""In which order demonstrations are tried."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.contract import Scene
from robolearn.generation.order import in_turn, nearest_first

SCENE = Scene(hand=lambda obs: obs["hand"], objects=lambda obs: {"cube": obs["cube"], "wall": obs["wall"]})


def seen(x, y=0.0, angle=0.0, wall=0.0):
    return {"hand": np.zeros(2), "cube": np.array([x, y, angle]), "wall": np.array([wall, wall])}


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True), st.integers(-60, 60))
def test_the_nearest_comes_first_and_all_come(places, here):
    order = nearest_first(SCENE, [seen(0.1 * x) for x in places])(0, seen(0.1 * here))
    apart = [abs(places[number] - here) for number in order]
    assert apart == sorted(apart)
    assert sorted(order) == list(range(len(places)))


def test_an_angle_is_a_place_on_a_circle():
    order = nearest_first(SCENE, [seen(0, angle=3.0), seen(0, angle=-3.1), seen(0, angle=0.0)])
    assert order(0, seen(0, angle=3.1)).tolist() == [1, 0, 2]


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_places_and_angles_count_by_how_much_they_vary(unit):
    """The first is nearer by place, by half a spread, and the second by angle, by more than one."""
    order = nearest_first(SCENE, [seen(unit), seen(0.0, angle=0.5), seen(-unit), seen(0.0, angle=-0.5)])
    assert order(0, seen(0.6 * unit, angle=0.5)).tolist()[:2] == [1, 0]


@pytest.mark.parametrize("wall", [5.0, 0.1])  # the mean of equal numbers is another number for 0.1
def test_what_never_varied_does_not_count(wall):
    order = nearest_first(SCENE, [seen(1.0, wall=wall), seen(2.0, wall=wall), seen(3.0, wall=wall)])
    assert order(0, seen(2.9, wall=9.0)).tolist() == [2, 1, 0]


def test_what_varied_by_rounding_does_not_count():
    """A simulator lets what stands still move by a hair, which says nothing of what is near."""
    order = nearest_first(SCENE, [seen(x, wall=1.0 + 1e-8 * x) for x in (1.0, 2.0, 3.0)])
    assert order(0, seen(2.9, wall=1.0 + 1e-8)).tolist() == [2, 1, 0]


def test_where_nothing_varied_all_come_in_their_order():
    assert nearest_first(SCENE, [seen(1.0), seen(1.0), seen(1.0)])(0, seen(4.0)).tolist() == [0, 1, 2]


def test_in_turn_all_come_first_equally_often():
    order = in_turn(7, 4)
    first = np.array([order(start, {})[0] for start in range(4_000)])
    assert np.bincount(first) == pytest.approx(1_000, abs=110)  # 4 standard deviations
    np.testing.assert_array_equal(order(3, {}), order(3, {}))
