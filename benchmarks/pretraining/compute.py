"""Equal compute: what a step of everything costs on this machine, and the steps that follow."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.common import CPU
from benchmarks.pretraining.study import IMAGENET, SCRATCH, Row, Study
from benchmarks.trainings import DRY
from robolearn.representation.pretrain import pretrain
from robolearn.representation.registry import METHODS
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit

SHARE = 1 / 3  # of the compute, for pre-training
TIMED, REPEATS, FEW = 100, 3, 50  # steps of a timing, timings of each case, demonstrations that they are made on


def costs(study: Study) -> dict[str, Any]:
    """CPU seconds of a step of everything that is trained: the median of some timings, and these themselves."""
    begun, timed = study.work / "timed", 2 if study.dry else TIMED
    few = min(FEW, study.count(1.0))

    def of_method(method: str) -> float:
        cfg = study.pretraining(method, few, 2 * timed, begun / method)
        marks: list[float] = []
        cfg = dataclasses.replace(cfg, log_every=timed, overwrite=True)
        pretrain(cfg, lambda record: marks.append(time.process_time()))
        return (marks[-1] - marks[-2]) / timed

    def of_policy(**vision: Any) -> float:
        cfg = study.recipe(1.0)
        dataset = dataclasses.replace(cfg.dataset, num_episodes=few)
        cfg = dataclasses.replace(cfg, dataset=dataset, vision=dataclasses.replace(cfg.vision, **vision))
        return step_seconds(dataclasses.replace(cfg, **DRY) if study.dry else cfg, timed)

    cases: dict[str, Callable[[], float]] = {method: lambda method=method: of_method(method) for method in METHODS}
    cases |= {
        "policy": of_policy,
        "frozen": lambda: of_policy(init=begun / next(iter(METHODS)), freeze=True),
    }
    if study.imagenet is not None:
        cases["imagenet"] = lambda: of_policy(network="resnet18_imagenet", init=study.imagenet)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(1 if study.dry else REPEATS):
        for name, case in cases.items():
            seconds[name].append(case())
    return {"step_s": {name: statistics.median(times) for name, times in seconds.items()}, "seconds": seconds}


class Marks(Hooks):
    """CPU time at each record of a training."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def record(self, record: Mapping[str, Any]) -> None:
        """Note the time."""
        self.seconds.append(time.process_time())


def step_seconds(cfg: TrainConfig, timed: int) -> float:
    """CPU seconds of an optimizer step, over so many of them behind as many others."""
    cfg = dataclasses.replace(cfg, steps=2 * timed, log_every=timed, checkpoint_every=2 * timed)
    _, state, windows, _, _ = assemble(cfg, open_demos(cfg), CPU)
    if not fit(state, windows, None, Processes(CPU), marks := Marks()):
        raise KeyboardInterrupt
    return (marks.seconds[1] - marks.seconds[0]) / timed


@dataclass(frozen=True)
class Budget:
    """Steps that cost as much as the policy from scratch does.

    Attributes:
        steps: Of that.
        step_s: What is trained -> CPU seconds of a step.
    """

    steps: int
    step_s: Mapping[str, float]

    def pretraining(self, method: str) -> int:
        """Steps of a method's share."""
        return self._rounded(SHARE * self.steps * self.step_s["policy"] / self.step_s[method])

    def policy(self, row: Row) -> int:
        """Steps of the policy of a row."""
        if row == SCRATCH:
            return self.steps
        kind = "imagenet" if row == IMAGENET else "frozen" if row.freeze else "policy"
        share = 1.0 if row == IMAGENET else 1 - SHARE
        return self._rounded(share * self.steps * self.step_s["policy"] / self.step_s[kind])

    def _rounded(self, steps: float) -> int:
        return max(10, 10 * round(steps / 10))
