"""Image observations: what the cameras of a task see, a function of the physics state alone."""

from __future__ import annotations

import numpy as np

from envs.rendering import Renderer
from envs.task import Array, Task


class Cameras:
    """Draws the image observations of n environments.

    Args:
        task: Its `cameras` say which there are, its observation space how large the images are.
        num_envs: How many environments.
    """

    def __init__(self, task: Task, num_envs: int) -> None:
        self._task = task
        self._renderers: dict[str, Renderer] = {}
        # What was drawn last: many states are asked for again, as those of environments that stand still.
        self._drawn: list[Array | None] = [None] * num_envs
        shapes = {key: (num_envs, *task.observation_space[key].shape) for key in task.cameras}  # pyright: ignore
        self._images = {key: np.zeros(shape, np.uint8) for key, shape in shapes.items()}

    def draw(self, physics: Array) -> dict[str, Array]:
        """Draw the states [n, k, nstate]: key -> images [n, k, h, w, 3], uint8.

        Raises:
            RuntimeError: No GL library is usable.
        """
        result = {key: np.empty((*physics.shape[:2], *last.shape[1:]), np.uint8) for key, last in self._images.items()}
        for i, k in np.ndindex(*physics.shape[:2]):
            if not np.array_equal(physics[i, k], self._drawn[i]):
                for key, images in self._images.items():
                    images[i] = self._renderer(key).image(physics[i, k])
                self._drawn[i] = physics[i, k].copy()
            for key, images in self._images.items():
                result[key][i, k] = images[i]
        return result

    def close(self) -> None:
        """Free the GL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _renderer(self, key: str) -> Renderer:
        """The renderer of a key, made when the first image is asked for."""
        if key not in self._renderers:
            height, width = self._images[key].shape[1:3]
            self._renderers[key] = Renderer(self._task.model, width, height, self._task.cameras[key])
        return self._renderers[key]
