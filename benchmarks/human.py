"""Policies from human demonstrations: trained by their recipes, evaluated, one row each.

    python -m benchmarks.human pusht DATA.zarr --out docs/results/human.json    Push-T, 206 demonstrations
    python -m benchmarks.human door DATA.zarr --out docs/results/human.json     Adroit door, 25, imported first

Push-T is evaluated in gym-pusht (score: mean over episodes of max_t min(coverage / 0.95, 1)) and then in PushT-v0. The
door is rolled out in AdroitHandDoor-v1, beside what its demonstrators reached. Always the last checkpoint. A run that
is complete is not trained again, one that was stopped goes on. Intervals span trainings and starts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep_part, options
from benchmarks.trainings import NUMBERS, Number, line, measure, train_once
from robolearn import seeds
from robolearn.bench.rows import choose
from robolearn.data.store import DemoStore
from robolearn.errors import user_errors
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.registry import name_of
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.stats.proportions import wilson
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES

EPISODES, DRY_EPISODES = 200, 2
# Index of the door's hinge in AdroitHandDoor-v1's observation; from which angles on it is open, and a success [rad].
DOOR_ANGLE, OPEN, SUCCESS = 28, 1.0, 1.35


@dataclass(frozen=True)
class Row:
    """One policy: how it is trained, how often, and where it is evaluated."""

    name: str
    train: TrainConfig
    envs: tuple[EnvConfig, ...]
    num_seeds: int


PUSHT = Row(
    "pusht-tokens-mlp",
    RECIPES["pusht"],
    (EnvConfig("gym_pusht:gym_pusht/PushT-v0"), EnvConfig("envs:robolearn/PushT-v0")),
    num_seeds=3,
)
DOOR_ENV = EnvConfig("gymnasium_robotics:AdroitHandDoor-v1", max_episode_steps=300)
DOOR_STEPS = {
    TokensConfig(): 10_000,
    RegressionConfig(): 10_000,
    FlowConfig(): 40_000,
    DiffusionConfig(): 40_000,
}  # until the loss hardly falls, or success does
DOOR = tuple(
    Row(f"door-{name_of(family)}-mlp", dataclasses.replace(RECIPES["door"], family=family, steps=steps), (DOOR_ENV,), 1)
    for family, steps in DOOR_STEPS.items()
)
ROWS = {"pusht": (PUSHT,), "door": DOOR}


DOOR_NUMBERS: dict[str, Number] = {"opened": lambda t: bool((t.obs["state"][:, DOOR_ANGLE] > OPEN).any())}


def main() -> None:
    """Train and measure the rows of one data set, and keep the numbers of each as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("task", choices=ROWS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="+", default=[], help="such as door-tokens-mlp; all by default")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    episodes = seeds.TRIANGLE[: DRY_EPISODES if args.dry_run else EPISODES]
    if args.task == "door":
        keep_part(args.out, "door-demonstrators", demonstrators(DemoStore(args.data)))
    for row in choose("row", args.rows, ROWS[args.task]):
        count = 1 if args.dry_run else row.num_seeds
        runs = [
            train_once(row.name, row.train, seed, args.data, args.runs, dry=args.dry_run)
            for seed in seeds.TRAININGS[:count]
        ]
        measured = []
        for env in row.envs:
            measured.append(measure(runs, env, episodes, NUMBERS | (DOOR_NUMBERS if env is DOOR_ENV else {})))
            print(row.name, line(measured[-1]), flush=True)
        keep_part(
            args.out, row.name, {"steps": runs[0].config().steps, "starts_from": episodes.start, "envs": measured}
        )


def demonstrators(store: DemoStore) -> dict[str, Any]:
    """Largest angle of the door [rad] in each recording, and how many are what is asked of the policies."""
    angles = np.array([store.episode(i).obs["state"][:, DOOR_ANGLE].max() for i in range(store.num_episodes)])
    rates = {"success": angles >= SUCCESS, "opened": angles > OPEN}
    return {name: asdict(wilson(int(hits.sum()), len(hits))) for name, hits in rates.items()} | {
        "angles": angles.tolist()
    }


if __name__ == "__main__":
    with user_errors():
        main()
