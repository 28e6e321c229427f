"""What a sweep trains and compares; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.files import take_paths


@dataclass(frozen=True)
class SweepConfig:
    """What is trained, how often, and how it is evaluated."""

    recipes: tuple[str, ...]
    """Names of recipes, or run directories whose options are one; RECIPE or RUN."""
    seeds: tuple[int, ...] = tuple(seeds.TRAININGS[:3])
    """Training seeds."""
    steps: int | None = None
    """Training steps; by default those of each recipe."""
    episodes: int = 200
    """Episodes of each evaluation of the last checkpoint, from the same starts for all."""
    out: Path | str = Path("runs/sweep")
    """Where runs and results go."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and evaluate."""
    threads: int = 1
    """CPU threads of each training."""

    def __post_init__(self) -> None:
        take_paths(self, "out")
        if not self.recipes or not self.seeds:
            raise UserError("a sweep needs a recipe and `seeds`, at least one of each")
        for values in ([Path(recipe).name for recipe in self.recipes], [f"seed {seed}" for seed in self.seeds]):
            if len(set(values)) < len(values):
                raise UserError(f"a sweep has {max(values, key=values.count)} twice")
