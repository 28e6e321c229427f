"""Measure the latency of finished units again, all in one go: rows compare only if the machine was equally quiet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from robolearn.bench.measuring import LATENCY_REPEATS
from robolearn.bench.unit import Unit
from robolearn.policies.policy import Policy
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import measure_latency
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run


def measure_again(units: Sequence[Unit], device: torch.device) -> Iterator[str]:
    """Replace p50 and p99 in the results of complete units; yield a line per setting.

    Units that are not complete, whose run is elsewhere, or that another process works on, are left alone.
    """
    for unit in units:
        with unit.claim() as is_mine:
            here = is_mine and not unit.missing() and (unit.directory / "run").exists()
            result = unit.result() if here else {}
            for name, measured in result.get("settings", {}).items():
                run = Run.open(unit.directory / "run")
                policy, cfg = Policy.load(run.checkpoint("last"), device=device, **measured["runtime"]), run.config()
                first = roll_out(
                    policy,
                    cfg.env,
                    [0],
                    execution=Execution(cfg.exec_horizon),
                    seed=unit.task.parts["evaluation"].start,
                )[0]
                measured |= measure_latency(policy, first, LATENCY_REPEATS)
                yield f"{unit.name}, {name}: p50 {measured['p50_ms']:.2f} ms, p99 {measured['p99_ms']:.2f} ms"
            if result:
                unit.write(result)
