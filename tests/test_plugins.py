"""Families and backbones of one's own, from a package outside, by an entry in a registry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robolearn.config import read_json
from robolearn.policies.registry import BACKBONES, FAMILIES, name_of
from robolearn.training.run import Run

ROOT = Path(__file__).parents[1]
PLUGIN = '''
from dataclasses import dataclass

import torch
from torch import nn

from robolearn.nets.backbone import BackboneConfig, Shapes
from robolearn.policies.regression import Regression, RegressionConfig
from robolearn.policies.registry import BACKBONES, FAMILIES


@dataclass(frozen=True)
class MedianConfig(RegressionConfig):
    """Mean absolute error: the median action."""

    weight: float = 1.0
    """Of the loss."""

    def build(self, make_net, action_horizon, action_dim):
        """Build the family."""
        return Median(self, make_net, action_horizon, action_dim)


class Median(Regression):
    """L = |a - f(o)|."""


@dataclass(frozen=True)
class LinearConfig(BackboneConfig):
    """One matrix."""

    def build(self, shapes: Shapes) -> nn.Module:
        """Build the network."""
        return Linear(shapes)


class Linear(nn.Module):
    """Observations -> chunk."""

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.shapes = shapes
        self.layer = nn.Linear(shapes.obs_horizon * shapes.cond_dim, shapes.action_horizon * shapes.dim_out)

    def forward(self, x, cond, time=None):
        return self.layer(cond.flatten(1)).view(len(x), self.shapes.action_horizon, self.shapes.dim_out)


FAMILIES["median"], BACKBONES["linear"] = MedianConfig, LinearConfig
'''


@pytest.fixture
def command(tmp_path):
    """Run train.py or eval.py with a package of the user's on the path."""
    (tmp_path / "median_policy").mkdir()
    (tmp_path / "median_policy" / "__init__.py").write_text(PLUGIN)

    def run(name, *arguments, status=0):
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        command = [sys.executable, str(ROOT / f"{name}.py"), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


def test_a_family_and_a_backbone_from_outside(tmp_path, demos, tiny_flags, command):
    run = tmp_path / "run"
    flags = ["--plugin", "median_policy", "--dataset.path", str(demos), "--steps", "2", "--num-members", "2"]
    command("train", "median", "linear", *flags, "--family.weight", "2", *tiny_flags[6:], "--out", str(run))
    asked = read_json(run / "members" / "1" / "config.json")  # trained in a process of its own
    assert (asked["family"], asked["backbone"]) == ({"type": "median", "weight": 2.0}, {"type": "linear"})
    command("train", "--plugin", "median_policy", "--resume", str(run), "--steps", "4")
    look = ["--episodes", "2", "--env.max-episode-steps", "3", "--videos", "0", "--device", "cpu"]
    command("eval", str(run), "--plugin", "median_policy", *look)
    assert "expected one of regression, " in command("eval", str(run), *look, status=2)


def test_a_plugin_that_is_not_there_is_named(command):
    assert "error: --plugin nowhere: there is no such module" in command("train", "--plugin", "nowhere", status=2)


def test_what_has_no_name_cannot_be_trained(tmp_path):
    class Nameless(FAMILIES["regression"]):
        pass

    with pytest.raises(
        ValueError, match=r"Nameless has no name yet: add it to robolearn\.policies\.registry\.FAMILIES"
    ):
        name_of(Nameless())
    assert name_of(BACKBONES["lstm"]()) == "lstm"
    assert not Run(tmp_path).exists()
