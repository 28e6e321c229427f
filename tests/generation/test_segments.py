"""Where a demonstration is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.contract import Scene
from robolearn.errors import UserError
from robolearn.generation.segments import cut
from robolearn.types import Episode

SCENE = Scene(
    hand=lambda obs: obs["state"][..., :2],
    objects=lambda obs: {"a": obs["state"][..., 2:4], "b": obs["state"][..., 4:6]},
)


def episode(moving, length):
    """The hand moves all the time, an object by 0.1 in the steps in which it is named."""
    state = np.zeros((length, 6))
    state[:, 0] = 0.1 * np.arange(length)
    for step, name in moving.items():
        state[step + 1 :, 2 if name == "a" else 4] += 0.1
    return Episode({"state": state}, np.column_stack([state[:, :2], np.arange(length)]))


def spans(segments):
    return [(s.name, len(s), s.contact, s.last) for s in segments]


def test_a_segment_lasts_until_its_object_comes_to_rest():
    demo = episode({3: "a", 4: "a", 6: "a", 9: "b", 10: "b"}, 14)
    assert spans(cut(demo, SCENE)) == [("a", 7, 3, 6), ("b", 7, 2, 3)]


def test_an_object_that_is_dealt_with_twice_has_two_segments():
    demo = episode({2: "b", 4: "a", 6: "b"}, 9)
    assert spans(cut(demo, SCENE)) == [("b", 3, 2, 2), ("a", 2, 1, 1), ("b", 4, 1, 1)]


@given(st.dictionaries(st.integers(0, 18), st.sampled_from("ab"), min_size=1))
def test_segments_are_the_demonstration_one_after_the_other(moving):
    demo = episode(moving, 20)
    segments = cut(demo, SCENE)
    np.testing.assert_array_equal(np.concatenate([s.others for s in segments])[:, 0], np.arange(20))
    np.testing.assert_array_equal(np.concatenate([s.hand for s in segments]), demo.obs["state"][:, :2])
    for one in segments:
        assert one.last is not None
        assert 0 <= one.contact <= one.last < len(one)
    assert all(one.name != other.name for one, other in pairwise(segments))


def test_where_nothing_moves_the_nearest_object_is_dealt_with():
    demo = episode({}, 10)
    demo.obs["state"][:, 2:] = [5, 5, 0.9, 0]
    scene = Scene(SCENE.hand, SCENE.objects, near=0.45)
    assert spans(cut(demo, scene)) == [("b", 10, 5, None)]  # 0.4 away from x = 0.5 on
    assert spans(cut(demo, SCENE)) == [("b", 10, 9, None)]  # where it is nearest


def test_an_object_that_stays_is_the_landmark_of_one_that_moves():
    demo = episode({3: "a"}, 10)
    demo.obs["state"][:, 4:] = [2.0, 1.0]
    (one,) = cut(demo, SCENE)
    assert (one.name, one.landmark, one.landmark_at.tolist()) == ("a", "b", [2.0, 1.0])
    assert cut(episode({3: "a", 5: "b"}, 10), SCENE)[0].landmark is None


def test_the_angle_of_a_path_does_not_jump():
    scene = Scene(SCENE.hand, lambda obs: {"a": obs["state"][..., 2:5]}, turns=True)
    demo = episode({3: "a"}, 6)
    demo.obs["state"][:, 4] = [6.2, 6.2, 6.2, 6.2, 0.1, 0.2]
    (one,) = cut(demo, scene)
    assert np.abs(np.diff(one.path[:, 2])).max() < 0.3


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (Scene(lambda obs: obs["pose"], SCENE.objects), "scene: hand: KeyError"),
        (Scene(lambda obs: obs["state"][..., :1], SCENE.objects), "must have 2 or 3 coordinates"),
        (Scene(SCENE.hand, lambda obs: {}), "tells of no objects"),
        (
            Scene(SCENE.hand, lambda obs: {"a": obs["state"][..., :4]}),
            "a must have 2 coordinates, and an angle at most",
        ),
        (Scene(lambda obs: np.log(obs["state"][..., :2] - 1), SCENE.objects), "hand is, is not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_scene_of_something_else_is_refused(scene, said):
    with pytest.raises(UserError, match=said):
        cut(episode({3: "a"}, 10), scene)


def test_a_hand_needs_as_many_numbers_of_an_action():
    demo = episode({3: "a"}, 10)
    with pytest.raises(UserError, match="2 coordinates, an action only 1 numbers"):
        cut(Episode(demo.obs, demo.actions[:, :1]), SCENE)
