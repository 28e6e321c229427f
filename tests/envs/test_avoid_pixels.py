"""AvoidPixels: the rows are where the start says, seen by the camera and by nothing else."""

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs import rendering
from envs.avoid import ROD_RADIUS, ROWS, Avoid, clearance
from envs.avoid_pixels import MAX_SHIFT, AvoidPixels
from envs.drivers import TaskEnv, TaskVectorEnv

pytestmark = pytest.mark.usefixtures("gl")

SHIFTS = np.array([[0.0, 0.0, 0.0], [0.06, -0.03, 0.01], [-0.075, 0.075, -0.04]])
STARTS = np.concatenate([np.tile([0.01, -0.28], (3, 1)), SHIFTS], axis=1)


@pytest.fixture(scope="module")
def task():
    return AvoidPixels()


@pytest.fixture
def make(open_envs):
    return lambda num_envs, **kwargs: open_envs(num_envs, AvoidPixels(), **kwargs)


@pytest.fixture
def single():
    env = TaskEnv(AvoidPixels())
    yield env
    env.close()


# Geometry


def simulated_bars(task, shift):
    """Row, left end, right end and radius of each obstacle as MuJoCo places it, world frame."""
    data = mujoco.MjData(task.model)
    data.qpos[:] = [0.0, -0.28, *shift]
    mujoco.mj_kinematics(task.model, data)
    bars = []
    for geom in range(task.model.ngeom):
        body = task.model.body(task.model.geom_bodyid[geom]).name
        if body.startswith("row"):
            x, y = data.geom_xpos[geom, :2]
            is_bar = task.model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
            half = task.model.geom_size[geom, 1] if is_bar else 0.0
            assert y == ROWS[int(body[3]) - 1]
            bars.append((int(body[3]) - 1, x - half, x + half, task.model.geom_size[geom, 0]))
    return np.array(sorted(bars))


@pytest.mark.parametrize("shift", SHIFTS)
def test_drawn_obstacles_are_the_judged_ones(task, shift):
    row, left, right, radius = task.obstacles
    judged = np.array(sorted(zip(row, left + shift[row], right + shift[row], radius, strict=True)))
    np.testing.assert_allclose(simulated_bars(task, shift), judged, atol=1e-12)


def test_clearance_is_the_signed_distance_to_the_bars(task):
    """Against the least distance to many points of each bar's axis."""
    rng = np.random.default_rng(0)
    xy, shift = rng.uniform([-0.32, -0.3], [0.32, 0.4], (300, 2)), rng.uniform(-0.075, 0.075, (300, 3))
    nearest = np.full(300, np.inf)
    for row, left, right, radius in zip(*task.obstacles, strict=True):
        axis = np.linspace(left, right, 20_001) + shift[:, row, None]
        distance = np.hypot(xy[:, :1] - axis, xy[:, 1:] - ROWS[row]).min(axis=1)
        nearest = np.minimum(nearest, distance - radius - ROD_RADIUS)
    np.testing.assert_allclose(clearance(xy, task.obstacles, shift), nearest, atol=1e-7)


def test_a_shifted_row_is_avoid_seen_from_beside_it():
    """With all rows shifted alike, clearance is that of Avoid where no bar is near."""
    xy = np.random.default_rng(0).uniform([-0.1, -0.3], [0.1, 0.4], (200, 2))
    for d in (-0.05, 0.0, 0.07):
        shifted = clearance(xy + np.array([d, 0.0]), shift=np.full(3, d))
        np.testing.assert_allclose(shifted, clearance(xy), atol=1e-15)


def test_a_policy_blind_to_the_image_fails_mostly(task):
    """It has to cross every row at an x that does not depend on the row's place, which is uniform."""
    x = np.linspace(-0.32, 0.32, 641)
    shift = np.linspace(-MAX_SHIFT, MAX_SHIFT, 601)
    best = 1.0
    for row, y in enumerate(ROWS):
        grid = np.stack(np.broadcast_arrays(x[:, None], y, shift), axis=-1)  # [x, shift, (x, y, shift)]
        rows = np.zeros((*grid.shape[:2], 3))
        rows[..., row] = grid[..., 2]
        best *= (clearance(grid[..., :2], task.obstacles, rows) > 0).mean(axis=1).max()
    assert best < 0.16
    assert best > 0.1  # each row alone is passed about every second time


# Starts and observations


def test_the_start_fixes_the_rows_and_nothing_moves_them(make):
    env = make(3)
    obs, _ = env.reset(seed=0, options={"start": STARTS})
    for _ in range(20):
        env.step(env.expert_action()[1])
    np.testing.assert_array_equal(env.get_state().physics[:, 3:6], SHIFTS)
    assert obs["state"].shape == (3, 4)
    np.testing.assert_array_equal(obs["state"], np.float32([[0.01, -0.28, 0.0, 0.0]] * 3))


def test_starts_fill_their_range(task):
    starts = np.stack([task.sample_start(np.random.default_rng(seed)) for seed in range(500)])
    assert (starts >= task.start_space.low).all()
    assert (starts <= task.start_space.high).all()
    np.testing.assert_allclose(starts[:, 2:].min(0), -MAX_SHIFT, atol=0.002)
    np.testing.assert_allclose(starts[:, 2:].max(0), MAX_SHIFT, atol=0.002)
    assert np.abs(np.corrcoef(starts.T) - np.eye(5)).max() < 0.2


def red_columns(image, row):
    """Mean column (0 .. 1) of the red pixels near the middle of the image, at the height of a row."""
    pixel = round((0.5 - (ROWS[row] - 0.04) / 0.779) * 96)
    strip = image[pixel].astype(int)
    return (strip[:, 0] - strip[:, 2] > 60).nonzero()[0]


def test_the_image_shows_where_the_rows_are(make):
    env = make(3)
    obs, _ = env.reset(seed=0, options={"start": STARTS})
    images = obs["image"]
    assert images.shape == (3, 96, 96, 3)
    assert images.dtype == np.uint8
    for i, shift in enumerate(SHIFTS):
        for row in range(3):  # what is red is where clearance says there is an obstacle
            x = ((np.arange(96) + 0.5) / 96 - 0.5) * 0.779
            inside = np.abs(x) < 0.31
            xy = np.stack([x, np.full(96, ROWS[row])], axis=-1)
            solid = clearance(xy, AvoidPixels.obstacles, shift) + ROD_RADIUS < 0
            red = np.isin(np.arange(96), red_columns(images[i], row))
            assert (red == solid)[inside].mean() > 0.9
    again, _ = env.reset(seed=5, options={"start": STARTS})
    np.testing.assert_array_equal(again["image"], images)


def test_the_rod_is_seen_moving(single):
    before = single.reset(seed=0)[0]["image"]
    for _ in range(15):
        obs = single.step(single.expert_action()[1])[0]
    changed = (obs["image"].astype(int) - before).any(axis=-1)
    assert 4 < changed.sum() < 60  # a few pixels where it was and where it is


def test_gymnasium_accepts_it():
    env = gymnasium.make("envs:robolearn/AvoidPixels-v0", render_mode="rgb_array").unwrapped
    check_env(env)
    assert env.facts.num_modes == 24
    env.close()


# Further views


def test_views_are_drawn_only_when_asked_for(make, monkeypatch):
    """The default has its one image, drawn once; a view adds a key and leaves that image as it is."""
    drawn = []
    original = rendering.Renderer.image
    monkeypatch.setattr(rendering.Renderer, "image", lambda self, *state: drawn.append(state) or original(self, *state))
    plain, _ = make(2).reset(seed=0)
    assert set(plain) == {"image", "state"}
    assert len(drawn) == 2
    seen, _ = make(2, views="front,far").reset(seed=0)
    assert set(seen) == {"image", "state", "image_front", "image_far"}
    assert len(drawn) == 2 + 6
    np.testing.assert_array_equal(seen["image"], plain["image"])
    assert set(AvoidPixels.cameras) == {"image"}
    assert set(AvoidPixels.observation_space) == {"image", "state"}


def test_every_view_shows_every_row(make):
    """Moving one row alone changes pixels of each view, also behind the post and the nearer rows."""
    starts = np.array([[0.01, -0.28, *shift] for shift in (np.zeros(3), *0.05 * np.eye(3))])
    obs, _ = make(4, views=",".join(AvoidPixels.views)).reset(seed=0, options={"start": starts})
    for name in AvoidPixels.views:
        images = obs[f"image_{name}"].astype(int)
        assert images.shape == (4, 96, 96, 3)
        changed = np.abs(images[1:] - images[0]).max(-1) > 60
        assert (changed.sum((1, 2)) >= 8).all(), name


def test_both_drivers_take_views_by_id():
    kwargs = {"views": "corner"}
    env = gymnasium.make("envs:robolearn/AvoidPixels-v0", **kwargs).unwrapped
    check_env(env, skip_render_check=True)
    vector = gymnasium.make_vec("envs:robolearn/AvoidPixels-v0", num_envs=1, num_threads=0, **kwargs)
    one, many = env.reset(seed=3)[0], vector.reset(seed=3)[0]
    np.testing.assert_array_equal(one["image_corner"], many["image_corner"][0])
    assert env.observation_space.contains(one)
    env.close()
    vector.close()


def test_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="AvoidPixels has no view 'back'; choose from front, corner, far"):
        TaskEnv(AvoidPixels(), views="front,back")
    with pytest.raises(ValueError, match="Avoid has no view 'front'; choose from none"):
        TaskEnv(Avoid(), views="front")


# The expert


def test_the_expert_succeeds_in_all_ways():
    env = TaskVectorEnv(300, AvoidPixels(), num_threads=0, num_frames=0)
    assert set(env.single_observation_space.spaces) == {"state"}
    env.reset(seed=0)
    ended = np.zeros(300, bool)
    while not ended.all():
        obs, _, terminated, truncated, info = env.step(env.expert_action()[1])
        ended = terminated | truncated
    assert set(obs) == {"state"}
    assert info["success"].mean() >= 0.97
    assert set(info["mode"][info["success"]]) == set(range(24))
    assert env.get_state().num_steps.max() < AvoidPixels.max_steps - 20
    env.close()


# Drivers


@pytest.fixture(scope="module")
def reference():
    """Four episodes, each alone, step by step: (obs, reward, ended) of every step."""
    env = TaskEnv(AvoidPixels())
    actions, episodes = [], []
    for seed in range(4):
        obs, _ = env.reset(seed=40 + seed)
        steps = [(obs, 0.0)]
        actions.append([])
        for k in range(24):
            ahead = np.array([0.05 * seed * k / 24, -0.28 + 0.01 * k])  # some hit the first row
            obs, reward, *_ = env.step(ahead)
            actions[-1].append(ahead)
            steps.append((obs, reward))
        episodes.append(steps)
    env.close()
    return np.array(actions), episodes


@pytest.mark.parametrize("num_frames", [None, 1, 2, 5, 9])
@pytest.mark.parametrize(("num_envs", "threads", "chunk"), [(4, 2, 6), (1, 0, 8), (3, 0, 1)])
def test_images_of_a_chunk_are_those_of_single_steps(make, reference, num_envs, threads, chunk, num_frames):
    """Whatever the number of environments and threads and the grouping; the last `num_frames` real steps of each."""
    actions, episodes = reference
    env = make(num_envs, num_threads=threads, num_frames=num_frames)
    obs, _ = env.reset(seed=40)
    np.testing.assert_array_equal(obs["image"], [steps[0][0]["image"] for steps in episodes[:num_envs]])
    taken, count = np.zeros(num_envs, int), min(num_frames or chunk, chunk)
    for k in range(0, 24, chunk):
        part = env.step_chunk(actions[:num_envs, k : k + chunk])
        assert part.obs["image"].shape == (num_envs, count, 96, 96, 3)
        for i, n in enumerate(part.num_steps):
            first = max(n - count, 0)
            for j in range(count):
                expected = episodes[i][taken[i] + min(first + j + 1, n)][0]["image"]
                np.testing.assert_array_equal(part.obs["image"][i, j], expected)
            np.testing.assert_array_equal(part.obs["state"][i, -1], episodes[i][taken[i] + n][0]["state"])
        taken += part.num_steps
    if num_envs == 4:
        assert len(set(taken)) > 1  # some ended inside a chunk


def test_an_image_is_drawn_once(make, monkeypatch):
    """Standing environments and repeated entries cost nothing."""
    drawn = []
    original = rendering.Renderer.image
    monkeypatch.setattr(rendering.Renderer, "image", lambda self, *state: drawn.append(state) or original(self, *state))
    env = make(3)
    env.reset(seed=0)
    assert len(drawn) == 3
    actions = np.tile([0.0, -0.28], (3, 4, 1))
    env.step_chunk(actions, np.array([True, False, False]))
    assert len(drawn) == 3 + 4
    env.reset(seed=[1, 2, 3], options={"reset_mask": np.array([False, True, False])})
    assert len(drawn) == 3 + 4 + 1


def test_a_restored_state_is_drawn_anew(make):
    one, other = make(2), make(2)
    before, _ = one.reset(seed=3)
    state = one.get_state()
    other.reset(seed=8)
    other.set_state(state)
    still = other.step_chunk(np.zeros((2, 1, 2)), np.zeros(2, bool))
    np.testing.assert_array_equal(still.obs["image"][:, 0], before["image"])


def test_a_diverged_environment_has_an_image(make):
    env = make(2)
    env.reset(seed=0)
    state = env.get_state()
    state.physics[0] = np.nan
    env.set_state(state)
    result = env.step_chunk(np.zeros((2, 2, 2)))
    assert result.info["unstable"][0].all()
    assert result.obs["image"].shape == (2, 2, 96, 96, 3)


def test_a_negative_number_of_frames_is_refused():
    with pytest.raises(ValueError, match="num_frames must not be negative, got -1"):
        TaskVectorEnv(1, AvoidPixels(), num_frames=-1)
