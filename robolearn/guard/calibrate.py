"""From episodes to a gate with a certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from robolearn import seeds
from robolearn.guard.controller import GuardedController
from robolearn.guard.monitor import Monitor
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.execution import Execution
from robolearn.safety.certificate import Calibration, Certificate, Source, certify, derive_gate, gate_claim
from robolearn.safety.conformal import smallest_number, too_few
from robolearn.safety.gate import Gate
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
) -> list[Trajectory]:
    """Roll the first member out and note scores at each replanning, without intervening; see evaluate."""
    return evaluate(
        ensemble.members[0],
        env,
        episodes,
        execution=execution,
        seed=seed,
        num_envs=num_envs,
        on_done=on_done,
        make_controller=partial(make_guarded, ensemble=ensemble, names=names, num_samples=num_samples, fitted=fitted),
    )


def make_guarded(
    policy: Any,
    num_envs: int,
    execution: Execution,
    *,
    seed: int,
    ensemble: Ensemble,
    names: Sequence[str],
    num_samples: int,
    fitted: Mapping[str, nn.Module] | None = None,
    **choices: Any,
) -> GuardedController:
    """A controller with a monitor, if there is something to watch; for evaluate's ``make_controller``."""
    monitor = None
    if names:
        sample = choices.get("fallback") == "replan"
        monitor = Monitor(
            ensemble, names, num_samples, num_envs, seed=seed, period=execution.period, fitted=fitted, sample=sample
        )
    return GuardedController(policy, num_envs, execution, seed=seed, monitor=monitor, **choices)


def check_calibration(episodes: int, seed: int, alpha: float) -> None:
    """Refuse to calibrate on too few episodes, or on such as others are judged by.

    Raises:
        ValueError: One line that says which.
    """
    if episodes < smallest_number(alpha):
        raise ValueError(too_few(episodes, alpha))
    for purpose, taken in seeds.TAKEN.items():
        if seed < taken.stop and taken.start < seed + episodes:
            raise ValueError(
                f"seeds {seed} .. {seed + episodes - 1} overlap with those of {purpose} ({taken.start} .. "
                f"{taken.stop - 1}); calibrate from {seeds.CALIBRATION.start} on"
            )


def derive(
    trajectories: Sequence[Trajectory],
    alpha: float,
    score: str,
    num_samples: int,
    *,
    source: Source,
    beta: float | None = None,
) -> tuple[Gate, Certificate, Calibration]:
    """Gate, certificate and what they rest on, from watched trajectories.

    Raises:
        ValueError: A score is NaN, too few episodes succeeded, or no threshold keeps both promises.
    """
    calibration = Calibration.of(trajectories, score)
    gate = derive_gate(calibration, alpha, score, num_samples, beta)
    return gate, certify(gate, calibration, alpha, source, gate_claim(gate, alpha, beta), beta), calibration
