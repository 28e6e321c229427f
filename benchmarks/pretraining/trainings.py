"""The trainings: networks without actions, and policies that begin with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.pretraining.compute import Budget
from benchmarks.pretraining.study import IMAGENET, Row, Study
from benchmarks.trainings import train_once
from robolearn.representation.pretrain import pretrain
from robolearn.training.run import Run
from robolearn.training.signals import passed_on


def pretrained(study: Study, method: str, fraction: float, budget: Budget) -> Path:
    """A pre-training on a share of the demonstrations: the one that is there, or a new one."""
    steps = 2 if study.dry else budget.pretraining(method)
    run = study.work / "eyes" / f"{method}-{fraction:.0%}-{steps}-{study.seed}"
    with passed_on():
        return pretrain(study.pretraining(method, study.count(fraction), steps, run))


def trained(study: Study, row: Row, fraction: float, budget: Budget) -> Run:
    """A policy of a row."""
    steps = budget.policy(row)
    cfg = dataclasses.replace(study.recipe(fraction), steps=steps)
    begin: dict[str, Any] = {}
    if row.method is not None:
        begin = {"init": pretrained(study, row.method, 1.0 if row.whole else fraction, budget), "freeze": row.freeze}
    elif row == IMAGENET:
        begin = {"network": "resnet18_imagenet", "init": study.imagenet}
    cfg = dataclasses.replace(cfg, vision=dataclasses.replace(cfg.vision, **begin))
    name = f"{fraction:.0%}-{row.name.replace('/', '-')}-{steps}"
    return train_once(name, cfg, study.seed, study.data, study.work / "policies", dry=study.dry)
