"""Few demonstrations of Push, 10, 30 and 100: what a Gaussian process makes of them, beside regression and tokens.

    python -m benchmarks.small_data DATA.zarr --out docs/results/lecture.json

Declared before anything is measured. DATA are the demonstrations of the results; of these every training draws its own,
by its seed, and holds none out. Families have their defaults, on the default MLP; all else is the recipe push, with as
many steps for each. Always the last checkpoint, from the same starts. What is asked: success of `gp` less that of
`regression`, which has the same network and lacks the process; `tokens` is the family of the recipe.
There is no target. What is there is not trained again. Intervals span trainings, with their demonstrations, and starts.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from benchmarks.common import options, parsed, part
from benchmarks.trainings import facts_of, line, measure, train_once
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.gp import GPConfig
from robolearn.policies.registry import FamilyConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES

PART, ENV = "small_data", EnvConfig("envs:robolearn/Push-v0")
COUNTS, DRY_COUNTS = (10, 30, 100), (3,)
TRAININGS, EPISODES = 3, 240
FAMILIES: dict[str, FamilyConfig] = {"gp": GPConfig(), "regression": RegressionConfig(), "tokens": TokensConfig()}


def recipe(family: str, count: int) -> TrainConfig:
    """Options of a training from so many demonstrations."""
    push = RECIPES["push"]
    dataset = dataclasses.replace(push.dataset, num_episodes=count, validation_fraction=0.0)
    return dataclasses.replace(push, family=FAMILIES[family], backbone=MLPConfig(), dataset=dataset)


def main() -> None:
    """Train and measure, and keep the numbers of each group as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/small_data"), help="folder of runs")
    args = parsed(parser)
    episodes = seeds.EVALUATION[: 2 if args.dry_run else EPISODES]
    for count in DRY_COUNTS if args.dry_run else COUNTS:
        for family in FAMILIES:
            runs = [
                train_once(f"{count}-{family}", recipe(family, count), seed, args.data, args.work, dry=args.dry_run)
                for seed in seeds.TRAININGS[: 1 if args.dry_run else TRAININGS]
            ]
            make = partial(measure, runs, ENV, episodes)
            measured = part(args.out, f"{PART}/{count}/{family}", make, facts_of(runs, episodes))
            print(f"{count} demonstrations, {family}:", line(measured), flush=True)


if __name__ == "__main__":
    with user_errors():
        main()
