"""What a training refuses, inspect calls a problem, or names the option that a training needs; and nothing else."""

import re

import numpy as np
import pytest
import torch

from robolearn.data.store import DemoStore
from robolearn.doctor.examine import examine
from robolearn.doctor.trainable import TRAINING
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import DatasetConfig, TrainConfig
from tests.data.test_store import write_diffusion_policy

RNG = np.random.default_rng(0)
STEPS, ENDS = 60, np.array([20, 40, 60])
STATE = np.cumsum(RNG.normal(size=(STEPS, 3)), axis=0).astype(np.float32)
BYTES = RNG.integers(0, 256, (STEPS, 16, 16, 3)).astype(np.uint8)
DEPTH = RNG.uniform(0.3, 4.0, (STEPS, 16, 16, 1)).astype(np.float32)


def changed(array, value, *at):
    """The same with another number somewhere."""
    other = array.copy()
    other[at] = value
    return other


# What the policy sees as "state", and whether a training takes it.
ODD = {
    "bytes": (BYTES, True),
    "floats 0 .. 255": (BYTES.astype(np.float32), True),
    "floats in [0, 1]": (BYTES / np.float32(255), True),
    "doubles in [0, 1]": (BYTES / 255, True),
    "floats in [-1, 1]": (BYTES / np.float32(127.5) - 1, True),
    "halves in [0, 1]": ((BYTES / 255).astype(np.float16), True),
    "channels first": (np.moveaxis(BYTES, 3, 1), True),
    "channels first, floats": (np.moveaxis(BYTES, 3, 1) / np.float32(255), True),
    "color of 16 bits": (BYTES.astype(np.uint16) * 257, True),
    "depth [m]": (DEPTH, True),
    "depth, channels first": (np.moveaxis(DEPTH, 3, 1), True),
    "depth of 16 bits [mm]": ((DEPTH * 1000).astype(np.uint16), True),
    "depth without channels": (np.repeat(np.repeat(DEPTH[..., 0], 2, 1), 2, 2), True),
    "mask": (BYTES[..., :1] > 127, True),
    "colors and depth": (np.concatenate([BYTES, BYTES[..., :1]], 3), True),
    "standardized floats": ((BYTES - 110.0) / 40, False),
    "one color too large": (changed(BYTES.astype(np.float32), 300, 30, 2, 2, 0), False),
    "depth with NaN": (changed(DEPTH, np.nan, 30, 2, 2, 0), False),
    "depth with inf": (changed(DEPTH, np.inf, 30, 2, 2, 0), False),
    "two channels": (BYTES[..., :2], False),
    "six channels": (np.concatenate([BYTES, BYTES], 3), False),
    "two cameras in one": (np.stack([BYTES, BYTES], 1), False),
    "an image of one column": (BYTES[:, :, :1], False),
    "numbers": (STATE, True),
    "points": (np.stack([STATE, STATE], 1), True),
    "no numbers": (STATE[:, :0], False),
    "one number without an axis": (STATE[:, 0], False),
    "NaN": (changed(STATE, np.nan, 30, 0), False),
    "beyond float32": (changed(STATE.astype(np.float64), 1e300, 30, 0), False),
    "large whole numbers": (STATE.astype(np.int64) + (1 << 40) + 1, False),
    "flags": (STATE > 0, True),
    "too few rows": (STATE[:50], False),
}


def refusal(path, **options):
    """What a training says of a store, before its first step."""
    cfg = TrainConfig(
        RegressionConfig(),
        MLPConfig(width=8, depth=1),
        DatasetConfig((path,), validation_fraction=0.0, **options),
        vision=VisionConfig(width=8, num_keypoints=2, features=2),
        steps=1,
    )
    try:
        _, state, windows, _, _ = assemble(cfg, open_demos(cfg), "cpu")
        batch = windows.batch(torch.arange(3))
        loss, _ = state.policy.loss(batch, state.policy.draws(3, generator=torch.Generator()))
        assert torch.isfinite(loss)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", ODD)
def test_inspect_and_training_agree(tmp_path, name):
    rows, is_taken = ODD[name]
    path = write_diffusion_policy(
        tmp_path / "x.zarr",
        3,
        state=rows,
        action=STATE[: len(rows) if name != "too few rows" else STEPS, :2],
        episode_ends=ENDS,
    )
    said, report = refusal(path), examine(DemoStore.open_unchecked(path))
    assert (said is None) == is_taken, said
    assert (report.problems == []) == is_taken, report.problems
    assert not [finding for finding in report.findings if finding.check == TRAINING]


@pytest.mark.parametrize(
    ("arrays", "option"),
    [
        ({"state": STATE, "action": STATE[:, :2], "episode_ends": np.array([10, 40, 60])}, {"short_episodes": "pad"}),
        (
            {"pose": STATE, "twist": STATE, "action": STATE[:, :2], "episode_ends": ENDS},
            {"obs_keys": ("pose", "twist")},
        ),
    ],
)
def test_options_that_a_training_needs_are_named(tmp_path, arrays, option):
    path = write_diffusion_policy(tmp_path / "x.zarr", 3, **arrays)
    said, report = refusal(path), examine(DemoStore.open(path))
    (name,) = option
    assert f"dataset.{name}" in said
    (finding,) = [finding for finding in report.findings if finding.check == TRAINING]
    assert said == finding.sentence
    assert refusal(path, **option) is None
    assert re.search(f"`dataset.{name}`", str(finding))
