"""Two looks of one scene: a bright square on a dark image, and a dark one on a bright image. The state places it."""

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.train import train_translator
from robolearn.types import Episode
from tests.representation.conftest import squares

SIDE = 32
SMALL = CycleGANConfig(networks="dcgan", width=8, pool=3)
TINY = {
    "steps": 4,
    "batch_size": 2,
    "log_every": 2,
    "checkpoint_every": 100,
    "validation_fraction": 0.25,
    "device": "cpu",
    "threads": 1,
}


def write_look(path, *, dark=False, cameras=("camera",), side=SIDE, channels=1, episodes=8, seed=0, kind=np.uint8):
    """A store with an attribute per episode, whose seeds, images and states follow from `seed`."""
    rng, made = np.random.default_rng(seed), []
    for number in range(episodes):
        seen = {camera: squares(rng, 5 + number % 3, side, channels) for camera in cameras}
        obs = {camera: (255 - images if dark else images).astype(kind) for camera, (images, _) in seen.items()}
        places = next(iter(seen.values()))[1]
        made.append(Episode({**obs, "state": places}, places / 7, {"seed": 100 * seed + number, "success": True}))
    attrs = StoreAttrs(
        env_id="envs:robolearn/AvoidPixels-v0",
        control_dt=0.05,
        units={"state": "px"},
        obs_keys=(*cameras, "state"),
        env_kwargs={"look": "real"} if dark else {},
    )
    DemoWriter.create(path, attrs=attrs).extend(made)
    return path


@pytest.fixture(scope="session")
def looks(tmp_path_factory):
    """A store of either look, of other episodes."""
    folder = tmp_path_factory.mktemp("looks")
    return write_look(folder / "bright.zarr"), write_look(folder / "dark.zarr", dark=True, seed=1)


@pytest.fixture(scope="session")
def run(looks, tmp_path_factory):
    """A translator between them that has learned next to nothing."""
    out = tmp_path_factory.mktemp("translator") / "run"
    return train_translator(TranslatorConfig(*looks, out, SMALL, **TINY))
