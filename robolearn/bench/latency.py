"""Measure the latency of finished units again, all in one go: rows compare only if the machine was equally quiet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from robolearn.bench.breaker import FORWARD
from robolearn.bench.measuring import LATENCY_REPEATS
from robolearn.bench.unit import Unit
from robolearn.policies.policy import Policy
from robolearn.rollout.busy import busy_remark
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import planning, time_calls, times_in_turn
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run

ONE_EVALUATION_REPEATS = 1000
"""Of plans with one evaluation, by whose ratios rows are judged: 200 take a quarter of a second, and one in fifteen of
such ratios was off by 8 % when the machine changed its pace meanwhile."""


def measure_again(units: Sequence[Unit], device: torch.device) -> Iterator[str]:
    """Replace the times of a plan in the results of complete units; yield a line per setting.

    Each plan takes turns with one forward pass, a plan of the row FORWARD with the same seed where its run is here:
    a machine may be twice as fast a minute later. Units that are not complete, whose run is elsewhere, or that another
    process works on, are left alone.
    """
    for unit in units:
        with unit.claim() as is_mine:
            here = is_mine and not unit.missing() and (unit.directory / "run").exists()
            result = unit.result() if here else {}
            for name, measured in result.get("settings", {}).items():
                for key in ("cpu_ms", "waited"):  # of the measurement that is replaced
                    measured.pop(key, None)
                measured |= _times(unit, measured["runtime"], device)
                times = f"p50 {measured['p50_ms']:.2f} ms, p99 {measured['p99_ms']:.2f} ms"
                busy = busy_remark(measured)
                yield f"{unit.name}, {name}: {times}" + ("" if busy is None else f"; {busy}")
            if result:
                unit.write(result)


@torch.inference_mode()
def _times(unit: Unit, runtime: dict[str, Any], device: torch.device) -> dict[str, float]:
    """What time_calls says and, where it can be measured, forward_ms: p50 of a forward pass meanwhile."""
    run, forward = (Run(unit.runs / path / "run") for path in (unit.path, unit.beside(FORWARD)))
    policy, cfg = Policy.load(run.checkpoint("last"), device=device, **runtime), run.config()
    execution, start = Execution(unit.task.train.exec_horizon), unit.task.parts["evaluation"].start
    first = roll_out(policy, cfg.env, [0], execution=execution, seed=start)[0]
    if forward.last_step() is None:
        return time_calls(planning(policy, first), LATENCY_REPEATS)
    plain = Policy.load(forward.checkpoint("last"), device=device)
    repeats = ONE_EVALUATION_REPEATS if policy.family.nfe == 1 else LATENCY_REPEATS
    ours, theirs = times_in_turn([planning(policy, first), planning(plain, first)], repeats)
    return ours | {"forward_ms": theirs["p50_ms"]}
