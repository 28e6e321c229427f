"""What grows: each axis says which sizes there are, what is there before, what starting up is, and what an item is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import untrained_policy
from robolearn import seeds
from robolearn.data.attrs import StoreAttrs
from robolearn.data.normalizer import Normalizer
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.trust.calibrated_gate import BandCalibration
from robolearn.trust.certificate import Source
from robolearn.types import Episode, Trajectory

BATCH, BATCHES, STATE = 256, 50, 4
MAPPED_FROM = 10**6  # steps from which observations are memory-mapped
SHORT, LONG = 10, 100  # steps of an episode
IMAGE = (96, 96, 3)
Work = Callable[[], int]


@dataclass(frozen=True)
class Axis:
    """One number that grows.

    Attributes:
        title: What it is.
        item: What the cost is of.
        sizes: From the smallest to the largest.
        start: Size and folder -> the work, which does some items and says how many; all before it is start-up.
        make: Size and folder: what has to lie there before, which another process makes, and nobody counts; if any.
    """

    title: str
    item: str
    sizes: tuple[int, ...]
    start: Callable[[int, Path], Work]
    make: Callable[[int, Path], object] | None = None


def _store(folder: Path, episodes: int, length: int, cameras: int = 0) -> None:
    """Episodes of noise, written a thousand at once."""
    rng = np.random.default_rng(seeds.FIXED)
    store = DemoWriter.create(folder / "demos.zarr", attrs=StoreAttrs(control_dt=0.1, obs_keys=("state",)))
    images = {f"camera{i}": rng.integers(0, 256, (length, *IMAGE), np.uint8) for i in range(cameras)}
    for first in range(0, episodes, 1000):
        some = range(first, min(episodes, first + 1000))
        rows = rng.normal(size=(len(some), length, STATE)).astype(np.float32)
        attrs = [{"seed": number, "success": True} for number in some]
        store.extend(
            [Episode({"state": row, **images}, row[:, :2].copy(), one) for row, one in zip(rows, attrs, strict=True)]
        )


def _batches(windows: Windows, per_window: int = 1) -> Work:
    rng = np.random.default_rng(seeds.FIXED)

    def work() -> int:
        for _ in range(BATCHES):
            windows.batch(torch.from_numpy(rng.integers(0, len(windows), BATCH)))
        return BATCHES * BATCH * per_window

    return work


def _data(size: int, folder: Path) -> Work:
    room = 0 if size >= MAPPED_FROM else 1 << 40
    store = DemoStore.open(folder / "demos.zarr")
    return _batches(Windows.from_store(store, ("state",), 2, 16, cache_dir=folder, max_resident_bytes=room))


def _gathered(size: int, folder: Path) -> Work:
    """What a window of `_data` is at least: its two observations and sixteen actions, out of arrays of that size."""
    rng = np.random.default_rng(seeds.FIXED)
    states, actions = np.ones((size, STATE), np.float32), np.ones((size, 2), np.float32)

    def work() -> int:
        for _ in range(BATCHES):
            rows = rng.integers(0, size - 16, BATCH)[:, None]
            for array, window in ((states, 2), (actions, 16)):
                np.take(array, rows + np.arange(window), axis=0)
        return BATCHES * BATCH

    return work


def _chunk_windows(size: int, folder: Path) -> Work:
    return _batches(Windows.from_store(DemoStore.open(folder / "demos.zarr"), ("state",), 2, size), size)


def _camera_windows(size: int, folder: Path) -> Work:
    keys = [f"camera{i}" for i in range(size)]
    return _batches(Windows.from_store(DemoStore.open(folder / "demos.zarr"), keys, 2, 16), 2 * size)


def _read(size: int, folder: Path) -> Work:
    store = DemoStore.open(folder / "demos.zarr")

    def work() -> int:
        chosen = np.linspace(0, size - 1, min(size, 100)).astype(int).tolist()
        for number in chosen:
            store.episode(number)
        return len(chosen)

    return work


def _append(size: int, folder: Path) -> Work:
    store = DemoWriter.append_to(folder / "demos.zarr")
    rows = np.ones((SHORT, STATE), np.float32)

    def work() -> int:
        with store:
            for number in range(100):
                store.append(Episode({"state": rows}, rows[:, :2], {"seed": size + number, "success": True}))
        return 100

    return work


def _environments(size: int, folder: Path) -> Work:
    policy = untrained_policy(FlowConfig()).eval()
    env = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=SHORT)

    def work() -> int:
        episodes = range(max(size, 64))
        trajectories = roll_out(policy, env, episodes, execution=Execution(8), seed=seeds.FIXED, num_envs=size)
        return sum(map(len, trajectories))

    return work


def _observed(policy: Policy) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(32, policy.cfg.obs_horizon, *shape) for key, shape in policy.cfg.obs_shapes.items()}


def _members(size: int, folder: Path) -> Work:
    ensemble = Ensemble([untrained_policy(FlowConfig(), seed=number).eval() for number in range(size)])
    noise = ensemble.noise(32, generator=torch.Generator().manual_seed(seeds.FIXED))

    def work() -> int:
        with torch.inference_mode():
            for _ in range(20):
                ensemble.act(_observed(ensemble.members[0]), noise)
        return 20 * size

    return work


def _candidates(size: int, folder: Path) -> Work:
    policy, generator = untrained_policy(FlowConfig()).eval(), torch.Generator().manual_seed(seeds.FIXED)

    def work() -> int:
        with torch.inference_mode():
            for _ in range(10):
                policy.sample(_observed(policy), size, generator=generator)
        return 10 * 32 * size

    return work


def _action_dims(size: int, folder: Path) -> Work:
    shapes = {"state": (STATE,)}
    cfg = PolicyConfig(FlowConfig(), MLPConfig(), shapes, size, 2, 16)
    policy = Policy(cfg, Normalizer({**shapes, "action": (size,)})).eval()
    generator = torch.Generator().manual_seed(seeds.FIXED)

    def work() -> int:
        with torch.inference_mode():
            for _ in range(5):
                policy.sample(_observed(policy), 1, generator=generator)
        return 5 * 32 * size

    return work


def _trajectories(size: int) -> list[Trajectory]:
    rng, rows = np.random.default_rng(seeds.FIXED), np.zeros((SHORT, 2), np.float32)
    numbers = rng.random((size, SHORT)) + (np.arange(size) % 4 == 0)[:, None]  # failures are told apart
    return [
        Trajectory(i, i, {}, rows, one, one / 2, bool(i % 4), i % 4, "time", {"score": one}, start=str(i))
        for i, one in enumerate(numbers)
    ]


def _calibration(size: int, folder: Path) -> Work:
    trajectories = _trajectories(size)

    def work() -> int:
        source = Source("checkpoint", "env", "configuration")
        BandCalibration.from_trajectories(trajectories, source, "score", 8, 0.1, 0.5).certify({})
        return size

    return work


def _summary(size: int, folder: Path) -> Work:
    trajectories = _trajectories(size)

    def work() -> int:
        summarize(trajectories, num_modes=4, control_dt=0.1)
        return size

    return work


def _episodes(size: int, folder: Path) -> None:
    _store(folder, size, SHORT)


AXES = {
    "data": Axis(
        "steps of demonstrations",
        "window",
        (10**4, 10**5, 10**6, 10**7),
        _data,
        lambda size, folder: _store(folder, size // LONG, LONG),
    ),
    "gathered": Axis("steps of arrays, by np.take", "window", (10**4, 10**5, 10**6, 10**7), _gathered),
    "episodes": Axis("episodes to read from", "episode", (10**2, 10**3, 10**4, 10**5), _read, _episodes),
    "appended": Axis("episodes to append to", "episode", (10**2, 10**3, 10**4, 10**5), _append, _episodes),
    "summary": Axis("episodes to sum up", "episode", (10**2, 10**3, 10**4, 10**5), _summary),
    "calibration": Axis("episodes to calibrate on", "episode", (10**2, 10**3, 10**4), _calibration),
    "environments": Axis("environments", "step", (1, 16, 256, 4096), _environments),
    "members": Axis("members", "member and plan", (1, 2, 5, 10), _members),
    "actions": Axis("dimensions of the action", "dimension and plan", (2, 10, 30, 100), _action_dims),
    "chunk": Axis(
        "steps of a chunk", "action", (8, 16, 50, 100), _chunk_windows, lambda size, folder: _store(folder, 500, LONG)
    ),
    "cameras": Axis(
        "cameras", "image", (1, 2, 4), _camera_windows, lambda size, folder: _store(folder, 10, LONG, cameras=size)
    ),
    "candidates": Axis("candidates", "candidate", (1, 8, 64), _candidates),
}
