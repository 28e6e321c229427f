"""How two trained runs are compared; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.evaluation.config import MAX_EPISODES, ActConfig, Sampling, Watch
from robolearn.rollout.env_config import EnvConfig


@dataclass(frozen=True)
class SideConfig(Sampling, Watch):
    """How one of two compared policies acts."""


@dataclass(frozen=True)
class CompareConfig:
    """Options of a comparison of two policies, A and B; pair i is one episode of each from seed + i."""

    by: Literal["success", "score", "return"] = "success"
    """What is compared: success, the best score along the way, or the return as a share of --env.return-range."""
    margin: float | None = None
    """Ask whether B is not worse than A by more than this, in [0, 1); by default whether B is better than A."""
    alpha: float = 0.05
    """Probability of a wrong verdict, however often one looks and whenever one stops."""
    max_episodes: int = 500
    """Pairs of episodes after which it is left undecided."""
    seed: int = seeds.EVALUATION.start
    """Pair i starts from seed + i; the noise of both policies depends on (seed, i) only."""
    num_envs: int = 16
    """Pairs side by side, which are rolled out between two looks; does not change the verdict."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policies run."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""
    out: Path | str | None = None
    """Where the pairs and the verdict go; by default a folder in RUN_B/compare, named after A and what is compared."""
    a: SideConfig = field(default_factory=SideConfig)
    """How A acts."""
    b: SideConfig = field(default_factory=SideConfig)
    """How B acts."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of both training runs."""

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 <= self.margin < 1:
            raise UserError(f"`margin` {self.margin:g} must be in [0, 1): a part of the range from failure to success")
        if not 0 < self.alpha <= 0.5:
            raise UserError(f"`alpha` {self.alpha:g} must be above 0 and at most 0.5")
        if not (1 <= self.max_episodes <= MAX_EPISODES and self.num_envs >= 1):
            ranges = f"must be in 1..{MAX_EPISODES}, `num_envs` {self.num_envs} at least 1"
            raise UserError(f"`max_episodes` {self.max_episodes} {ranges}")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")

    def acting(self, side: SideConfig) -> ActConfig:
        """How a side acts, with the seed, device and threads that both share."""
        chosen = {f.name: getattr(side, f.name) for f in fields(SideConfig)}
        return ActConfig(**chosen, seed=self.seed, device=self.device, threads=self.threads)
