"""What the cameras of a task see, a function of the physics state and, for a look, of the episode's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from envs.appearance import Appearance
from envs.looks import noisy
from envs.rendering import Renderer
from envs.task import Array, Task


class Camera:
    """One camera of a task, which shows its states as the task's look has them.

    Args:
        task: The task.
        width: Image width [px].
        height: Image height [px].
        name: Name of the camera in the MJCF.

    Raises:
        RuntimeError: No GL library is usable.
    """

    def __init__(self, task: Task, width: int, height: int, name: str = "top") -> None:
        look = task.disturbance.look
        self._control_dt, self._index = task.control_dt, task.model.camera(name).id
        self._appearance = None if look is None else Appearance(task.model, look, name)
        model = task.model if self._appearance is None else self._appearance.model
        self._renderer = Renderer(model, width, height, name)

    def image(self, physics: Array, key: int, model: mujoco.MjModel) -> Array:
        """Image [height, width, 3], uint8, of one physics state [nstate] of the episode with this number and model."""
        if self._appearance is None:
            return self._renderer.image(physics, model)
        look = self._appearance.wear(key, model)
        image = self._renderer.image(physics, self._appearance.model)
        step = round(physics[0] / self._control_dt)
        return noisy(image, look.noise, np.random.default_rng([key, self._index, step]))

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()


class Cameras:
    """Draws the image observations of n environments.

    Args:
        task: Its `cameras` say which there are, its observation space how large the images are.
        num_envs: How many environments.
    """

    def __init__(self, task: Task, num_envs: int) -> None:
        self._task = task
        self._cameras: dict[str, Camera] = {}
        # What was drawn last: many states are asked for again, as those of environments that stand still.
        self._drawn: list[tuple[mujoco.MjModel, int, Array] | None] = [None] * num_envs
        shapes = {key: (num_envs, *task.observation_space[key].shape) for key in task.cameras}  # pyright: ignore
        self._images = {key: np.zeros(shape, np.uint8) for key, shape in shapes.items()}

    def draw(self, physics: Array, looks: Array, models: Sequence[mujoco.MjModel]) -> dict[str, Array]:
        """Draw the states [n, k, nstate] of episodes with the numbers [n]: key -> images [n, k, h, w, 3], uint8.

        Raises:
            RuntimeError: No GL library is usable.
        """
        result = {key: np.empty((*physics.shape[:2], *last.shape[1:]), np.uint8) for key, last in self._images.items()}
        for i, k in np.ndindex(*physics.shape[:2]):
            self._draw(i, physics[i, k], int(looks[i]), models[i])
            for key, images in self._images.items():
                result[key][i, k] = images[i]
        return result

    def close(self) -> None:
        """Free the GL contexts."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()

    def _draw(self, index: int, physics: Array, look: int, model: mujoco.MjModel) -> None:
        """Draw a state of environment `index`, unless it was drawn last."""
        last = self._drawn[index]
        if last is not None and last[0] is model and last[1] == look and np.array_equal(last[2], physics):
            return
        for key, images in self._images.items():
            images[index] = self._camera(key).image(physics, look, model)
        self._drawn[index] = model, look, physics.copy()

    def _camera(self, key: str) -> Camera:
        """The camera of a key, made when the first image is asked for."""
        if key not in self._cameras:
            height, width = self._images[key].shape[1:3]
            self._cameras[key] = Camera(self._task, width, height, self._task.cameras[key])
        return self._cameras[key]
