"""A run's gate and safety set, opened for use: policies, decisions and fallback together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from robolearn import seeds
from robolearn.guard.calibrate import make_guarded
from robolearn.guard.controller import Fallback, GuardedController
from robolearn.guard.familiarity import FAMILIARITY, load_familiarity
from robolearn.guard.files import open_gate
from robolearn.guard.monitor import Monitor
from robolearn.guard.tube import open_set
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.evaluation import time_calls
from robolearn.rollout.execution import Execution
from robolearn.safety.certificate import Certificate, Source
from robolearn.safety.gate import Gate
from robolearn.safety.sets import SafetySet
from robolearn.safety.summary import GateSummary, budget_point, count_alarms, intervened_share
from robolearn.types import Trajectory


@dataclass(frozen=True)
class Guard:
    """What watches over a policy, and what is done instead.

    Attributes:
        ensemble: The acting policy first.
        gate: Decides by a score; None for none.
        fitted: The score's fitted part, by name.
        safety_set: Decides by what a chunk will do; None for none.
        certificates: What may be said of them.
        covered: Whether all certificates speak of how it is used here.
        fallback: See GuardedController.
        budget: See GuardedController.
    """

    ensemble: Ensemble
    gate: Gate | None
    fitted: dict[str, nn.Module]
    safety_set: SafetySet | None
    certificates: tuple[Certificate, ...]
    covered: bool
    fallback: Fallback
    budget: int | None

    @classmethod
    def open(
        cls,
        run: Path,
        ensemble: Ensemble,
        source: Source,
        seeds: range,
        *,
        gate: bool,
        safety_set: bool,
        fallback: Fallback,
        budget: int | None,
    ) -> Guard:
        """Read and check what was calibrated.

        Args:
            run: Run directory.
            ensemble: Of the run.
            source: How it is to be used.
            seeds: Of the episodes on which it is to be used.
            gate: Whether to use the gate.
            safety_set: Whether to use the safety set.
            fallback: See GuardedController.
            budget: See GuardedController.

        Raises:
            ValueError: See open_gate.
        """
        certificates: list[Certificate] = []
        opened_gate, opened_set, fitted = None, None, {}
        if gate:
            opened_gate, certificate = open_gate(run / "gate", source, seeds)
            certificates.append(certificate)
            names = [name for name in FAMILIARITY if name == opened_gate.score]
            fitted = load_familiarity(run / "gate", names, ensemble.device)
        if safety_set:
            opened_set, certificate = open_set(run / "tube", source, seeds)
            certificates.append(certificate)
        covered = all(certificate.covers(source) for certificate in certificates)
        return cls(ensemble, opened_gate, fitted, opened_set, tuple(certificates), covered, fallback, budget)

    def make_controller(self, policy: Any, num_envs: int, execution: Execution, *, seed: int) -> GuardedController:
        """For evaluate's ``make_controller``."""
        return make_guarded(
            policy,
            num_envs,
            execution,
            seed=seed,
            ensemble=self.ensemble,
            names=(self.gate.score,) if self.gate is not None else (),
            num_samples=self.gate.num_samples if self.gate is not None else 0,
            fitted=self.fitted,
            gate=self.gate,
            safety_set=self.safety_set,
            fallback=self.fallback,
            budget=self.budget,
        )

    def summarize(
        self, trajectories: Sequence[Trajectory], period: int, limited: Mapping[int, Sequence[Trajectory]]
    ) -> GateSummary:
        """What the gate did in episodes that replanned every ``period`` steps, and in the same with other budgets."""
        return GateSummary(
            None if self.gate is None else self.gate.score,
            np.inf if self.gate is None else self.gate.threshold,
            self.safety_set is not None,
            self.fallback,
            sum(certificate.alpha for certificate in self.certificates),
            self.covered,
            *count_alarms(trajectories),
            intervened_share(trajectories, period),
            period,
            tuple(budget_point(budget, runs, period) for budget, runs in limited.items()),
        )

    def measure_latency(self, trajectory: Trajectory, period: int, repeats: int = 100) -> dict[str, float]:
        """Time that score and gate take at a replanning of one environment, beside the policy's own.

        Returns:
            gate_p50_ms and gate_p99_ms; nothing without a gate.
        """
        if self.gate is None:
            return {}
        times = time_gate(self.gate, self.ensemble, self.fitted, trajectory, period, repeats)
        return {f"gate_{name}": value for name, value in times.items()}


def time_gate(
    gate: Gate, ensemble: Ensemble, fitted: Mapping[str, nn.Module], trajectory: Trajectory, period: int, repeats: int
) -> dict[str, float]:
    """p50_ms and p99_ms of a gate with its score, at a replanning of one environment.

    Args:
        gate: With its score.
        ensemble: The acting policy first.
        fitted: The score's fitted part, by name.
        trajectory: Supplies the observation but its images.
        period: Steps from one replanning to the next.
        repeats: Timed calls.
    """
    monitor = Monitor(ensemble, (gate.score,), gate.num_samples, 1, seed=seeds.FIXED, period=period, fitted=fitted)
    monitor.reset([0], [0])
    cfg, slot = ensemble.cfg, np.array([0])
    rows = np.zeros((1, cfg.obs_horizon), int)
    blank = {key: np.zeros((1, *shape), np.uint8) for key, shape in cfg.obs_shapes.items()}
    obs = {key: {**blank, **trajectory.obs}[key][rows] for key in cfg.obs_shapes}
    chunk = np.zeros((1, cfg.action_horizon, cfg.action_dim), np.float32)

    def judge() -> None:
        scores, _ = monitor.watch(slot, obs, chunk)
        gate.intervenes(scores[gate.score], np.array([False]))

    return time_calls(judge, repeats)
