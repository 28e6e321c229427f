"""Families, backbones, scores, tasks and formats of one's own, from outside, by an entry in a registry."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.config import read_json
from robolearn.formats.registry import FORMATS
from robolearn.policies.family import FamilyConfig
from robolearn.policies.registry import BACKBONES, FAMILIES, name_of
from robolearn.training.run import Run
from robolearn.trust.scores.registry import SCORES

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
def median_policy(tmp_path, monkeypatch):
    """A package of the user's, where Python looks for modules, also in the processes of members."""
    (tmp_path / "median_policy").mkdir()
    (tmp_path / "median_policy" / "__init__.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    yield ["--plugin", "median_policy"]
    FAMILIES.pop("median", None)
    BACKBONES.pop("linear", None)
    sys.modules.pop("median_policy", None)


@pytest.mark.long
def test_a_family_and_a_backbone_from_outside(tmp_path, demos, tiny_flags, median_policy, capsys):
    run = tmp_path / "run"
    flags = [*median_policy, "--dataset.path", str(demos), "--steps", "2", "--num-members", "2"]
    main(["train", "median", "linear", *flags, "--family.weight", "2", *tiny_flags[6:], "--out", str(run)])
    asked = read_json(run / "members" / "1" / "config.json")  # trained in a process of its own
    inherited = {"bound_weight": 0.0, "bound_error": 0.01}
    assert asked["family"] == {"type": "median", **inherited, "weight": 2.0}
    assert asked["backbone"] == {"type": "linear"}
    main(["train", *median_policy, "--resume", str(run), "--steps", "4"])
    look = ["--episodes", "2", "--env.max-episode-steps", "3", "--videos", "0", "--device", "cpu"]
    main(["eval", str(run), *median_policy, *look])
    FAMILIES.pop("median")
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["eval", str(run), *look])
    assert "expected one of regression, " in capsys.readouterr().err


def test_a_plugin_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--plugin", "nowhere"])
    assert "error: --plugin nowhere: there is no such module" in capsys.readouterr().err


class Undecorated(FamilyConfig):
    def build(self, make_net, action_horizon, action_dim):
        pytest.fail("it is refused before it is built")


@dataclass(frozen=True)
class Unbuilt(FamilyConfig):
    pass


@pytest.mark.parametrize(
    ("registered", "shown"),
    [(Undecorated, "Undecorated"), (Unbuilt, "Unbuilt, without build"), (Path("x"), "an object of type PosixPath")],
)
def test_what_is_registered_and_no_class_of_options_is_named(registered, shown, monkeypatch, capsys):
    monkeypatch.setitem(FAMILIES, "mine", registered)
    with pytest.raises(SystemExit, match="2"):
        main(["train", "regression"])
    line = f"error: the family 'mine' is {shown}; register the class of its options, which is decorated with @dataclass"
    assert line in capsys.readouterr().err


def test_what_has_no_name_cannot_be_trained(tmp_path):
    class Nameless(FAMILIES["regression"]):
        pass

    with pytest.raises(
        ValueError, match=r"Nameless has no name yet: add it to robolearn\.policies\.registry\.FAMILIES"
    ):
        name_of(Nameless())
    assert name_of(BACKBONES["lstm"]()) == "lstm"
    assert not Run(tmp_path).exists()


OUTSIDE = '''
import csv

import gymnasium as gym
import numpy as np

import robolearn as rl


class Reach(gym.Env):
    """A point that is to come to the origin; made by hand, with nothing of robolearn."""

    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-9, 9, (2,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2)
        return {"state": self.at.astype(np.float32)}, {}

    def step(self, action):
        self.at = self.at + 0.1 * action
        return {"state": self.at.astype(np.float32)}, 0.0, False, False, {"success": True}


gym.register("outside/Reach-v0", Reach, max_episode_steps=6)


def read_csv(source, options):
    """Rows of x, y, dx, dy; ten to an episode."""
    rows = np.array([row for row in csv.reader(source.read_text().splitlines())], np.float32)
    attrs = rl.StoreAttrs(env_id="outside_task:outside/Reach-v0", control_dt=0.1, obs_keys=("state",))
    return rl.Recording(attrs, (rl.Episode({"state": part[:, :2]}, part[:, 2:]) for part in rows.reshape(-1, 10, 4)))


rl.FORMATS["csv"] = rl.Format("a table", read=read_csv)
rl.register_score(rl.Score("boldness", lambda seen: seen.executed.flatten(1).norm(dim=1)))
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """One file of the user's that brings a task, a format and a score."""
    (tmp_path / "outside_task.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    rows = np.random.default_rng(0).uniform(-1, 1, (60, 4))
    (tmp_path / "demos.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    yield ["--plugin", "outside_task"]
    FORMATS.pop("csv", None)
    SCORES.pop("boldness", None)
    sys.modules.pop("outside_task", None)
    gymnasium.envs.registration.registry.pop("outside/Reach-v0", None)


def test_a_format_a_task_and_a_score_from_outside(tmp_path, outside, tiny_flags, capsys):
    store, run = str(tmp_path / "demos.zarr"), str(tmp_path / "run")
    main(["import", "csv", str(tmp_path / "demos.csv"), "--out", store, *outside])
    assert "6 episodes, 60 steps" in capsys.readouterr().out
    main(["train", *tiny_flags, "--dataset.path", store, "--steps", "2", "--out", run])
    stranger = ["--trust", "--device", "cpu", *outside]
    main(["calibrate", run, "--score", "boldness", "--alpha", "0.5", "--episodes", "4", *stranger])
    *_, said = (line for line in capsys.readouterr().out.splitlines() if line.startswith("next: robolearn eval"))
    main([*shlex.split(said)[2:], "--fallback", "watch", "--episodes", "3", "--videos", "0", "--device", "cpu"])
    assert set(read_json(tmp_path / "run" / "eval" / "summary.json")["latency"]) >= {"p50_ms", "gate_p50_ms"}
    episode = json.loads((tmp_path / "run" / "eval" / "episodes.jsonl").read_text().splitlines()[0])
    assert (episode["length"], episode["success"]) == (6, True)
    assert read_json(tmp_path / "run" / "gate" / "calibration.json")["score"] == "boldness"


def test_what_was_not_brought_is_named_with_the_choices(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["import", "csv", str(tmp_path / "demos.csv"), "--out", str(tmp_path / "demos.zarr")])
    assert (
        f"there is no format 'csv'; choose from {', '.join(FORMATS)}, or add your own to FORMATS"
        in capsys.readouterr().err
    )
