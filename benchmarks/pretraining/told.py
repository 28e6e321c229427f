"""What perfect eyes would be worth: policies of AvoidPixels that are told where the rows stand, and see no images.

    python -m benchmarks.pretraining.told datasets/avoid_pixels.zarr --out benchmarks/pretraining/raw.json.xz

No pre-training of the cameras can help more, as long as a policy makes the same of what it sees. The row `told` has the
demonstrations of the others, which its seed draws, their starts, and the recipe of `scratch` with all of its steps. It
was added when the rows of the first trainings were known: pre-trained policies fell behind those from scratch, though
their features told where the rows stand from the first step on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.avoid_told import ID
from benchmarks.common import options, parsed
from benchmarks.perception import shifts_of
from benchmarks.pretraining.study import DRY_FRACTIONS, FRACTIONS, TASKS, Study, trainings_of
from benchmarks.pretraining.study import TOLD as ROW
from benchmarks.trainings import line, measure, train_once
from robolearn import DemoStore, DemoWriter
from robolearn.data.attrs import StoreAttrs
from robolearn.errors import user_errors
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.device import choose_device
from robolearn.types import Episode

KEYS = ("state", "rows")
TASK = next(iter(TASKS))


def told_store(data: Path, work: Path) -> Path:
    """The demonstrations with the rows' places in place of images: those that are there, or new ones."""
    store = work / "told.zarr"
    if store.exists():
        return store
    source = DemoStore.open(data)
    shifts = shifts_of(source.episode_attrs["seed"]).astype(np.float32)
    attrs = StoreAttrs(env_id=ID, control_dt=source.attrs.control_dt, obs_keys=KEYS)
    begun = store.with_suffix(".part")
    DemoWriter.begin(begun, attrs=attrs).extend([told(source.episode(i), rows) for i, rows in enumerate(shifts)])
    return begun.rename(store)


def told(episode: Episode, rows: np.ndarray) -> Episode:
    """A demonstration with the rows' places [3] in place of images."""
    obs = {"state": episode.obs["state"], "rows": np.tile(rows, (len(episode.actions), 1))}
    return Episode(obs, episode.actions, episode.attrs)


def measured(study: Study, fraction: float) -> None:
    """Measure the success of a policy with a share of the demonstrations."""
    cfg = study.recipe(fraction)
    cfg = dataclasses.replace(cfg, dataset=dataclasses.replace(cfg.dataset, obs_keys=KEYS))

    def make() -> dict[str, Any]:
        name, store = f"told-{fraction:.0%}", told_store(study.data, study.work)
        run = train_once(name, cfg, study.seed, store, study.work, dry=study.dry)
        return measure([run], EnvConfig(ID), study.episodes)

    asked = {
        "demonstrations": study.count(fraction),
        "content": study.content,
        "seed": study.seed,
        "steps": cfg.steps,
        "pretraining_steps": 0,
        "starts_from": study.episodes.start,
        "starts": len(study.episodes),
    }
    result = study.part(f"{fraction:.0%}/{ROW.name}/{study.seed}", make, asked)
    print(f"{study.name}, {fraction:.0%}, {ROW.name}, seed {study.seed}: {line(result)}", flush=True)


def main() -> None:
    """Train and measure what is missing."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="demonstrations of AvoidPixels")
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--work", type=Path, default=Path("runs/told"), help="folder of the store and of runs")
    args = parsed(parser)
    choose_device("cpu", threads=1)
    args.work.mkdir(parents=True, exist_ok=True)
    for fraction in DRY_FRACTIONS[:1] if args.dry_run else args.fractions:
        trainings = trainings_of(ROW, fewest=fraction == FRACTIONS[0])
        for seed in trainings[:1] if args.dry_run else trainings:
            measured(Study(TASK, args.data, args.work, args.out, seed, None, args.dry_run), fraction)


if __name__ == "__main__":
    with user_errors():
        main()
