"""What is compared, as data: rows, methods, and what all parts of a training share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import DemoStore, seeds
from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES
from robolearn.translation.apply import translate
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cut import CutConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.method import MethodConfig, Side
from robolearn.translation.train import train_translator
from robolearn.translation.translator import read_facts

ENV, CAMERA, PART = "envs:robolearn/AvoidPixels-v0", "image", "translation"
PLAIN, REAL = EnvConfig(ENV), EnvConfig(ENV, kwargs={"look": "real"})
TRAININGS, CONFIRMED, EPISODES = seeds.TRAININGS[:3], seeds.TRAININGS[:5], 240  # of a row, and of what is judged
RECIPE = RECIPES["avoid-pixels"]
STRONG = dataclasses.replace(RECIPE, vision=dataclasses.replace(RECIPE.vision, jitter=0.5, hue=0.5))
METHODS: dict[str, MethodConfig] = {
    "cyclegan": CycleGANConfig(),
    "dcgan": CycleGANConfig(networks="dcgan"),
    "cut": CutConfig(),
}
CONTROLS = ("plain", "lost", "jitter", "jitter-plain", "real")
SEEN_PLAIN = ("plain", "jitter-plain")
ROWS = (*CONTROLS, *(f"{method}/{way}" for method in METHODS for way in ("demos", "eyes", "labels")))
JUDGED = "cyclegan/demos"
PROBED, FRAMES, PROBE_STEPS = 200, 8, 1200  # episodes of a store, a fifth of them held out, frames of each, and steps
WAYS: dict[str, Side] = {"to real": "target", "to plain": "source"}
KINDS = ("recorded", "translated")
LABELS = f"{JUDGED.split('/')[0]}/labels"
LEAST_COST, LABELS_KEPT = 0.2, 0.9
DRY: dict[str, Any] = {"steps": 2, "checkpoint_every": 1, "validation_fraction": 0.3}


def trainings_of(row: str) -> range:
    """Seeds of a row's trainings."""
    return CONFIRMED if row in (JUDGED, LABELS, "plain", "lost", "jitter", "jitter-plain") else TRAININGS


@dataclass(frozen=True)
class Study:
    """What all parts of a training share.

    Attributes:
        plain, real: Demonstrations.
        work: Folder of translators, translations and policies.
        out: File of the numbers.
        seed: Of the training.
        dry: Whether sizes are tiny.
    """

    plain: Path
    real: Path
    work: Path
    out: Path | None
    seed: int
    dry: bool

    @cached_property
    def images(self) -> dict[str, str]:
        """sha256 of the images of either store.

        Raises:
            UserError: A store is of another look, or its episodes begin where others do that must not.
        """
        stores = {"plain": DemoStore.open(self.plain), "real": DemoStore.open(self.real)}
        if not self.dry:
            check(stores)
        return {name: store.content_hash([CAMERA]) for name, store in stores.items()}

    def recipe(self, row: str) -> TrainConfig:
        """How its policy is trained."""
        return dataclasses.replace(STRONG if row.startswith("jitter") else RECIPE, threads=1, device="cpu")

    def asked(self, row: str) -> dict[str, Any]:
        """What the numbers of a row depend on: with anything else they are others."""
        method = METHODS.get(row.split("/")[0])
        shared = {"seed": self.seed, "images": self.images, "method": None if method is None else asdict(method)}
        if row.endswith("/labels"):
            return {**shared, "probe": [PROBED, FRAMES, PROBE_STEPS]}
        starts = {"starts_from": self.episodes.start, "starts": len(self.episodes)}
        cfg = self.recipe(row)
        return {**shared, **starts, "steps": cfg.steps, "jitter": cfg.vision.jitter, "hue": cfg.vision.hue}

    @property
    def episodes(self) -> range:
        """Seeds of the episodes that are rolled out."""
        return seeds.EVALUATION[: 2 if self.dry else EPISODES]

    def translator(self, method: str, arrives: Side) -> tuple[Path, Side]:
        """One that makes real images, or plain ones, and the side at which they arrive.

        It is the one that is there, or it is trained. A method that goes one way alone begins at the real ones to
        arrive at the plain ones, which are its target then.

        Raises:
            KeyboardInterrupt: Its training was stopped, so that there is nothing to measure.
        """
        cfg = METHODS[method]
        turned = arrives not in cfg.arrives_at
        sides = (self.real, self.plain) if turned else (self.plain, self.real)
        run = self.work / f"translator-{method}-{'back' if turned else 'there'}-{self.seed}"
        tiny = DRY if self.dry else {}
        same: dict[str, Any] = {"cameras": (CAMERA,), "seed": self.seed, "threads": 1, "device": "cpu", **tiny}
        asked = TranslatorConfig(*sides, run, cfg, **same)
        if read_facts(train_translator(asked)).step < asked.steps:
            raise KeyboardInterrupt
        return run, "target" if turned else arrives

    def demonstrations(self, row: str) -> Path:
        """The store that a row learns from."""
        if not row.endswith("/demos"):
            return self.real if row == "real" else self.plain
        method = row.split("/")[0]
        store = self.work / f"{method}-{self.seed}.zarr"
        translate(self.plain, self.translator(method, "target")[0], store, device="cpu", threads=1)
        return store


def check(stores: Mapping[str, DemoStore]) -> None:
    """Raise a UserError unless stores are of their looks, and no episode begins where another one does."""
    for (name, store), env in zip(stores.items(), (PLAIN, REAL), strict=True):
        if dict(store.attrs.env_kwargs) != dict(env.kwargs):
            raise UserError(f"{store.path}: is no store of {name} images; it was made with {store.attrs.env_kwargs}")
    plain, real = (store.episode_attrs["seed"] for store in stores.values())
    if np.intersect1d(plain, real).size or max(plain.max(), real.max()) >= seeds.DEMONSTRATIONS.stop:
        raise UserError(
            "episodes of the stores begin alike, or where policies are evaluated; collect with --seed 50000"
        )
