"""Demonstrations that only images tell of: a bright square on a gray image, which the state places."""

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.nets.vision import VisionConfig
from robolearn.types import Episode

SIDE = 24
SMALL = VisionConfig(width=8, num_keypoints=4, features=8, shift=2, jitter=0.1)


def squares(rng, length, side=SIDE, channels=1):
    """Images of a square that moves along a line, and its column and row."""
    ends = rng.uniform(2, side - 7, (2, 2))
    places = np.linspace(*ends, length)
    images = np.full((length, side, side, channels), 60, np.uint8)
    for image, (x, y) in zip(images, places.astype(int), strict=True):
        image[y : y + 5, x : x + 5] = 220
    return images, places.astype(np.float32)


def write_squares(path, *, cameras=("camera",), lengths=(12,) * 20, seed=0, channels=1):
    """A store of such episodes, each camera with a square of its own; the state is where the first one is."""
    rng, episodes = np.random.default_rng(seed), []
    for length in lengths:
        seen = {camera: squares(rng, length, channels=channels) for camera in cameras}
        obs = {camera: images for camera, (images, _) in seen.items()}
        places = next(places for _, places in seen.values())
        episodes.append(Episode(obs={**obs, "state": places}, actions=places))
    DemoWriter.create(path, attrs=StoreAttrs(obs_keys=(*cameras, "state"))).extend(episodes)
    return path


@pytest.fixture(scope="session")
def squares_store(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares") / "squares.zarr")
