"""A task of two starts and three repetitions, demonstrations with modes, and results made up of numbers."""

from pathlib import Path

import numpy as np

from robolearn.bench.rows import Row, Setting, Task
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.types import Episode

TASK = Task(
    "tiny",
    TrainConfig(
        backbone=MLPConfig(width=16, depth=1),
        dataset=DatasetConfig((Path("tiny.zarr"),), validation_fraction=0.2),
        env=EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=6),
        obs_horizon=1,
        action_horizon=4,
        exec_horizon=2,
        steps=6,
        batch_size=8,
        warmup_steps=2,
        amp="off",
    ),
    num_states=2,
    num_repeats=3,
)
REGRESSION = Row("regression", RegressionConfig())
FLOW = Row("flow", FlowConfig(), (Setting("euler-5", {"steps": 5}), Setting("euler-1", {"steps": 1})))
ROWS = (REGRESSION, FLOW)


def write_demos(folder, num_episodes=10, seed=0, mode=lambda i: i % 24):
    """Random walks whose action is the next position; mode i % 24, or another."""
    rng = np.random.default_rng(seed)
    episodes = []
    for i in range(num_episodes):
        state = np.cumsum(0.01 * rng.standard_normal((21, 4)), axis=0).astype(np.float32)
        episodes.append(Episode({"state": state[:-1]}, state[1:, :2], {"mode": mode(i), "success": True}))
    attrs = StoreAttrs(env_id="envs:robolearn/Avoid-v0", control_dt=0.05, obs_keys=("state",))
    DemoWriter.create(folder / "tiny.zarr", attrs=attrs).extend(episodes)
    return folder


def measured(success, mode=None, *, selection=None, nfe=1, energy=0.1):
    """What `measure` returns, for arrays [c, n]."""
    mode = np.zeros(np.shape(success), int) if mode is None else mode
    episodes = {"success": np.asarray(success, int).tolist(), "score": np.asarray(success, float).tolist()}
    episodes["mode"] = np.asarray(mode).tolist()
    return {
        "nfe": nfe,
        "p50_ms": 0.5 * nfe,
        "p99_ms": 0.9 * nfe,
        "parameters": 2_000_000,
        "parameters_used": 1_000_000,
        "evaluation": episodes,
        "selection": episodes if selection is None else selection["evaluation"],
        "energy": [energy, energy],
        "outside": [0.2, 0.2],
        "bridge": [0.0, 0.1],
        "facts": {"versions": "v", "commit": "c", "hardware": "h"},
    }


def result(settings, modes=(5, 5), cpu_s=100.0):
    """What a complete result.json holds."""
    training = {"steps": 18_000, "cpu_s": cpu_s, "wall_s": cpu_s, "demonstrations": 10, "content_hash": "0"}
    return {"training": training, "modes": modes and list(modes), "settings": settings}
