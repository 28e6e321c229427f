"""What a demonstration becomes where things lie otherwise, in a world that does what it is told."""

import numpy as np
import pytest

from robolearn.contract import Scene
from robolearn.generation.follow import Follower
from robolearn.generation.segments import cut
from robolearn.types import Episode

STEP, REACH = 0.05, 0.11


class World:
    """The hand goes where it is sent; it pushes an object ahead of it, or carries one while its grip is closed."""

    def __init__(self, hand, cube, goal, carries):
        self.state, self.carries = np.array([*hand, *cube, *goal], float), carries

    def step(self, action):
        before = self.state[:2].copy()
        self.state[:2] = action[:2]
        offset = self.state[2:4] - self.state[:2]
        if self.carries:
            self.state[2:4] += (self.state[:2] - before) * (action[2] > 0.5)
        elif (distance := np.linalg.norm(offset)) < REACH:
            self.state[2:4] += offset / distance * (REACH - distance)


def scene(carries):
    def objects(obs):
        state = obs["state"]
        return {"cube": state[..., 2:4]} | ({"goal": state[..., 4:6]} if carries else {})

    return Scene(lambda obs: obs["state"][..., :2], objects, carries=carries)


def demonstrate(hand, cube, goal, carries):
    """Walk to the cube, bring it to the goal, step back."""
    world, rows, actions = World(hand, cube, goal, carries), [], []
    ahead = (np.array(goal) - cube) / np.linalg.norm(np.array(goal) - cube)
    places = [
        (cube if carries else cube - (REACH + STEP) * ahead, 0.0),
        (goal if carries else goal - REACH * ahead, 1.0),
    ]
    for waypoint, grip in [*places, (np.array(hand), 0.0)]:
        while np.linalg.norm(way := waypoint - world.state[:2]) > 1e-9:
            rows.append(world.state.copy())
            actions.append([*(world.state[:2] + way * min(1.0, STEP / np.linalg.norm(way))), grip])
            world.step(np.array(actions[-1]))
    return Episode({"state": np.stack(rows)}, np.array(actions, np.float32)), world


def follow(demo, world, steps=200):
    follower, actions = Follower(cut(demo, scene(world.carries)), scene(world.carries)), []
    for _ in range(steps):
        actions.append(follower.act({"state": world.state}))
        world.step(actions[-1])
    return np.array(actions)


HAND, CUBE, GOAL = (0.0, 0.0), (0.5, 0.1), (1.2, 0.3)


@pytest.mark.parametrize("carries", [False, True])
def test_from_the_same_start_it_does_the_same(carries):
    demo, _ = demonstrate(HAND, CUBE, GOAL, carries)
    actions = follow(demo, World(HAND, CUBE, GOAL, carries), len(demo))
    np.testing.assert_allclose(actions, demo.actions, atol=1e-6)


@pytest.mark.parametrize("carries", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_from_another_start_the_object_gets_to_its_goal(carries, seed):
    """The hand begins elsewhere, the object lies elsewhere; a carried one has another goal too."""
    rng = np.random.default_rng(seed)
    hand, cube = HAND + rng.uniform(-0.1, 0.1, 2), CUBE + rng.uniform(-0.1, 0.1, 2)
    goal = GOAL + carries * rng.uniform(-0.2, 0.2, 2)
    demo, _ = demonstrate(HAND, CUBE, GOAL, carries)
    world = World(hand, cube, goal, carries)
    actions = follow(demo, world)
    assert np.linalg.norm(world.state[2:4] - goal) < (1e-6 if carries else 0.03)
    steps = np.linalg.norm(np.diff(actions[:, :2], axis=0, prepend=[hand]), axis=1)
    assert steps[:10].max() < 1.3 * STEP  # on its way it does not hurry


def test_what_slips_is_pushed_back():
    """The object is shoved aside when it is half way; blindly executed it would end beside the goal by as much."""
    demo, _ = demonstrate(HAND, CUBE, GOAL, False)
    world = World(HAND, CUBE, GOAL, False)
    follower = Follower(cut(demo, scene(False)), scene(False))
    for step in range(200):
        if step == 15:
            world.state[2:4] += [-0.02, 0.06]
        world.step(follower.act({"state": world.state}))
    assert np.linalg.norm(world.state[2:4] - GOAL) < 0.03


def test_actions_relative_to_the_hand():
    carrying = scene(True)
    relative = Scene(carrying.hand, carrying.objects, carries=True, gain=0.1)
    demo, _ = demonstrate(HAND, CUBE, GOAL, True)
    moves = (demo.actions[:, :2] - demo.obs["state"][:, :2]) / 0.1
    demo = Episode(demo.obs, np.column_stack([moves, demo.actions[:, 2]]))
    world, follower = World(HAND, CUBE, (1.3, 0.1), True), Follower(cut(demo, relative), relative)
    for _ in range(200):
        action = follower.act({"state": world.state})
        world.step(np.array([*(world.state[:2] + 0.1 * action[:2]), action[2]]))
    np.testing.assert_allclose(world.state[2:4], (1.3, 0.1), atol=1e-6)


def test_an_object_that_turns_is_handled_from_its_own_side():
    """Seen from the object, the hand goes the same way while it comes near."""
    turning = Scene(lambda o: o["state"][..., :2], lambda o: {"t": o["state"][..., 2:5]}, turns=True)
    state = np.zeros((12, 5))
    state[:, 0] = np.linspace(-1, 0, 12)
    state[11:, 2] = 0.1
    demo = Episode({"state": state}, state[:, :2].astype(np.float32))
    follower = Follower(cut(demo, turning), turning)
    pose = np.array([2.0, 1.0, np.pi / 2])
    action = None
    for _ in range(11):
        action = follower.act({"state": np.array([2.0, 0.0, *pose])})
    np.testing.assert_allclose(action, pose[:2] + np.array([0.0, state[10, 0]]), atol=1e-6)
