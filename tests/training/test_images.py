"""Training from images, by the command."""

import os
from pathlib import Path

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.training.test_resume import assert_same_state, cut_at

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[3] / "shared"))
PUSHT = SHARED / "data" / "pusht" / "pusht_cchi_v7_replay.zarr"
MODEL = ["regression", "mlp", "--backbone.width", "32", "--backbone.depth", "1"]
VISION = ["--vision.width", "8", "--vision.num-keypoints", "4", "--vision.features", "8"]
RUN = ["--amp", "off", "--threads", "1", "--device", "cpu", "--no-wandb", "--log-every", "1"]
HORIZONS = ["--obs-horizon", "2", "--action-horizon", "2", "--exec-horizon", "1"]


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """A bright spot on a dark image; the action is where it is, and the state tells nothing of it."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("spots") / "spots.zarr"
    episodes = []
    for _ in range(10):
        rows, columns = rng.integers(2, 14, (2, 20))
        camera = np.zeros((20, 16, 16, 1), np.uint8)
        for t, (row, column) in enumerate(zip(rows, columns, strict=True)):
            camera[t, row - 1 : row + 2, column - 1 : column + 2] = 200
        obs = {"camera": camera, "state": rng.standard_normal((20, 3)).astype(np.float32)}
        episodes.append(Episode(obs=obs, actions=np.stack([columns, rows], axis=1).astype(np.float32)))
    DemoWriter.create(path, attrs=StoreAttrs(obs_keys=("camera", "state"))).extend(episodes)
    return path


def train(train_main, store, out, *flags):
    train_main([*MODEL, *VISION, *RUN, *HORIZONS, "--dataset.path", str(store), "--out", str(out), *map(str, flags)])
    return out


def test_learns_what_only_the_image_tells(tmp_path, train_main, spots, read_metrics):
    """Actions are uniform and independent: without the image the loss is their variance, 1/3, or more."""
    flags = ["--steps", 60, "--batch-size", 32, "--lr", "1e-2", "--warmup-steps", 5, "--vision.shift", 0]
    flags += ["--dataset.validation-fraction", 0, "--obs-horizon", 1, "--action-horizon", 1]
    losses = [record["loss"] for record in read_metrics(train(train_main, spots, tmp_path / "run", *flags))]
    assert losses[0] > 0.25
    assert np.mean(losses[-10:]) < 0.05


def test_a_derivative_in_float32_of_what_cameras_alone_see_in_bfloat16(tmp_path, train_main, spots, read_metrics):
    flags = ["flowmap", *MODEL[1:], *VISION, *RUN, *HORIZONS, "--dataset.path", str(spots), "--steps", "2"]
    train_main([*flags, "--dataset.obs-keys", "camera", "--amp", "on", "--out", str(tmp_path / "run")])
    assert any("loss" in record for record in read_metrics(tmp_path / "run"))


def test_goes_on_bit_for_bit(tmp_path, train_main, spots):
    """Weights of the cameras, their optimizer and the draws of the images included."""
    whole = train(
        train_main,
        spots,
        tmp_path / "whole",
        "--steps",
        4,
        "--batch-size",
        8,
        "--checkpoint-every",
        2,
        "--keep-every",
        2,
    )
    half = cut_at(whole, 2, tmp_path / "half")
    train_main(["--resume", str(half)])
    assert_same_state(whole, half)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["lenet", "resnet18"])
def test_trains_on_the_images_of_the_human_pusht_set(tmp_path, train_main, read_metrics, network):
    if not PUSHT.exists():
        pytest.skip(f"human demonstrations are not at {PUSHT} (set ROBOLEARN_SHARED)")
    flags = ["--dataset.obs-keys", "img", "--vision.network", network, "--dataset.num-episodes", 20, "--steps", 12]
    flags += ["--vision.width", 16, "--batch-size", 32, "--warmup-steps", 2, "--dataset.validation-fraction", 0]
    losses = [record["loss"] for record in read_metrics(train(train_main, PUSHT, tmp_path / "run", *flags))]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
