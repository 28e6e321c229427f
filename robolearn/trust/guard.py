"""A run's gate and safety set, opened for use: policies, decisions and fallback together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from robolearn import seeds
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout import latency
from robolearn.rollout.execution import Execution
from robolearn.starts import judged
from robolearn.trust.calibrated_gate import GateCalibration
from robolearn.trust.calibrated_set import SetCalibration, choosing
from robolearn.trust.certificate import Certificate, Source
from robolearn.trust.conformal.bands import CONSTANT
from robolearn.trust.fallback import Fallback
from robolearn.trust.files import open_gate, open_set
from robolearn.trust.gate import Gate
from robolearn.trust.guarded import GuardedController, make_guarded
from robolearn.trust.monitor import Monitor
from robolearn.trust.scores.fitted import load_fitted
from robolearn.trust.sets import Motion, SafetySet
from robolearn.trust.summary import (
    GateSummary,
    Promise,
    TubeSummary,
    budget_point,
    count_alarms,
    intervened_share,
    share_of,
)
from robolearn.types import Trajectory


@dataclass(frozen=True)
class Guard:
    """What watches over a policy, and what is done instead.

    Attributes:
        ensemble: The acting policy first.
        gate: Decides by a score; None for none.
        fitted: The score's fitted part, by name.
        safety_set: Decides by what a chunk will do; None for none.
        promises: What each promises, "gate" and "safety set".
        gaps: Why a certificate does not speak of how it is used here, in words; none where all do.
        fallback: See GuardedController.
        budget: See GuardedController.
    """

    ensemble: Ensemble
    gate: Gate | None
    fitted: dict[str, nn.Module]
    safety_set: SafetySet | None
    promises: dict[str, Promise]
    gaps: tuple[str, ...]
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
            UserError: See open_gate.
        """
        opened: dict[str, tuple[GateCalibration | SetCalibration, Certificate]] = {}
        opened_gate, opened_set, fitted = None, None, {}
        if gate:
            calibration, certificate = open_gate(run / "gate", source, seeds)
            opened["gate"], opened_gate = (calibration, certificate), calibration.derive_gate()
            fitted = load_fitted(run / "gate", [opened_gate.score], ensemble.device)
        if safety_set:
            calibrated, certificate = open_set(run / "tube", source, seeds)
            opened["safety set"], opened_set = (calibrated.calibration, certificate), calibrated.safety_set
        used = source if opened_set is None else choosing(source, opened_set, fallback)
        promises = {name: Promise(made.alpha, *certified.spread) for name, (made, certified) in opened.items()}
        gaps = tuple(f"{name}: {gap}" for name, (made, _) in opened.items() if (gap := made.source.gap(used)))
        return cls(ensemble, opened_gate, fitted, opened_set, promises, gaps, fallback, budget)

    @property
    def covered(self) -> bool:
        """Whether all certificates speak of how it is used here."""
        return not self.gaps

    def make_controller(self, policy: Any, num_envs: int, execution: Execution, *, seed: int) -> GuardedController:
        """For roll_out's ``make_controller``."""
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
        """What the gate did in episodes that replanned every ``period`` steps, and in the same with other budgets.

        Broken episodes do not count.
        """
        trajectories = judged(trajectories)
        everyone, successes, failures = count_alarms(trajectories)
        return GateSummary(
            score=None if self.gate is None else self.gate.score,
            threshold=np.inf if self.gate is None else self.gate.threshold,
            band=() if self.gate is None or self.gate.form == CONSTANT else self.gate.form.limits(self.gate.threshold),
            promise=self.promises.get("gate"),
            safety_set=self.safety_set is not None,
            tube=self._summarize_tube(trajectories),
            fallback=self.fallback,
            covered=self.covered,
            alarmed=everyone,
            alarmed_successes=successes,
            alarmed_failures=failures,
            intervened=intervened_share(trajectories, period),
            period=period,
            budgets=tuple(budget_point(budget, judged(runs), period) for budget, runs in limited.items()),
        )

    def _summarize_tube(self, trajectories: Sequence[Trajectory]) -> TubeSummary | None:
        if self.safety_set is None:
            return None
        left = self.safety_set.left([Motion.from_trajectory(t, self.safety_set.key) for t in trajectories])
        return TubeSummary(share_of(trajectories, left), self.promises["safety set"])

    def measure_latency(self, trajectory: Trajectory, period: int) -> dict[str, float]:
        """Time that score and gate take at a replanning of one environment, beside the policy's own.

        Returns:
            What time_calls says, with gate_ in front; nothing without a gate.
        """
        if self.gate is None:
            return {}
        times = time_gate(self.gate, self.ensemble, self.fitted, trajectory, period, latency.REPEATS)
        return {f"gate_{name}": value for name, value in times.items()}


def time_gate(
    gate: Gate, ensemble: Ensemble, fitted: Mapping[str, nn.Module], trajectory: Trajectory, period: int, repeats: int
) -> dict[str, float]:
    """What time_calls says of a gate with its score, at a replanning of one environment.

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
        gate.intervenes(scores[gate.score], np.array([False]), np.array([0]))

    return latency.time_calls(judge, repeats)
