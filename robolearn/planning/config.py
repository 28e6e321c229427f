"""What a plan run is asked to do; written into it as config.json. Nothing heavy is imported: a command's help needs it.

The names are those of `DynamicsConfig`, `FitConfig` and `PlannerConfig`, which are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.config import check_above_zero, check_counts
from robolearn.dynamics.config import ICEMConfig, PlannerConfig, Propagation, SearchConfig
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.rollout.env_config import EnvConfig

COUNTS = ("horizon", "num_members", "hidden", "depth", "fit_steps", "batch_size", "random_episodes")


@dataclass(frozen=True)
class PlanConfig:
    """What a plan run is asked to do: all of it, so that the same again makes the same trials."""

    env: EnvConfig
    out: Path | str
    """Directory to write, or to go on with if it was begun with the same settings."""
    search: SearchConfig = field(default_factory=ICEMConfig)
    trials: int = 10
    """Episodes that are planned, those of earlier calls included."""
    random_episodes: int = 1
    """Episodes of random actions before them, which the first model is fitted to."""
    seed: int = seeds.PLANNING.start
    """Seed of the first episode, each takes the next one; it fixes actions, models and plans too."""
    overwrite: bool = False
    """Begin anew in a directory that holds another plan run."""

    model: Literal["ensemble", "simulator"] = "ensemble"
    """What plans are tried in: an ensemble that is fitted to all episodes so far, or copies of the environment."""
    num_members: int = 5
    """Networks of the ensemble; 1 for a single one."""
    probabilistic: bool = True
    """Networks tell the variance of the next state beside its mean; without, the mean alone."""
    hidden: int = 128
    """Width of their hidden layers."""
    depth: int = 2
    """Hidden layers."""
    angles: tuple[int, ...] = ()
    """Numbers of the state that are angles [rad] and go on beyond a full turn: networks see their sine and cosine."""
    obs_keys: tuple[str, ...] | None = None
    """Observations that make the state, one after the other; by default all but images."""
    reward: str | None = None
    """Function MODULE:NAME of states before, actions and states after, numpy arrays [..., s], [..., a], [..., s], that
    returns rewards [...]; by default the ensemble learns them."""
    termination: str | None = None
    """Function MODULE:NAME of the same that returns whether the episode ends there, bool [...]; by default the ensemble
    learns it, once an episode has ended."""

    fit_steps: int = 2000
    """Optimizer steps of each fit."""
    batch_size: int = 64
    """Transitions per step and network."""
    lr: float = 1e-2
    """Largest learning rate of AdamW; it rises at first and falls to 0."""

    horizon: int = 15
    """Actions that are planned ahead."""
    propagation: Propagation = "ts1"
    """Which network a particle asks: ts1, another one at every step; tsinf, the same all along."""
    num_particles: int = 10
    """Particles per plan, a multiple of the networks."""

    def __post_init__(self) -> None:
        take_paths(self, "out")
        check_counts(self, COUNTS)
        if self.trials < 0 or self.seed < 0:
            raise UserError(f"`trials` {self.trials} and `seed` {self.seed} must be at least 0")
        check_above_zero(self, "lr")
        if self.obs_keys is not None and len(set(self.obs_keys)) < len(self.obs_keys):
            raise UserError(f"`obs_keys` {' '.join(self.obs_keys)}: a key is given twice")
        if self.num_particles < 1 or self.num_particles % self.num_members:
            raise UserError(
                f"`num_particles` {self.num_particles} must be a multiple of the {self.num_members} `num_members`"
            )
        if self.model == "simulator" and (self.reward or self.termination):
            raise UserError("`model` simulator has its own rewards and ends; leave out `reward` and `termination`")

    @property
    def planner(self) -> PlannerConfig:
        """How to plan."""
        return PlannerConfig(self.horizon, self.num_particles, self.propagation, self.search)

    @property
    def num_episodes(self) -> int:
        """All that are asked for, the random ones included."""
        return self.random_episodes + self.trials
