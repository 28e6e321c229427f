"""What a pre-training is asked to do; written into its run as pretrain.json."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.config import check_above_zero, check_counts
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.keymap import KeyMap
from robolearn.nets.descent import FitConfig
from robolearn.nets.vision import VisionConfig
from robolearn.paths import place_of
from robolearn.representation.autoencoder import AutoencoderConfig
from robolearn.representation.method import MethodConfig


@dataclass(frozen=True)
class PretrainConfig:
    """What a pre-training is asked to do: all of it, so that the same again gives the same weights."""

    path: tuple[Path | str, ...] | Path | str
    """Demonstrations whose images are learned from: zarr directories or .zip files; several are mixed."""
    method: MethodConfig = field(default_factory=AutoencoderConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    cameras: tuple[str, ...] | None = None
    """Keys of the images to learn from, a network for each; by default all."""
    obs: tuple[str, ...] = ()
    """Keys made of those of the stores: NEW=SOURCE, as in img=pixels."""
    validation_fraction: float = 0.05
    """Share of the episodes held out for the validation loss and the picture, in (0, 1)."""
    num_episodes: int | None = None
    """Learn from a random subset of this many episodes, the one that `train` takes with the same number and seed."""
    cache_dir: Path | str | None = None
    """Where stores larger than memory are decoded to; by default robolearn's folder in the user's cache."""

    steps: int = 5_000
    """Optimizer steps."""
    batch_size: int = 64
    """Frames per step; with contrastive, each in two views."""
    lr: float = 1e-3
    """Largest learning rate of AdamW; it rises at first and falls to 0."""
    amp: Literal["auto", "on", "off"] = "auto"
    """bfloat16 autocast; auto: on CPUs that multiply bfloat16, not on GPUs."""
    seed: int = seeds.TRAININGS.start
    """Fixes the split, the initial weights, the batches and all that is drawn for them."""
    log_every: int = 100
    """Steps between records in metrics.jsonl, each with the held-out loss."""
    checkpoint_every: int = 500
    """Steps after which what there is is saved."""

    out: Path | str | None = None
    """Run directory; by default runs/<time>-pretrain."""
    overwrite: bool = False
    """Replace the pre-training in the directory given by --out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""

    def __post_init__(self) -> None:
        KeyMap.parse(self.obs)
        object.__setattr__(self, "path", self.paths)
        take_paths(self, "cache_dir", "out")
        if not self.paths:
            raise UserError("name a store, or several, whose images are to be learned from")
        if self.vision.freeze:
            raise UserError("`vision.freeze`: nothing would be learned; it is for the training of a policy")
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"`validation_fraction` {self.validation_fraction:g} must be in (0, 1)")
        check_counts(self, ("steps", "batch_size", "log_every", "checkpoint_every"))
        check_above_zero(self, "lr", spec="g")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must be at least 0")
        if self.cameras is not None and len(set(self.cameras)) < len(self.cameras):
            raise UserError(f"`cameras` {' '.join(self.cameras)}: one is given twice")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The stores, one or several."""
        return (place_of(self.path),) if isinstance(self.path, str | os.PathLike) else tuple(map(place_of, self.path))

    @property
    def keymap(self) -> KeyMap:
        """What `obs` says."""
        return KeyMap.parse(self.obs)

    def same_training(self) -> PretrainConfig:
        """What decides the weights: options that may be others where a pre-training goes on are left out."""
        free = {"out": None, "cache_dir": None, "checkpoint_every": 1, "device": "auto", "threads": None}
        return dataclasses.replace(self, **free, overwrite=False)

    @property
    def fit(self) -> FitConfig:
        """How the weights are found."""
        return FitConfig(self.steps, self.batch_size, self.lr)
