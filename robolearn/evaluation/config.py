"""What an evaluation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from robolearn.errors import UserError
from robolearn.evaluation.acting import ActConfig
from robolearn.rollout.env_config import EnvConfig

MAX_EPISODES = 1_000_000


@dataclass(frozen=True)
class EvalConfig(ActConfig):
    """Options of an evaluation; episode i starts from seed + i."""

    episodes: int = 200
    """Episodes."""
    num_envs: int = 32
    """Environments side by side; does not change the result."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of the training run."""
    budgets: tuple[int, ...] = ()
    """Roll out once more with each of these budgets, for the report: success at so many steps at most."""
    record_interventions: Path | None = None
    """Write what the expert did when it took over as a store to train on, next to the demonstrations."""
    videos: int = 3
    """Videos of successes, and as many of failures."""
    out: Path | None = None
    """Where the results go; by default RUN/eval."""

    def __post_init__(self) -> None:
        if not (1 <= self.episodes <= MAX_EPISODES and self.num_envs >= 1):
            raise UserError(
                f"`episodes` {self.episodes} must be in 1..{MAX_EPISODES}, `num_envs` {self.num_envs} at least 1"
            )
        if self.videos < 0:
            raise UserError(f"`videos` {self.videos} must not be negative")
        if not self.is_watched and (
            self.record_interventions or self.fallback or self.budgets or self.budget is not None
        ):
            raise UserError("`fallback`, `budget`(s) and `record_interventions` need `gate` or `safety_set`")
