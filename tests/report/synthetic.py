"""Trajectories that look like the two shipped tasks, for the tests of the report."""

import itertools

import numpy as np

from robolearn.types import Trajectory

GAPS = list(itertools.product(range(2), range(3), range(4)))  # one gap per row: 24 modes


def avoid(num_episodes: int = 200, seed: int = 0) -> list[Trajectory]:
    rng = np.random.default_rng(seed)
    return [_avoid(i, rng) for i in range(num_episodes)]


def _avoid(episode: int, rng: np.random.Generator) -> Trajectory:
    mode = int(rng.integers(24))
    a, b, c = GAPS[mode]
    y = np.linspace(-0.28, 0.35, 90)
    knots = [0.0, 0.075 * (a - 0.5), 0.075 * (b - 1), 0.075 * (c - 1.5), 0.075 * (c - 1.5)]
    x = np.interp(y, [-0.28, -0.1, 0.08, 0.26, 0.35], knots) + rng.normal(0, 0.004)
    x = np.convolve(np.pad(x, 5, mode="edge"), np.ones(11) / 11, mode="valid") + rng.normal(0, 0.001, 90)
    success = bool(rng.random() < 0.94)
    steps = 90 if success else int(rng.integers(28, 80))
    path = np.stack([x, y], -1)[:steps].astype(np.float32)
    return Trajectory(
        episode=episode,
        seed=1000 + episode,
        obs={"state": np.concatenate([path[:1], path])},
        actions=path,
        rewards=np.zeros(steps, np.float32),
        scores=np.linspace(0, steps / 90, steps, dtype=np.float32),
        success=success,
        mode=mode if success else -1,
        reason="success" if success else "failure",
    )


def pusht(num_episodes: int = 100, seed: int = 0) -> list[Trajectory]:
    rng = np.random.default_rng(seed)
    runs = []
    for i in range(num_episodes):
        success = bool(rng.random() < 0.3)
        steps = int(rng.integers(120, 290)) if success else 300
        top = 1.0 if success else float(rng.beta(6, 2)) * 0.95
        scores = np.clip(top / (1 + np.exp(-(np.arange(steps) - rng.uniform(60, 110)) / 18)), 0, 1)
        scores[-1] = top if success else scores[-1]
        path = 256 + np.cumsum(np.cumsum(rng.normal(0, 1.0, (steps, 2)), 0) * 0.05, 0)
        runs.append(
            Trajectory(
                episode=i,
                seed=i,
                obs={"state": np.zeros((steps + 1, 5), np.float32)},
                actions=np.clip(path, 0, 512).astype(np.float32),
                rewards=scores.astype(np.float32),
                scores=scores.astype(np.float32),
                success=success,
                mode=-1,
                reason="success" if success else "time",
            )
        )
    return runs
