"""How well a policy crosses fields that nobody has seen, by how many fields were demonstrated.

    python -m benchmarks.field [--sizes 100 300 1000 3000] [--seeds 0 1 2] [--out FILE.json] [--picture FILE.png]

The default policy is trained on so many demonstrations of AvoidField, each in a field of its own; every training seed
draws its own of one store, which is recorded first if it is not there. Then it crosses fields of the seeds for
evaluation: of the kind that was demonstrated, of more cylinders and of thicker ones. Intervals span trainings and
fields. What is there is neither trained nor measured again, and a training that was stopped goes on.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import options, parsed, part
from benchmarks.trainings import facts_of, line, measure, train_once
from envs.avoid_field import AvoidField
from envs.drivers import TaskEnv
from envs.fields import KINDS
from robolearn import EnvConfig, collect, seeds
from robolearn.errors import user_errors
from robolearn.training.config import DatasetConfig, TrainConfig

ENV = "envs:robolearn/AvoidField-v0"
SIZES, STORE, EPISODES = (100, 300, 1_000, 3_000), 4_000, 400
DRY_SIZES, DRY_STORE, DRY_EPISODES = (4, 5), 10, 2
DEMONSTRATED = "usual"
PICTURED, STEPS, SIZE = 2, 32, 240  # fields of each kind; steps of the expert; [px]


def recipe(size: int, threads: int, dry: bool) -> TrainConfig:
    """The default training, on so many demonstrations."""
    held_out = 0.5 if dry else DatasetConfig.validation_fraction
    return TrainConfig(dataset=DatasetConfig(num_episodes=size, validation_fraction=held_out), threads=threads)


def study(args: Any) -> None:
    """Train and measure what is missing, and keep the numbers of each size and kind as soon as they are there."""
    sizes, store, episodes = (DRY_SIZES, DRY_STORE, DRY_EPISODES) if args.dry_run else (args.sizes, STORE, EPISODES)
    demonstrations = args.work / "demonstrations.zarr"
    collect(ENV, store, demonstrations, env_kwargs={"field": DEMONSTRATED})
    for size in sizes:
        cfg = recipe(size, args.threads, args.dry_run)
        runs = [
            train_once(f"field-{size}", cfg, seed, demonstrations, args.work, dry=args.dry_run) for seed in args.seeds
        ]
        starts = seeds.EVALUATION[:episodes]
        for kind in KINDS:
            make = partial(measure, runs, EnvConfig(ENV, {"field": kind}), starts)
            measured = part(args.out, f"field/{size}/{kind}", make, facts_of(runs, starts))
            print(f"{size} demonstrations, {kind} fields:", line(measured), flush=True)


def picture(path: Path) -> None:
    """Two fields of each kind, with the rod on its way."""
    columns = []
    for kind in KINDS:
        env = TaskEnv(AvoidField(field=kind), "rgb_array", SIZE, SIZE)
        for seed in seeds.DEMONSTRATIONS[:PICTURED]:
            env.reset(seed=seed)
            for _ in range(STEPS):
                env.step(env.expert_action()[1])
            image = env.render()
            assert image is not None, "made to render"
            columns.append(image)
        env.close()
    Image.fromarray(np.concatenate(columns, axis=1)).save(path, optimize=True)


def main() -> None:
    """Study, and draw what was asked for."""
    parser = options(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds.TRAININGS[:3]))
    parser.add_argument("--work", type=Path, default=Path("runs/field"), help="folder of demonstrations and runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path, help="PNG of the fields, instead of the study")
    args = parsed(parser)
    if args.picture:
        picture(args.picture)
    else:
        study(args)


if __name__ == "__main__":
    with user_errors():
        main()
