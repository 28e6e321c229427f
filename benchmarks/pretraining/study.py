"""What is compared, as data: tasks, rows, and what all parts of a task share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import part
from benchmarks.perception import shifts_of
from robolearn import seeds
from robolearn.data.store import DemoStore
from robolearn.representation.config import PretrainConfig
from robolearn.representation.registry import METHODS
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.recipes import RECIPES

PART, TARGET = "pretraining", 0.1
TRAININGS, CONFIRMED, EPISODES = 3, 5, 240  # of a row, of one that is confirmed, and of each training
FRACTIONS, DRY_FRACTIONS = (0.1, 0.3, 1.0), (0.5, 1.0)  # of the demonstrations; with the first, all rows are measured
FRAMES = 8  # of an episode that probes are made on
DRY_FRACTION_HELD = 0.4


def avoid_state(store: DemoStore, rows: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Where the rod is, and the rows of obstacles, which follow from the seed [n, 5]."""
    shifts = shifts_of(store.episode_attrs["seed"][:count]).repeat(FRAMES, axis=0)
    return np.concatenate([rows["state"][:, :2], shifts], axis=1)


def pusht_state(store: DemoStore, rows: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Where pusher and block are, and the sine and cosine of the block's angle [n, 6]."""
    angle = rows["state"][:, 4:]
    return np.concatenate([rows["state"][:, :4], np.sin(angle), np.cos(angle)], axis=1)


@dataclass(frozen=True)
class Task:
    """Where policies are compared.

    Attributes:
        train: Options of every row.
        env: Where policies are rolled out.
        number: What of an episode counts.
        camera: Key of the images.
        truth: The true state [n, d] of frames, of a store, rows of its states, and the number of episodes.
    """

    train: TrainConfig
    env: EnvConfig
    number: str
    camera: str
    truth: Callable[[DemoStore, Mapping[str, np.ndarray], int], np.ndarray]


TASKS = {
    "avoid_pixels": Task(
        RECIPES["avoid-pixels"], EnvConfig("envs:robolearn/AvoidPixels-v0"), "success", "image", avoid_state
    ),
    "pusht": Task(
        TrainConfig(
            dataset=DatasetConfig(obs_keys=("img", "agent_pos"), obs=("agent_pos=state[:2]",)),
            env=(
                pixels := EnvConfig(
                    "gym_pusht:gym_pusht/PushT-v0",
                    {"obs_type": "pixels_agent_pos"},
                    obs=("img=pixels", "agent_pos=agent_pos"),
                )
            ),
            exec_horizon=4,
            steps=12_000,
            batch_size=64,
        ),
        pixels,
        "score",
        "img",
        pusht_state,
    ),
}


@dataclass(frozen=True)
class Row:
    """How the networks of a policy begin.

    Attributes:
        name: Of the row.
        method: They were pre-trained by; None for none.
        whole: Whether on the images of all demonstrations.
        freeze: Whether they stay as they are.
        confirmed: Whether it is of those that the target is about, or that tell why it is missed.
    """

    name: str
    method: str | None = None
    whole: bool = True
    freeze: bool = False
    confirmed: bool = False


SCRATCH, SHORT, IMAGENET = Row("scratch", confirmed=True), Row("short", confirmed=True), Row("imagenet")
TOLD = Row("told", confirmed=True)
"""Sees no images; see told.py."""


def rows_of(best: str | None, imagenet: Path | None, *, fewest: bool) -> list[Row]:
    """What is compared: all of it with the fewest demonstrations, else what is confirmed.

    While the best method is not known, that is what does not depend on it.
    """
    rows = [SCRATCH, SHORT, *(Row(f"{method}/all", method, confirmed=method == best) for method in METHODS)]
    if best is not None:
        rows += [Row(f"{best}/same", best, whole=False), Row("frozen", best, freeze=True)]
    if imagenet is not None:
        rows.append(IMAGENET)
    return [row for row in rows if row.confirmed or fewest]


def trainings_of(row: Row, *, fewest: bool) -> range:
    """Seeds of a row's trainings."""
    return seeds.TRAININGS[: CONFIRMED if row.confirmed and fewest else TRAININGS]


@dataclass(frozen=True)
class Study:
    """What all parts of a training share.

    Attributes:
        name: Of the task.
        data: Demonstrations.
        work: Folder of runs.
        out: File of the numbers.
        seed: Of the training.
        imagenet: Weights of ImageNet, if any.
        dry: Whether sizes are tiny.
    """

    name: str
    data: Path
    work: Path
    out: Path
    seed: int
    imagenet: Path | None
    dry: bool

    @property
    def task(self) -> Task:
        """Its task."""
        return TASKS[self.name]

    @property
    def episodes(self) -> range:
        """Seeds of the episodes that are rolled out."""
        return seeds.EVALUATION[: 2 if self.dry else EPISODES]

    @cached_property
    def content(self) -> str:
        """sha256 of the demonstrations."""
        return DemoStore.open(self.data).content_hash()

    def is_fewest(self, fraction: float) -> bool:
        """Whether a share of the demonstrations is that with which all rows are measured."""
        return fraction == (DRY_FRACTIONS if self.dry else FRACTIONS)[0]

    def part(self, name: str, make: Callable[[], Mapping[str, Any]], asked: Mapping[str, Any] | None = None) -> Any:
        """A part of the results; see `common.part`."""
        return part(self.out, f"{PART}/{self.name}/{name}", make, asked)

    def count(self, fraction: float) -> int:
        """Demonstrations that a share of them is."""
        return round(fraction * DemoStore.open(self.data).num_episodes)

    def recipe(self, fraction: float) -> TrainConfig:
        """Options of a policy with a share of the demonstrations."""
        cfg = dataclasses.replace(self.task.train, threads=1)
        held_out = DRY_FRACTION_HELD if self.dry else cfg.dataset.validation_fraction
        dataset = dataclasses.replace(
            cfg.dataset, path=self.data, num_episodes=self.count(fraction), validation_fraction=held_out
        )
        return dataclasses.replace(cfg, dataset=dataset)

    def pretraining(self, method: str, count: int, steps: int, out: Path) -> PretrainConfig:
        """Options of a pre-training, on as many demonstrations."""
        cfg = self.recipe(1.0)
        tiny = {"batch_size": 4, "validation_fraction": DRY_FRACTION_HELD, "log_every": 1} if self.dry else {}
        same = {"vision": cfg.vision, "cameras": (self.task.camera,), "num_episodes": count, "threads": 1}
        return PretrainConfig(self.data, METHODS[method](), seed=self.seed, steps=steps, out=out, **same, **tiny)
