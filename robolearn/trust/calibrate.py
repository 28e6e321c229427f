"""From rollouts to a gate or a safety set with a certificate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from robolearn.errors import printable
from robolearn.mapper import Mapper
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.circumstances import circumstances
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.expert import Expert
from robolearn.rollout.kept import KeptEpisodes
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.spread import Spread
from robolearn.starts import judged
from robolearn.trust.calibrated_gate import BandCalibration, GateCalibration, ThresholdCalibration
from robolearn.trust.calibrated_set import CalibratedSet, calibrate_again, calibrate_set, choosing
from robolearn.trust.certificate import Certificate, Source, hash_json
from robolearn.trust.fallback import Fallback
from robolearn.trust.guarded import clearance, make_guarded
from robolearn.trust.sets import SafetySet
from robolearn.types import Trajectory


def watch(
    ensemble: Ensemble,
    env: EnvConfig,
    episodes: Sequence[int],
    *,
    names: Sequence[str],
    num_samples: int,
    execution: Execution,
    seed: int,
    num_envs: int = 32,
    fitted: Mapping[str, nn.Module] | None = None,
    on_done: Callable[[Trajectory], Any] | None = None,
    spread: Spread | None = None,
    **choices: Any,
) -> list[Trajectory]:
    """Roll the first member out and note scores at each replanning, without a gate; see roll_out, GuardedController."""
    return roll_out(
        ensemble.members[0],
        env,
        episodes,
        execution=execution,
        seed=seed,
        num_envs=num_envs,
        on_done=on_done,
        make_controller=partial(
            make_guarded, ensemble=ensemble, names=names, num_samples=num_samples, fitted=fitted, **choices
        ),
        needs_seeds=True,
        spread=spread,
    )


def check_environment(envs: ChunkedEnvs, fallback: Fallback) -> None:
    """Raise a UserError unless a safety set can act in environments, with this fallback."""
    clearance(envs)
    if fallback == "expert":
        Expert(envs)


def describe(certificate: Certificate) -> list[str]:
    """What a certificate says, in printable lines."""
    low, high = certificate.spread
    lines = [
        f"calibrated on {certificate.num_calibration} episodes",
        f"claim: {certificate.claim}",
        f"spread: the share that it bounds in the mean over calibrations lies within {low:.3f} and {high:.3f} in 95 % "
        "of those with so many episodes",
    ]
    if certificate.miss_spread is not None:
        low, high = certificate.miss_spread
        lines.append(f"spread of the misses: within {low:.3f} and {high:.3f}, or below")
    lines += [f"  - {condition}" for condition in certificate.conditions]
    return [printable(line) for line in lines]  # names of a stranger's file are among them


@dataclass(frozen=True)
class Rollouts:
    """What is rolled out to calibrate.

    Attributes:
        ensemble: The acting policy first.
        env: Where.
        execution: How chunks are executed.
        source: All of that by its hashes, the policy choosing alone.
        seed: Of the first episode.
        episodes: Of each calibration.
        num_envs: Side by side.
        fallback: What is done where a safety set acts and nothing is admissible.
        on_done: Called with every finished trajectory.
        mapper: Where episodes are rolled out; None for here.
        parts: Folder of those that had finished; None for none, where they are rolled out here.
    """

    ensemble: Ensemble
    env: EnvConfig
    execution: Execution
    source: Source
    seed: int
    episodes: int
    num_envs: int
    fallback: Fallback
    on_done: Callable[[Trajectory], Any] | None = None
    mapper: Mapper | None = None
    parts: Path | None = None

    def roll_out(
        self,
        first: int = 0,
        names: Sequence[str] = (),
        num_samples: int = 0,
        fitted: Mapping[str, nn.Module] | None = None,
        safety_set: SafetySet | None = None,
    ) -> list[Trajectory]:
        """Episodes from the first-th seed on, but for broken ones.

        Seeds are the draws: a start that they give often counts as often, as it will be met as often. To take each
        start once would calibrate for starts that are drawn evenly.

        Raises:
            UserError: All are broken, or the environment ignores seeds, so that episodes are no independent draws.
        """
        choices = {} if safety_set is None else {"safety_set": safety_set, "fallback": self.fallback}
        trajectories = watch(
            self.ensemble,
            self.env,
            range(self.episodes),
            names=names,
            num_samples=num_samples,
            execution=self.execution,
            seed=self.seed + first,
            num_envs=self.num_envs,
            fitted=fitted,
            on_done=self.on_done,
            spread=self._spread(first, names, num_samples, safety_set),
            **choices,
        )
        return judged(trajectories)

    def _spread(
        self, first: int, names: Sequence[str], num_samples: int, safety_set: SafetySet | None
    ) -> Spread | None:
        """Where episodes are rolled out, and kept."""
        if self.parts is None:
            return None
        source = self.source if safety_set is None else choosing(self.source, safety_set, self.fallback)
        around = circumstances(self.env, self.ensemble.device)
        fingerprint = hash_json([dataclasses.asdict(source), self.seed + first, list(names), num_samples, around])
        return Spread(self.mapper, KeptEpisodes(self.parts / str(first), fingerprint))

    def calibrate_gate(
        self,
        score: str,
        num_samples: int,
        alpha: float,
        beta: float | None = None,
        fitted: Mapping[str, nn.Module] | None = None,
        safety_set: SafetySet | None = None,
        *,
        band: bool = False,
    ) -> GateCalibration:
        """Episodes to derive a gate from, with a safety set acting or without one; or a band.

        Raises:
            UserError: A score is unknown, or NaN.
        """
        trajectories = self.roll_out(names=(score,), num_samples=num_samples, fitted=fitted, safety_set=safety_set)
        source = self.source if safety_set is None else choosing(self.source, safety_set, self.fallback)
        kind = BandCalibration if band else ThresholdCalibration
        return kind.from_trajectories(trajectories, source, score, num_samples, alpha, beta)

    def calibrate_set(self, key: str, position: tuple[int, ...], alpha: float, rounds: int) -> CalibratedSet:
        """A safety set on episodes of the policy alone; then round by round on episodes in which the last one acts.

        It ends after so many rounds, or once a set is confirmed.

        Raises:
            UserError: See calibrate_set and GuardedController.
        """
        calibrated_set = calibrate_set(self.roll_out(), key, position, self.execution.period, alpha, self.source)
        for number in range(1, rounds + 1):
            acting = calibrated_set.safety_set
            trajectories = self.roll_out(first=number * self.episodes, safety_set=acting)
            calibrated_set = calibrate_again(calibrated_set, trajectories, choosing(self.source, acting, self.fallback))
            if calibrated_set.confirmed:
                break
        return calibrated_set
