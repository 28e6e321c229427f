"""What is compared, as data: rows, methods, and what all parts of a training share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robolearn import seeds
from robolearn.rollout.env_config import EnvConfig
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
SEEDS, EPISODES = [str(seed) for seed in seeds.TRAININGS[:3]], 240
RECIPE = RECIPES["avoid-pixels"]
STRONG = dataclasses.replace(RECIPE, vision=dataclasses.replace(RECIPE.vision, jitter=0.5, hue=0.5))
METHODS: dict[str, MethodConfig] = {
    "cyclegan": CycleGANConfig(),
    "dcgan": CycleGANConfig(networks="dcgan"),
    "cut": CutConfig(),
}
CONTROLS = ("plain", "lost", "jitter", "real")
ROWS = (*CONTROLS, *(f"{method}/{way}" for method in METHODS for way in ("demos", "eyes", "labels")))
JUDGED = "cyclegan/demos"
WAYS: dict[str, Side] = {"to real": "target", "to plain": "source"}
KINDS = ("recorded", "translated")
LABELS_KEPT = 0.9
DRY: dict[str, Any] = {"steps": 2, "checkpoint_every": 1, "validation_fraction": 0.3}


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
        asked = TranslatorConfig(*sides, run, cfg, cameras=(CAMERA,), seed=self.seed, threads=1, **tiny)
        if read_facts(train_translator(asked)).step < asked.steps:
            raise KeyboardInterrupt
        return run, "target" if turned else arrives

    def demonstrations(self, row: str) -> Path:
        """The store that a row learns from."""
        if not row.endswith("/demos"):
            return self.real if row == "real" else self.plain
        method = row.split("/")[0]
        store = self.work / f"{method}-{self.seed}.zarr"
        translate(self.plain, self.translator(method, "target")[0], store)
        return store
