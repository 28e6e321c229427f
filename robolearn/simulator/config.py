"""What a learned simulator is asked to be and to tell."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.config import check_above_zero, check_counts
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.nets.backbone import BackboneConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.paths import place_of
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class SimulatorConfig:
    """How a simulator is learned, and from what; written into its directory as config.json."""

    stores: tuple[Path | str, ...] | Path | str
    """Recordings: demonstrations, and above all episodes of policies, failures among them."""
    out: Path | str
    """Directory to write, or to go on with if it was begun with the same settings."""
    family: FamilyConfig = field(default_factory=lambda: FlowConfig(steps=10))
    """Draws the next states."""
    backbone: BackboneConfig = field(default_factory=MLPConfig)
    """Its network."""
    obs_keys: tuple[str, ...] | None = None
    """Observations that make the state, one after the other; by default all that the first store declares but
    images."""
    assume_success: bool = False
    """Take the episodes of stores without `success` for successes, as demonstrations of others mostly are."""
    horizon: int = 8
    """States that are drawn at once, from as many actions. Best a divisor of the policies' exec_horizon."""
    history: int = 2
    """States that are seen, now included; 1 where a state tells its speed too."""
    steps: int = 20_000
    """Optimizer steps."""
    batch_size: int = 256
    """Windows per step."""
    lr: float = 1e-3
    """Peak learning rate."""
    ending_steps: int = 10_000
    """Optimizer steps of the network that tells when an episode ends, and how."""
    held_out: float = 0.1
    """Share of the episodes that nothing is learned from: accuracy is measured on them, and policies begin there."""
    seed: int = seeds.TRAININGS.start
    """Fixes the held-out episodes, the first weights and the batches."""
    device: Device = "auto"
    """Where to train."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stores", self.paths)
        take_paths(self, "out")
        if not self.stores:
            raise UserError("`stores` needs at least one store")
        check_counts(self, ("horizon", "history", "steps", "batch_size", "ending_steps"))
        if not 0 < self.held_out < 1:
            raise UserError(f"`held_out` {self.held_out} must be in (0, 1)")
        check_above_zero(self, "lr")
        if self.obs_keys is not None and len(set(self.obs_keys)) < len(self.obs_keys):
            raise UserError(f"`obs_keys` {' '.join(self.obs_keys)}: a key is given twice")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The stores, one or several."""
        several = (self.stores,) if isinstance(self.stores, str | os.PathLike) else self.stores
        return tuple(map(place_of, several))


@dataclass(frozen=True)
class AccuracyConfig:
    """How a simulator is compared with recorded episodes."""

    horizons: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    """Steps ahead."""
    samples: int = 16
    """Paths that are drawn from each start."""
    starts: int = 8
    """States of each held-out episode from which is predicted, evenly spread."""
    ensemble_steps: int = 5_000
    """Optimizer steps of the ensemble that it is compared with."""
    seed: int = seeds.FIXED
    """Of the noise."""

    def __post_init__(self) -> None:
        if not self.horizons or min(self.horizons) < 1:
            raise UserError("`horizons` must be numbers of steps, each at least 1")
        if self.samples < 2:
            raise UserError(f"`samples` {self.samples} must be at least 2, or there is no spread")
        if self.starts < 1 or self.ensemble_steps < 1:
            raise UserError(f"`starts` {self.starts} and `ensemble_steps` {self.ensemble_steps} must be at least 1")


@dataclass(frozen=True)
class RankConfig:
    """How policies are rolled out in a simulator."""

    episodes: int = 200
    """Episodes of each policy; they begin where held-out episodes of all stores do, shuffled alike every time."""
    checkpoint: str = "last"
    """Of each run: last, best, a step, or all that it keeps."""
    seed: int = seeds.FIXED
    """Noise of simulator and policy in episode i depends on (seed, i) only: the same for all policies."""
    num_envs: int = 32
    """Episodes side by side; does not change the result."""
    max_episode_steps: int | None = None
    """Length at which an episode is cut; by default that of the longest recording."""
    device: Device = "auto"
    """Where simulator and policies run."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""

    def __post_init__(self) -> None:
        if min(self.episodes, self.num_envs) < 1:
            raise UserError(f"`episodes` {self.episodes} and `num_envs` {self.num_envs} must be at least 1")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise UserError(f"`max_episode_steps` {self.max_episode_steps} must be at least 1")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")
