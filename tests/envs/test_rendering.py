"""Images: sizes, content, and what happens without a GL library."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs import rendering
from envs.avoid import Avoid
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.insert import Insert

pytestmark = pytest.mark.usefixtures("gl")


def blue_centre(image):
    """Mean (column, row) of the rod's pixels, as fractions of the image."""
    red, _, blue = np.moveaxis(image.astype(int), -1, 0)
    rows, columns = np.nonzero((blue - red > 80) & (red < 110))
    return np.array([columns.mean(), rows.mean()]) / len(image)


@pytest.mark.parametrize("size", [(96, 96), (480, 480), (120, 80)])
def test_images_have_the_asked_size(size):
    env = gymnasium.make("envs:robolearn/Avoid-v0", render_mode="rgb_array", width=size[0], height=size[1])
    env.reset(seed=0)
    image = env.render()
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    env.close()


def test_the_rod_is_drawn_where_it_is():
    """x to the right, y up; each driver, and each environment of a vector."""
    starts = np.array([[0.0, -0.28], [0.3, -0.28], [0.0, -0.2]])
    vector = TaskVectorEnv(3, Avoid(), num_threads=0, render_mode="rgb_array", width=240, height=240)
    vector.reset(seed=0, options={"start": starts})
    images = vector.render()
    middle, right, up = (blue_centre(image) for image in images)
    assert right[0] - middle[0] > 0.3
    assert right[1] == pytest.approx(middle[1], abs=0.01)
    assert middle[1] - up[1] > 0.08
    single = TaskEnv(Avoid(), render_mode="rgb_array", width=240, height=240)
    single.reset(seed=0, options={"start": starts[1]})
    np.testing.assert_array_equal(single.render(), images[1])
    np.testing.assert_array_equal(vector.render(index=1), images[1])
    vector.close()
    single.close()


def test_the_peg_and_the_place_where_the_slot_is_seen_are_drawn():
    """From the side, x to the right and z up; 80 mm fill the image."""
    starts = np.array([[0.0, 0.02, 0.0, 0.0], [0.016, 0.02, 0.0, 0.004], [0.0, 0.004, 0.0, 0.0]])
    env = TaskVectorEnv(3, Insert(), num_threads=0, render_mode="rgb_array", width=240, height=240)
    env.reset(seed=0, options={"start": starts})
    images = env.render()
    middle, right, down = (blue_centre(image) for image in images)
    np.testing.assert_allclose(right - middle, [0.2, 0.0], atol=0.01)
    assert down[1] - middle[1] > 0.1
    red = [np.nonzero(image[..., 0].astype(int) - image[..., 2] > 60)[1] for image in images]
    seen = [(columns.min() + columns.max() + 1) / 480 for columns in red]
    np.testing.assert_allclose(seen, [0.5, 0.55, 0.5], atol=0.01)
    env.close()


def test_two_environments_keep_their_own_images():
    """Each has a GL context of its own; the one used last must not be drawn into by the other."""
    envs = [TaskEnv(Avoid(), render_mode="rgb_array", width=w, height=w) for w in (64, 96)]
    first = []
    for env in envs:
        env.reset(seed=1)
        first.append(env.render())
    for env, image in zip(envs, first, strict=True):
        np.testing.assert_array_equal(env.render(), image)
        env.close()


def test_a_diverged_state_can_be_drawn():
    env = TaskEnv(Avoid(), render_mode="rgb_array")
    env.reset(seed=0)
    state = env.get_state()
    state.physics[:] = np.nan
    env.set_state(state)
    assert env.render().shape == (256, 256, 3)
    env.close()


def test_without_a_render_mode_there_is_no_image():
    env, vector = TaskEnv(Avoid()), TaskVectorEnv(2, Avoid(), num_threads=0)
    env.reset(seed=0)
    assert env.render() is None
    assert vector.render() is None


def test_check_env_renders():
    env = gymnasium.make("envs:robolearn/Avoid-v0", render_mode="rgb_array").unwrapped
    check_env(env)
    env.close()


def test_no_gl_library_gives_one_line(monkeypatch):
    def missing(name):
        raise ImportError(f"cannot load {name}\nand much more")

    monkeypatch.setattr(rendering, "import_module", missing)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    env = TaskEnv(Avoid(), render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"\(egl: cannot load mujoco.egl; osmesa: cannot load") as error:
        env.render()
    assert "\n" not in str(error.value)
    env.close()


def test_a_windowed_backend_is_refused(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(ValueError, match="MUJOCO_GL='glfw' cannot render off screen; choose one of egl, osmesa"):
        rendering.Renderer(Avoid().model, 8, 8)
