"""Which camera shall a policy believe? The one whose networks agree, beside each alone and both together.

    python -m benchmarks.views [--dataset datasets/avoid_pixels.zarr] [--out docs/results/lecture.json]

The rows of AvoidPixels are seen by two cameras. In each episode one of them, either as likely, has a bad day: all of
its images are degraded in one way (see robolearn/perception/degrade.py), each with a strength of its own. Training saw
none of that. An ensemble per camera reads the rows' places, and a policy acts on its own state and on what is read, in
every step anew. Declared before anything was measured:

* chosen: the reading of the camera whose members disagree least;
* top, front: always that camera; the best fixed one is the one that did best in these very episodes;
* random: the reading of a camera that is drawn in every step, either as likely; mean: of both readings;
* input: a policy that was trained on both readings, of images as they are;
* true: the rows where they are, which no policy could know; clean: the best fixed camera on good days alone.

A training has ensembles, readings and policies of its own seed. Intervals span trainings and starts.

Source: Shi et al. 2021, arXiv:2011.07748.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.avoid_read import ID, READ, VIEWS
from benchmarks.common import keep_part, options, parsed, part
from benchmarks.perception import DRY_FIT, FIT, TRAINING_FRAMES, Frames, draw, trained
from benchmarks.trainings import NUMBERS, facts_of, gain, line, summarize, train_once
from robolearn import DemoStore, DemoWriter, seeds
from robolearn.data.attrs import StoreAttrs
from robolearn.errors import user_errors
from robolearn.perception.ensemble import PerceptionEnsemble
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.starts import start_of
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run
from robolearn.types import Episode, Trajectory

TRAININGS, EPISODES, ENVS = 3, 200, 4
INPUTS = {"rows": ("state", "rows"), "both": ("state", "top", "front")}
"""What a policy sees: places of the rows, from wherever; or the readings of both cameras."""


def prepare(dataset: Path, seed: int, work: Path, *, dry: bool) -> Path:
    """Ensembles of a training, and the demonstrations with what they read; give the store."""
    folder, store = work / f"ensembles-{seed}", work / f"read-{seed}.zarr"
    if store.exists():
        return store
    source = DemoStore.open(dataset)
    episodes = [source.episode(index) for index in range(source.num_episodes)]
    frames = evenly(source, episodes)
    ensembles = {view: trained(frames, view, seed, folder, DRY_FIT if dry else FIT) for view in VIEWS}
    readings = {view: read_frames(ensembles[view], frames.images[view]) for view in VIEWS}
    attrs = StoreAttrs(env_id=ID, control_dt=source.attrs.control_dt, obs_keys=("state", "rows", *VIEWS))
    begun = store.with_suffix(".part")
    DemoWriter.begin(begun, attrs=attrs).extend(
        [
            extended(episode, shifts, {view: readings[view][number] for view in VIEWS})
            for number, (episode, shifts) in enumerate(zip(episodes, frames.shifts, strict=True))
        ]
    )
    return begun.rename(store)


def evenly(source: DemoStore, episodes: list[Episode]) -> Frames:
    """Frames of the demonstrations at equal distances, drawn for all cameras."""
    states = [episode.obs["state"][nearest(len(episode.actions))[1]] for episode in episodes]
    return draw(source.episode_attrs["seed"], np.stack(states))


def nearest(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of the nearest drawn frame of each step [length], and the steps of the drawn ones [f]."""
    drawn = np.linspace(0, length - 1, TRAINING_FRAMES).round().astype(int)
    return np.abs(np.arange(length)[:, None] - drawn).argmin(1), drawn


def read_frames(ensemble: PerceptionEnsemble, images: np.ndarray) -> np.ndarray:
    """What its members read on average [e, f, 3] of images [e, f, h, w, c]."""
    with torch.inference_mode():
        return np.stack([ensemble(torch.from_numpy(part)).mean(0).numpy() for part in images])


def extended(episode: Episode, shifts: np.ndarray, readings: dict[str, np.ndarray]) -> Episode:
    """A demonstration with the rows' places [3], and with those that were read of its frames [f, 3]."""
    length = len(episode.actions)
    obs = {"state": episode.obs["state"], "rows": np.tile(shifts, (length, 1))}
    obs |= {view: read[nearest(length)[0]] for view, read in readings.items()}
    return Episode({key: rows.astype(np.float32) for key, rows in obs.items()}, episode.actions, episode.attrs)


def rolled(runs: dict[str, Run], name: str, ensembles: Path, episodes: range, *, degraded: bool) -> list[Trajectory]:
    """Episodes of a training with one of the readings."""
    kwargs, own = {"ensembles": str(ensembles.resolve()), "degraded": degraded}, name == "input"
    env = EnvConfig(ID, kwargs, obs=() if own else ("state=state", f"rows={name}"))
    run = runs["both" if own else "rows"]
    policy, execution = Policy.load(run.checkpoint("last")), Execution(run.config().exec_horizon)
    found = roll_out(policy, env, range(len(episodes)), execution=execution, seed=episodes.start, num_envs=ENVS)
    return [dataclasses.replace(one, start=where(one)) for one in found]


def where(trajectory: Trajectory) -> str:
    """Where an episode began, which is alike for all trainings; what is read there is not."""
    return start_of({"seed": np.array(trajectory.seed), "state": trajectory.obs["state"][0]})


def recipe(kind: str) -> TrainConfig:
    """That of Avoid, planned anew in every step, as what is read changes with each."""
    return dataclasses.replace(RECIPES["avoid"], dataset=DatasetConfig(obs_keys=INPUTS[kind]), exec_horizon=1)


def main() -> None:
    """Train, roll out, and keep the numbers of each reading as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/avoid_pixels.zarr"), help="demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/views"), help="folder of ensembles, stores and runs")
    args = parsed(parser)
    torch.set_num_threads(1)
    count, episodes = (2, seeds.EVALUATION[:2]) if args.dry_run else (TRAININGS, seeds.EVALUATION[:EPISODES])
    args.work.mkdir(parents=True, exist_ok=True)
    trainings = []
    for seed in seeds.TRAININGS[:count]:
        store = prepare(args.dataset, seed, args.work, dry=args.dry_run)
        trainings.append(
            {kind: train_once(kind, recipe(kind), seed, store, args.work, dry=args.dry_run) for kind in INPUTS}
        )
    found: dict[str, Any] = {}
    for name in (*READ, "input", "clean"):
        shown = best_fixed(found) if name == "clean" else name

        def make(name: str = name, shown: str = shown) -> dict[str, Any]:
            each = [
                rolled(runs, shown, args.work / f"ensembles-{seed}", episodes, degraded=name != "clean")
                for seed, runs in enumerate(trainings)
            ]
            return {"env": name, **summarize(each, NUMBERS)}

        kind = "both" if name == "input" else "rows"
        facts = facts_of([runs[kind] for runs in trainings], episodes)
        found[name] = part(args.out, f"views/{name}", make, {**facts, "shown": shown})
        print(line(found[name]), flush=True)
    others = (best_fixed(found), "random", "mean", "input", "true")
    gains = {name: gain("success", found["chosen"], found[name]) for name in others}
    kept = {name: asdict(one) for name, one in gains.items()}
    keep_part(args.out, "views/chosen minus", {"best_fixed": best_fixed(found), **kept})
    for name, one in gains.items():
        print(f"chosen - {name}: {one:+.3f}")


def best_fixed(found: dict[str, Any]) -> str:
    """The camera with the larger success."""
    return max(VIEWS, key=lambda view: found[view]["success"]["value"])


if __name__ == "__main__":
    with user_errors():
        main()
