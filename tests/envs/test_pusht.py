"""Push-T: coverage, keypoints, starts, and dynamics against the pusher's law and the human demonstrations."""

import os
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
import shapely
from gymnasium.utils.env_checker import check_env

from envs.drivers import TaskEnv, TaskVectorEnv
from envs.pusht import BOXES, GOAL_ANGLE, GOAL_XY, KEYPOINTS, OUTLINE, PushT, coverage, transform
from envs.task import ASSETS
from robolearn.data.store import DemoStore

GOAL = np.array([*GOAL_XY, GOAL_ANGLE])
SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data/pusht/pusht_cchi_v7_replay.zarr"


@pytest.fixture(scope="module")
def task():
    return PushT()


@pytest.fixture(scope="module")
def demos():
    if not DATA.exists():
        pytest.skip(f"human Push-T demonstrations not found at {DATA}; set ROBOLEARN_SHARED")
    return DemoStore.open(DATA)


def tee(block):
    """The T as shapely's union of its two boxes."""
    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for (x0, y0), (x1, y1) in BOXES]
    return shapely.union_all([shapely.Polygon(transform(block, np.array(c, float))) for c in corners])


def moved_goal(x=0.0, angle=0.0):
    return np.array([GOAL_XY[0] + x, GOAL_XY[1], GOAL_ANGLE + angle])


# Coverage


def test_coverage_at_the_goal_and_far_away():
    assert coverage(GOAL) == pytest.approx(1.0, abs=1e-12)
    assert coverage(moved_goal(angle=2 * np.pi)) == pytest.approx(1.0, abs=1e-12)
    assert coverage(np.array([450.0, 60.0, 0.0])) == pytest.approx(0.0, abs=1e-12)
    assert coverage(moved_goal(angle=np.pi)) < 0.6  # a T is not its own half turn


def test_coverage_is_the_area_of_the_intersection():
    rng = np.random.default_rng(0)
    near = GOAL + rng.normal(size=(300, 3)) * [40, 40, 1.5]
    # Edges parallel to the goal's, and poses that touch in an edge or a corner alone.
    aligned = GOAL + np.array([[dx, dy, k * np.pi / 2] for dx in (-30, 0, 15) for dy in (0, 30, 120) for k in range(4)])
    poses = np.concatenate([near, aligned])
    goal = tee(GOAL)
    expected = [tee(pose).intersection(goal).area / goal.area for pose in poses]
    np.testing.assert_allclose(coverage(poses), expected, atol=1e-9)


def test_coverage_is_symmetric_in_block_and_goal():
    rng = np.random.default_rng(1)
    local, angle = rng.normal(size=(100, 2)) * 40, rng.normal(size=100)
    cos, sin = np.cos(angle), np.sin(angle)
    # The block at (local, angle) in the goal's frame means the goal at (inverse, -angle) in the block's.
    inverse = np.stack([-cos * local[:, 0] - sin * local[:, 1], sin * local[:, 0] - cos * local[:, 1]], axis=-1)

    def pose(xy, angle):
        return np.concatenate([transform(GOAL, xy), (GOAL_ANGLE + angle)[:, None]], axis=1)

    np.testing.assert_allclose(coverage(pose(local, angle)), coverage(pose(inverse, -angle)), atol=1e-12)


def test_the_simulated_block_is_the_judged_one(task):
    physics, _ = task.initial_state(np.array([[10.0, 10.0, 200.0, 220.0, 0.7]]))
    data = mujoco.MjData(task.model)
    mujoco.mj_setState(task.model, data, physics[0], mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
    mujoco.mj_kinematics(task.model, data)
    for name, (low, high) in zip(("bar", "stem"), BOXES, strict=True):
        geom = data.geom(name)
        size = task.model.geom(name).size[:2]
        corner = geom.xpos[:2] + geom.xmat.reshape(3, 3)[:2, :2] @ size
        np.testing.assert_allclose(2e3 * size, high - low)
        np.testing.assert_allclose(1e3 * corner, transform(np.array([200, 220, 0.7]), high[None])[0])
    assert shapely.Polygon(OUTLINE).area == tee(np.zeros(3)).area == 6300


# Starts, observations, contract


def test_start_round_trip(task):
    start = np.array([12.5, 480.25, 130.0, 340.5, 4.0])
    env = TaskEnv(task)
    obs, _ = env.reset(seed=0, options={"start": start})
    np.testing.assert_allclose(obs["state"], start, atol=1e-4)
    obs, _ = env.reset(seed=0, options={"start": start - [0, 0, 0, 0, 2 * np.pi]})
    np.testing.assert_allclose(obs["state"], start, atol=1e-4)
    assert obs["state"].dtype == np.float32
    np.testing.assert_allclose(obs["keypoint"], transform(start[2:], KEYPOINTS), atol=1e-4)


def test_starts_are_drawn_like_in_gym_pusht(task):
    starts = np.stack([task.sample_start(np.random.default_rng(s)) for s in range(2000)])
    assert (starts >= task.start_space.low).all()
    assert (starts <= task.start_space.high).all()
    pusher, angle = starts[:, :2], starts[:, 4]
    center = starts[:, 2:4] + 45 * np.stack([-np.sin(angle), np.cos(angle)], -1) - [0, 45]
    for xy, low, high in ((pusher, 50, 450), (center, 100, 400)):
        assert (xy.min(), xy.max()) == pytest.approx((low, high - 1), abs=3)
    assert (angle.min(), angle.max()) == pytest.approx((-np.pi, np.pi), abs=0.02)


def test_keypoints_are_those_of_the_data(demos):
    state, keypoint = demos.read("state").astype(float), demos.read("keypoint")
    error = np.abs(transform(state[:, 2:], KEYPOINTS) - keypoint)
    assert np.percentile(error, 99) < 0.05  # px; a few recorded frames are up to 2 px off their own state
    assert error.max() < 3


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
def test_gymnasium_accepts_it():
    check_env(gymnasium.make("envs:robolearn/PushT-v0").unwrapped, skip_render_check=True)


def test_no_expert(task):
    env = TaskEnv(task)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="PushT has no scripted expert"):
        env.expert_action()


def test_vector_equals_single_bit_for_bit(task):
    rng = np.random.default_rng(2)
    actions = rng.uniform(100, 400, (5, 24, 2))
    many = TaskVectorEnv(5, task, num_threads=2)
    many.reset(seed=[3, 4, 5, 6, 7])
    results = [many.step_chunk(actions[:, i : i + 8]) for i in (0, 8, 16)]
    one = TaskEnv(task)
    for i in range(5):
        one.reset(seed=3 + i)
        for t in range(24):
            obs, reward, *_ = one.step(actions[i, t])
            chunk = results[t // 8]
            np.testing.assert_array_equal(obs["state"], chunk.obs["state"][i, t % 8])
            np.testing.assert_array_equal(obs["keypoint"], chunk.obs["keypoint"][i, t % 8])
            assert reward == chunk.rewards[i, t % 8]
    many.close()


def test_success_ends_the_episode(task):
    env = TaskEnv(task)
    away = np.array([50.0, 50.0])
    env.reset(seed=0, options={"start": [*away, *moved_goal(x=1.0)]})
    _, reward, terminated, _, info = env.step(away)
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    env.reset(seed=0, options={"start": [*away, *moved_goal(x=12.0)]})
    _, reward, terminated, _, info = env.step(away)
    assert not terminated
    assert not info["success"]
    assert reward == pytest.approx(coverage(moved_goal(x=12.0)) / 0.95)


# Dynamics


def test_the_free_pusher_follows_the_pd_law(task):
    rng = np.random.default_rng(3)
    targets = rng.uniform([0, 0], [512, 200], (40, 2))  # beyond the walls too, which do not stop the pusher
    start = np.array([500.0, 10.0, 100.0, 340.0, 0.0])  # the block lies out of the way
    env = TaskEnv(task)
    env.reset(seed=0, options={"start": start})
    position, velocity = start[:2].copy(), np.zeros(2)
    for target in targets:
        obs, *_ = env.step(target)
        for _ in range(10):
            velocity += 0.01 * (100 * (target - position) - 20 * velocity)
            position += 0.01 * velocity
        np.testing.assert_allclose(obs["state"][:2], position, atol=1e-3)
    np.testing.assert_allclose(obs["state"][2:], start[2:], atol=1e-4)


def test_the_block_stops_with_the_pusher_and_at_the_wall(task):
    env = TaskEnv(task)
    env.reset(seed=0, options={"start": [200.0, 300.0, 250.0, 300.0, -np.pi / 2]})  # faces the upper edge's middle

    def drive_to(x, steps=40):
        for _ in range(steps):
            obs, *_ = env.step(np.array([x, 300.0]))
        return obs["state"].astype(float)

    pushed = drive_to(330.0)
    np.testing.assert_allclose(pushed[2:], [345.0, 300.0, 1.5 * np.pi], atol=0.2)
    np.testing.assert_allclose(drive_to(100.0)[2:], pushed[2:], atol=0.2)
    against_wall = drive_to(375.0)
    assert 384 - 0.2 < against_wall[2] < 390  # the foot of the stem at the wall's face, squeezed into it by < 6 px


def replay(task, demos, indices):
    """Replay open loop: the block's largest deviation from the recording [px] and best score, each [e]."""
    episodes = [demos.episode(i) for i in indices]
    longest = max(len(e) for e in episodes) + 8
    actions = np.stack([np.pad(e.actions, ((0, longest - len(e)), (0, 0)), mode="edge") for e in episodes])
    env = TaskVectorEnv(len(episodes), task, num_threads=0)
    env.reset(seed=0, options={"start": np.stack([e.obs["state"][0] for e in episodes])})
    result = env.step_chunk(actions)
    env.close()
    deviation = [
        np.linalg.norm(states[: len(e) - 1, 2:4] - e.obs["state"][1:, 2:4], axis=1).max()
        for states, e in zip(result.obs["state"], episodes, strict=True)
    ]
    return np.array(deviation), result.info["score"].max(axis=1)


HELD_OUT = (1, 3, 5, 7, 9, 11)


def test_human_episodes_replay(task, demos):
    deviation, score = replay(task, demos, HELD_OUT)
    assert np.median(deviation) < 1.5
    assert np.median(score) * 0.95 > 0.88


# The block slides on; turns twice as easily; turns about a uniform T's center of gravity, 4.3 px off.
MUTANTS = {
    "sliding": {'damping="100"': 'damping="10"'},
    "turning": {'damping="0.3"': 'damping="0.15"'},
    "centre": {'pos="0 -0.030 0"': 'pos="0 -0.0257 0"', 'pos="0 0.030 0"': 'pos="0 0.0343 0"'},
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_other_dynamics_do_not_replay(task, demos, monkeypatch, mutant):
    xml = (ASSETS / task.xml).read_text()
    for old, new in MUTANTS[mutant].items():
        assert old in xml
        xml = xml.replace(old, new)
    if mutant == "centre":
        monkeypatch.setattr("envs.pusht.GRAVITY_Y", 45.0 - 4.3)
    other = PushT()
    other.model = mujoco.MjModel.from_xml_string(xml)
    deviation, _ = replay(other, demos, HELD_OUT)
    assert np.median(deviation) > 3
