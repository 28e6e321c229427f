"""Images show the field of their own episode, in every look, whatever its neighbors are."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.avoid import ROD_RADIUS, START_Y
from envs.avoid_field import AvoidField, AvoidFieldPixels
from envs.disturbance import Disturbance
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.fields import clearance
from tests.envs.avoid_field.starts import BEGIN, ENV_ID, field, start_of


def red(image):
    """Which pixels show a cylinder [h, w]."""
    levels = image.astype(int)
    return (levels[..., 0] - levels[..., 1] > 60) & (levels[..., 0] - levels[..., 2] > 60)


def expected_red(field, size=96, scale=0.779):
    """Which pixels between the walls, from above, lie inside a cylinder by 12 mm, and which as far outside."""
    column, row = np.meshgrid(np.arange(size), np.arange(size))
    xy = np.stack([(column + 0.5) / size - 0.5, 0.5 - (row + 0.5) / size], axis=-1) * scale + [0.0, 0.04]
    distance, between = clearance(xy, field) + ROD_RADIUS, np.abs(xy[..., 0]) < 0.32
    return (distance < -0.012) & between, (distance > 0.012) & between


@pytest.mark.usefixtures("gl")
def test_images_show_the_field_of_each_episode(make):
    env = make(4, AvoidFieldPixels)
    images = env.reset(seed=10)[0]["image"]
    for image, start in zip(images, env.starts(range(10, 14)), strict=True):
        inside, outside = expected_red(start[4:].reshape(-1, 3))
        assert red(image)[inside].mean() > 0.97
        assert red(image)[outside].mean() < 0.03
    assert set(env.single_observation_space) == {"image", "state"}


@pytest.mark.usefixtures("gl")
@pytest.mark.parametrize("look", [None, "random"])
def test_images_do_not_mind_neighbors(make, look):
    disturbance, actions = Disturbance(look=look), np.tile(BEGIN, (3, 6, 1))
    vector = make(3, AvoidFieldPixels, disturbance, num_threads=2)
    first, seen = vector.reset(seed=30)[0]["image"], vector.step_chunk(actions).obs["image"]
    for i in (2, 0, 1):
        single = TaskEnv(AvoidFieldPixels(disturbance))
        np.testing.assert_array_equal(single.reset(seed=30 + i)[0]["image"], first[i])
        for k in range(6):
            np.testing.assert_array_equal(single.step(actions[i, k])[0]["image"], seen[i, k])
        single.close()


@pytest.mark.usefixtures("gl")
@pytest.mark.parametrize("look", [None, "real"])
def test_an_image_of_the_same_place_is_drawn_anew_for_another_field(task, make, look):
    """It changes where a cylinder was and where one is, and nowhere else."""
    env, seen, fields = make(1, AvoidFieldPixels, Disturbance(look=look)), [], []
    for x in (0.1, -0.1):
        fields.append(field((x, 0.1, 0.05)))
        start = start_of(task, x=0.0, y=START_Y, field=fields[-1])
        seen.append(env.reset(seed=1, options={"start": start[None]})[0]["image"][0].astype(int))
    changed = np.abs(seen[0] - seen[1]).mean(axis=-1)
    for cylinders in fields:
        assert np.median(changed[expected_red(cylinders)[0]]) > 30
    elsewhere = expected_red(fields[0])[1] & expected_red(fields[1])[1]
    assert np.median(changed[elsewhere]) < 10


@pytest.mark.usefixtures("gl")
def test_render_shows_the_field_and_a_look_moves_nothing():
    images = {}
    for look in (None, "real"):
        vector = TaskVectorEnv(2, AvoidField(Disturbance(look=look)), 0, "rgb_array", 96, 96)
        single = gymnasium.make(ENV_ID, render_mode="rgb_array", width=96, height=96, look=look)
        vector.reset(seed=7)
        single.reset(seed=8)
        images[look] = vector.render(1)
        np.testing.assert_array_equal(single.render(), images[look])
        vector.close()
        single.close()
    inside, _ = expected_red(AvoidField().sample_start(np.random.default_rng(8).spawn(3)[0])[4:].reshape(-1, 3))
    assert red(images[None])[inside].mean() > 0.97
    apart = np.abs(images[None].astype(int) - images["real"]).mean(axis=-1)
    assert apart[inside].mean() > 30


@pytest.mark.usefixtures("gl")
def test_the_camera_s_variant_keeps_gymnasium_s_rules():
    check_env(gymnasium.make("envs:robolearn/AvoidFieldPixels-v0").unwrapped, skip_render_check=True)
