"""What the training of a translator is asked to do; written into its run as translator.json."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.config import check_above_zero, check_counts
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.method import MethodConfig


@dataclass(frozen=True)
class TranslatorConfig:
    """What the training of a translator is asked to do: all of it, so that the same again gives the same weights."""

    source: Path | str
    """Store with images of one look, such as those of a simulation."""
    target: Path | str
    """Store with images of the other look; nothing but its images is learned from."""
    out: Path | str
    """Run directory; the same training goes on where it was stopped."""
    method: MethodConfig = field(default_factory=CycleGANConfig)
    cameras: tuple[str, ...] | None = None
    """Keys of the images to translate, each by networks of its own; by default all that both stores have."""
    validation_fraction: float = 0.05
    """Share of the episodes of either store that is held out for the picture, in (0, 1)."""
    cache_dir: Path | str | None = None
    """Where stores larger than memory are decoded to; by default robolearn's folder in the user's cache."""

    steps: int = 10_000
    """Optimizer steps, of generators and critics in turn."""
    batch_size: int = 1
    """Images of either side per step."""
    lr: float = 2e-4
    """Learning rate of Adam."""
    decay: float = 0.5
    """Share of the steps, at the end, over which the learning rate falls to 0, in [0, 1]."""
    seed: int = seeds.TRAININGS.start
    """Fixes the split, the initial weights, the batches and all that is drawn for them."""
    log_every: int = 100
    """Steps between records in metrics.jsonl."""
    checkpoint_every: int = 1_000
    """Steps after which what there is is saved, with a picture."""

    overwrite: bool = False
    """Replace the translator in the directory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""

    def __post_init__(self) -> None:
        take_paths(self, "source", "target", "out", "cache_dir")
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"`validation_fraction` {self.validation_fraction:g} must be in (0, 1)")
        check_counts(self, ("steps", "batch_size", "log_every", "checkpoint_every"))
        check_above_zero(self, "lr", spec="g")
        if not 0 <= self.decay <= 1:
            raise UserError(f"`decay` {self.decay:g} must be in [0, 1]")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must be at least 0")
        if self.cameras is not None and len(set(self.cameras)) < len(self.cameras):
            raise UserError(f"`cameras` {' '.join(self.cameras)}: one is given twice")

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: constant, then linear to zero, which it would reach behind the last.

        Source: Zhu et al. 2017, section 7.1.
        """
        falling = self.decay * self.steps
        return self.lr * min(1.0, (self.steps - step) / falling) if falling else self.lr

    def same_training(self) -> TranslatorConfig:
        """What decides the weights: options that may be others where a training goes on are left out."""
        stores = {name: Path(getattr(self, name)).absolute() for name in ("source", "target")}
        free = {"out": Path(), "cache_dir": None, "checkpoint_every": 1, "device": "auto", "threads": None}
        return dataclasses.replace(self, **stores, **free, overwrite=False)
