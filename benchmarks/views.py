"""Which camera shall a policy believe? The one whose networks agree, beside each alone and both together.

    python -m benchmarks.views [--dataset datasets/avoid_pixels.zarr] [--seeds 0 1 2 3 4] \
        --out docs/results/lecture.json

The rows of AvoidPixels are seen by two cameras. In each episode one of them, either as likely, has a bad day: all of
its images are degraded in one way (see robolearn/perception/degrade.py), each with a strength of its own. Training saw
none of that. An ensemble per camera reads the rows' places, and a policy acts on its own state and on what is read, in
every step anew. Declared before anything was measured:

* chosen: the reading of the camera whose members disagree least;
* top, front: always that camera; the best fixed one is the one that did best in these very episodes;
* random: the reading of a camera that is drawn in every step, either as likely; mean: of both readings;
* input: a policy that was trained on both readings, of images as they are;
* true: the rows where they are, which no policy could know; top clean, front clean: a camera on good days alone.

A training has ensembles, readings and policies of its own seed. Intervals span trainings and starts. Three trainings
had been declared; that there would be five was decided when two were known, as Student's interval of three is wide.
Every row of a training is kept as soon as it is there, and the same command goes on. Several may share the work by
seeds.

Source: Shi et al. 2021, arXiv:2011.07748.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.avoid_read import ID, READ, VIEWS
from benchmarks.common import options, parsed, part
from benchmarks.perception import DRY_FIT, FIT, TRAINING_FRAMES, Frames, draw, trained
from benchmarks.trainings import NUMBERS, ByTraining, by_training, facts_of, line, summarize, train_once, trainings_in
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

PART, TRAININGS, EPISODES, ENVS = "views", seeds.TRAININGS[:5], 200, 4
INPUTS = {"rows": ("state", "rows"), "both": ("state", "top", "front")}
"""What a policy sees: places of the rows, from wherever; or the readings of both cameras."""


@dataclass(frozen=True)
class Shown:
    """What acts, and by what.

    Attributes:
        policy: A key of INPUTS.
        reading: One of READ, shown to the policy as the rows' places; None where it sees the readings as they are.
        degraded: Whether one camera has a bad day.
    """

    policy: str
    reading: str | None
    degraded: bool = True

    @property
    def obs(self) -> tuple[str, ...]:
        """Keys that the policy sees, of those that the environment has."""
        return () if self.reading is None else ("state=state", f"rows={self.reading}")


ROWS = {
    **{reading: Shown("rows", reading) for reading in READ},
    "input": Shown("both", None),
    **{f"{view} clean": Shown("rows", view, degraded=False) for view in VIEWS},
}


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


def rolled(run: Run, shown: Shown, ensembles: Path, episodes: range) -> list[Trajectory]:
    """Episodes of a training in one row."""
    kwargs = {"ensembles": str(ensembles.resolve()), "degraded": shown.degraded}
    env = EnvConfig(ID, kwargs, obs=shown.obs)
    policy, execution = Policy.load(run.checkpoint("last")), Execution(run.config().exec_horizon)
    trajectories = roll_out(policy, env, range(len(episodes)), execution=execution, seed=episodes.start, num_envs=ENVS)
    return [dataclasses.replace(one, start=where(one)) for one in trajectories]


def where(trajectory: Trajectory) -> str:
    """Where an episode began, which is alike for all trainings; what is read there is not."""
    return start_of({"seed": np.array(trajectory.seed), "state": trajectory.obs["state"][0]})


def recipe(kind: str) -> TrainConfig:
    """That of Avoid, planned anew in every step, as what is read changes with each."""
    return dataclasses.replace(RECIPES["avoid"], dataset=DatasetConfig(obs_keys=INPUTS[kind]), exec_horizon=1)


def successes(parts: Mapping[str, Any]) -> dict[str, ByTraining]:
    """Row -> its successes, of those that are measured, of parts below PART."""
    return {row: by_training(kept, "success") for row in ROWS if (kept := trainings_in(parts, row, TRAININGS))}


def best_fixed(success: Mapping[str, ByTraining]) -> str | None:
    """The camera with the larger success in the trainings that both have, if there are any."""
    common = set(success.get("top", {})) & set(success.get("front", {}))
    return max(VIEWS, key=lambda view: np.mean([success[view][seed] for seed in common])) if common else None


def main() -> None:
    """Train, roll out, and keep the numbers of each training and row as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/avoid_pixels.zarr"), help="demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/views"), help="folder of ensembles, stores and runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(TRAININGS))
    args = parsed(parser)
    torch.set_num_threads(1)
    trained_with, episodes = args.seeds, seeds.EVALUATION[:EPISODES]
    if args.dry_run:
        trained_with, episodes = args.seeds[:1], episodes[:2]
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in trained_with:
        store = prepare(args.dataset, seed, args.work, dry=args.dry_run)
        runs = {kind: train_once(kind, recipe(kind), seed, store, args.work, dry=args.dry_run) for kind in INPUTS}
        for row, shown in ROWS.items():

            def make(seed: int = seed, shown: Shown = shown, run: Run = runs[shown.policy]) -> dict[str, Any]:
                trajectories = rolled(run, shown, args.work / f"ensembles-{seed}", episodes)
                return {"env": ID, **summarize([trajectories], NUMBERS)}

            asked = {**facts_of([runs[shown.policy]], episodes), "shown": asdict(shown)}
            measured = part(args.out, f"{PART}/{row}/{seed}", make, asked)
            print(f"{row} {seed}: {line(measured)}", flush=True)


if __name__ == "__main__":
    with user_errors():
        main()
