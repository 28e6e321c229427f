"""Looks: cameras show them, nothing else notices, and an episode's look is a function of its seed."""

import gymnasium
import mujoco
import numpy as np
import pytest

from envs import rendering
from envs.appearance import Appearance
from envs.avoid import Avoid
from envs.avoid_pixels import AvoidPixels
from envs.cameras import Camera
from envs.disturbance import Disturbance
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.insert import Insert
from envs.looks import LOOKS, noisy, random_look, unlike_colors
from envs.patterns import DARKEST, PATTERNS, pattern
from envs.push import Push
from envs.pusht import PushT
from envs.task import ASSETS

pytestmark = pytest.mark.usefixtures("gl")

TASKS = (Avoid, AvoidPixels, Insert, Push, PushT)
STEPS, SEED = 12, 40


@pytest.fixture
def make(open_envs):
    def make(look=None, num_envs=3, task=AvoidPixels, latency=0, **kwargs):
        return open_envs(num_envs, task(Disturbance(look=look, latency=latency)), **kwargs)

    return make


def actions_of(task, num_envs=3, steps=STEPS):
    """The expert's actions [n, t, a], or sweeps."""
    if not task.has_expert:
        angle = np.linspace(0, [3, 5, 6], steps).T[:num_envs]
        return np.array([256.0, 300.0]) + 150 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    env, actions = TaskVectorEnv(num_envs, task(), num_threads=0, num_frames=0), []
    env.reset(seed=SEED)
    for _ in range(steps):
        actions.append(env.expert_action()[1])
        env.step(actions[-1])
    return np.stack(actions, axis=1)


def roll(env, actions, sizes=(4,)):
    """All that an episode's chunks bring, joined along time, and its first observation."""
    first, _ = env.reset(seed=SEED)
    parts, done = [], 0
    while done < actions.shape[1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(env.step_chunk(actions[:, done : done + size]))
        done += size
    arrays = [{**p.obs, **p.info, "physics": p.physics, "ended": p.terminated | p.truncated} for p in parts]
    return {f"first {key}": value for key, value in first.items()} | {
        key: np.concatenate([a[key] for a in arrays], axis=1) for key in arrays[0]
    }


def apart(one, other):
    """Mean absolute difference of two images, in levels."""
    return np.abs(one.astype(int) - other).mean()


# Nothing else notices


@pytest.mark.parametrize("task", TASKS)
def test_without_a_look_images_are_those_of_the_mjcf(task):
    """Bit for bit, drawn here without anything that knows of looks."""
    model = mujoco.MjModel.from_xml_path(str(ASSETS / task.xml))
    plain, camera = rendering.Renderer(model, 96, 80), Camera(task(), 96, 80)
    rng = np.random.default_rng(0)
    for key in range(3):
        physics, _ = task().initial_state(task().sample_start(rng)[None])
        np.testing.assert_array_equal(camera.image(physics[0], key, model), plain.image(physics[0], model))
    plain.close()
    camera.close()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("task", TASKS)
def test_a_look_changes_images_alone(make, task, look):
    """Starts, states, physics, ends, success, score and modes are those of the plain task, bit for bit."""
    actions, seeds = actions_of(task), [3, 4]
    plain, looking = make(task=task), make(look, task=task)
    np.testing.assert_array_equal(plain.starts(seeds), looking.starts(seeds))
    one, other = roll(plain, actions), roll(looking, actions)
    assert one.keys() == other.keys()
    for key in one:
        if "image" in key:
            assert apart(one[key], other[key]) > 20
        else:
            np.testing.assert_array_equal(one[key], other[key])
    if task.has_expert:
        np.testing.assert_array_equal(*(env.expert_action() for env in (plain, looking)))


@pytest.mark.parametrize("task", TASKS)
def test_the_model_that_is_stepped_never_wears_a_look(task):
    looking = task(Disturbance(look="random"))
    before = buffer(looking.model)
    camera = Camera(looking, 32, 32)
    camera.image(looking.physics_at(np.zeros(looking.model.nq)), 7, looking.model)
    camera.close()
    after = buffer(looking.model)
    np.testing.assert_array_equal(before, after)


def buffer(model):
    size = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, size)
    return size


# An episode depends on its seed alone


@pytest.fixture(scope="module", params=LOOKS)
def reference(request):
    """A look, and the images of three episodes, each alone and step by step."""
    actions, episodes = actions_of(AvoidPixels), []
    env = TaskEnv(AvoidPixels(Disturbance(look=request.param)))
    for i in (2, 0, 1):  # in another order than in the vectors
        images = [env.reset(seed=SEED + i)[0]["image"]]
        images += [env.step(action)[0]["image"] for action in actions[i]]
        episodes.append((i, np.stack(images)))
    env.close()
    return request.param, actions, np.stack([images for _, images in sorted(episodes, key=lambda pair: pair[0])])


@pytest.mark.parametrize(("num_envs", "threads", "sizes"), [(3, 2, (5,)), (3, 0, (1, 4, 2)), (1, 0, (12,))])
def test_images_do_not_mind_neighbors_threads_and_grouping(make, reference, num_envs, threads, sizes):
    look, actions, images = reference
    for _ in range(2):  # also with what an environment showed before
        rollout = roll(make(look, num_envs, num_threads=threads), actions[:num_envs], sizes)
        np.testing.assert_array_equal(rollout["first image"], images[:num_envs, 0])
        np.testing.assert_array_equal(rollout["image"], images[:num_envs, 1:])


def test_a_look_moves_with_the_state(make, reference):
    """To an environment that stood in the middle of another episode, and at another place of the vector."""
    look, actions, images = reference
    env, other = make(look, 3), make(look, 1)
    env.reset(seed=SEED)
    env.step_chunk(actions[:, :5])
    state = env.get_state()
    other.reset(seed=3)
    alone = {name: value[1:2] for name, value in vars(state).items()}
    other.set_state(type(state)(**alone))
    np.testing.assert_array_equal(other.step_chunk(actions[1:2, 5:8]).obs["image"][0], images[1, 6:9])


def test_an_image_lags_with_its_noise(make):
    actions = actions_of(AvoidPixels)
    now, late = roll(make("random"), actions), roll(make("random", latency=2), actions)
    np.testing.assert_array_equal(late["image"][:, 2:], now["image"][:, :-2])
    assert not np.array_equal(late["image"], now["image"])


def test_an_episode_from_the_same_start_has_the_look_of_its_seed(make):
    """And is drawn anew, although nothing in the physics is another."""
    env = make("random", 1)
    start = {"start": env.starts([5])}
    one, other, again = (env.reset(seed=seed, options=start)[0]["image"] for seed in (1, 2, 1))
    assert apart(one, other) > 10
    np.testing.assert_array_equal(one, again)


def test_both_drivers_take_a_look_by_id():
    kwargs = {"look": "random", "views": "front"}
    env = gymnasium.make("envs:robolearn/AvoidPixels-v0", **kwargs).unwrapped
    vector = gymnasium.make_vec("envs:robolearn/AvoidPixels-v0", num_envs=2, num_threads=0, **kwargs)
    one, many = env.reset(seed=4)[0], vector.reset(seed=[3, 4])[0]
    for key, value in one.items():
        np.testing.assert_array_equal(many[key][1], value)
    env.close()
    vector.close()


# What is shown


def test_real_is_one_appearance_and_random_another_in_every_episode(make):
    """Of the same start under eight seeds: real differs by noise alone, random in all."""
    start = {"start": np.repeat(make(None, 1).starts([5]), 8, axis=0)}
    shown = {look: make(look, 8).reset(seed=0, options=start)[0]["image"] for look in (None, *LOOKS)}
    pairs = [(i, j) for i in range(8) for j in range(i)]
    between = {look: [apart(images[i], images[j]) for i, j in pairs] for look, images in shown.items()}
    assert max(between[None]) == 0.0
    assert 1.0 < min(between["real"]) <= max(between["real"]) < 8.0
    assert min(between["random"]) > 10.0
    assert min(apart(images, shown["real"][0]) for images in shown["random"]) > 10.0


def test_noise_is_another_at_every_step(make):
    """In real, what differs by the mean of a difference of two normals: 4 levels * sqrt(2) * sqrt(2 / pi)."""
    env = make("real", 1)
    env.reset(seed=0, options={"start": np.array([[0.0, -0.28, 0.0, 0.0, 0.0]])})
    images = env.step_chunk(np.tile([0.0, -0.28], (1, 6, 1))).obs["image"][0]
    still = images[:, 40:80]  # away from the finish; the rod stands
    differences = [apart(still[i], still[i + 1]) for i in range(5)]
    np.testing.assert_allclose(differences, 4 * 2 / np.sqrt(np.pi), rtol=0.08)


def test_rows_rod_and_finish_can_be_seen_in_every_look(make):
    """Moving one of them alone changes some of its pixels by much more than noise does."""
    moved = np.array([[0.0] * 5, [0.1, 0.1, 0, 0, 0], *np.pad(0.05 * np.eye(3), ((0, 0), (2, 0)))])
    starts = np.array([-0.05, -0.28, 0.0, 0.0, 0.0]) + moved
    for look, seeds in {"real": [0], "random": range(25)}.items():
        env = make(look, 5)
        for seed in seeds:
            images = env.reset(seed=[seed] * 5, options={"start": starts})[0]["image"].astype(int)
            changed = (np.abs(images[1:] - images[0]).max(axis=-1) > 40).sum(axis=(1, 2))
            assert changed[0] >= 4, (look, seed)  # where the rod was, and where it is
            assert (changed[1:] >= 20).all(), (look, seed, changed)


def test_every_camera_is_displaced_a_little(make):
    """Each view shows the same arena from elsewhere: a few degrees, and it stays in the picture."""
    task = AvoidPixels(Disturbance(look="random"))
    for name in ("top", *AvoidPixels.views):
        appearance, camera = Appearance(task.model, "random", name), task.model.camera(name)
        for key in range(20):
            appearance.wear(key, task.model)
            quat = appearance.model.camera(name).quat
            angle = 2 * np.rad2deg(np.arccos(np.clip(abs(quat @ camera.quat), 0, 1)))
            assert 0.1 < angle < 9.0  # 5 degrees about each of three axes
            displaced = np.linalg.norm(appearance.model.camera(name).pos - camera.pos)
            assert 0.001 < displaced < 0.45  # from 3 m away, turned about what it looks at
            assert camera.fovy <= appearance.model.camera(name).fovy <= 1.1 * camera.fovy


@pytest.mark.parametrize("task", TASKS)
def test_render_shows_the_look(task):
    """Also of tasks whose observations have no image; the same in each driver."""
    images = {}
    for look in (None, *LOOKS):
        name = f"envs:robolearn/{task.__name__}-v0"
        env: gymnasium.Env = gymnasium.make(name, render_mode="rgb_array", width=64, height=64, look=look)
        env.reset(seed=SEED)
        images[look] = env.render()
        env.close()
        vector = TaskVectorEnv(2, task(Disturbance(look=look)), 0, "rgb_array", 64, 64, num_frames=0)
        vector.reset(seed=SEED - 1)
        np.testing.assert_array_equal(vector.render(1), images[look])
        vector.close()
    assert min(apart(images[None], images["real"]), apart(images["real"], images["random"])) > 10


# The parts


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_go_on_seamlessly_and_are_never_too_dark(name):
    tile = pattern(name)
    np.testing.assert_array_equal(tile, pattern(name))
    assert tile.min() >= round(255 * DARKEST)
    assert tile.max() - tile.min() > 30
    for axis in (0, 1):
        steps = np.abs(np.diff(tile[..., 0].astype(int), axis=axis)).max()
        seam = np.abs(np.take(tile, 0, axis).astype(int) - np.take(tile, -1, axis)).max()
        assert seam <= steps


def test_colors_are_told_apart_from_the_ground_most_of_all():
    for seed in range(100):
        colors = unlike_colors(7, np.random.default_rng(seed))
        distance = np.linalg.norm(colors[:, None] - colors, axis=-1) + 9 * np.eye(7)
        assert distance[0, 1:].min() > 0.45
        assert distance.min() > 0.2


def test_a_random_look_needs_nothing_but_its_generator():
    one, other, third = (random_look(np.zeros((5, 3)), np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name))
        assert not np.array_equal(value, getattr(third, name)), name


def test_noise_has_its_strength_and_no_bias():
    gray = np.full((200, 200, 3), 128, np.uint8)
    noise = noisy(gray, 6.0, np.random.default_rng(0)).astype(float) - 128
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(6.0, rel=0.02)
    np.testing.assert_array_equal(noisy(gray, 0.0, np.random.default_rng(0)), gray)
