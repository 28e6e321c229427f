"""How a trained run acts: its policy, the execution of its chunks, and what watches over it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robolearn.evaluation.config import ActConfig
from robolearn.files import StrPath
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.remote.sync import fetched
from robolearn.rollout.controller import Controller
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.training.device import choose_device, usable_device
from robolearn.training.run import Run
from robolearn.translation.translator import Translator
from robolearn.trust.certificate import hash_json
from robolearn.trust.files import describe_source, hash_file, hash_files
from robolearn.trust.guard import Guard


@dataclass(frozen=True)
class Acting:
    """A run, opened to act.

    Attributes:
        policy: Of the checkpoint.
        execution: How its chunks are executed.
        guard: What watches over it; None for nothing.
        checkpoint: Directory of the checkpoint.
    """

    policy: Policy
    execution: Execution
    guard: Guard | None
    checkpoint: Path

    @classmethod
    def open(cls, run: Run, cfg: ActConfig, env: EnvConfig, episodes: int) -> Acting:
        """Load what acts.

        Args:
            run: What was trained.
            cfg: How it acts.
            env: Where; a gate and a set are of one environment.
            episodes: How many are acted in, whose seeds must not be those of the calibration.

        Raises:
            UserError: There is no such checkpoint, translator, gate or set, or it does not fit.
        """
        device = choose_device(cfg.device, threads=cfg.threads)
        checkpoint, sampling = run.checkpoint(cfg.checkpoint), cfg.sampling
        policy = Policy.load(checkpoint, device=device, **sampling)
        if cfg.translator is not None:
            Translator.load(cfg.translator, device=device).put_before(policy.encoder, cfg.trained_side)
        execution = cfg.execution.with_defaults(run.config().exec_horizon)
        if not cfg.is_watched:
            return cls(policy, execution, None, checkpoint)
        checkpoints = run.members(cfg.checkpoint)
        others = [Policy.load(other, device=device, **sampling) for other in checkpoints[1:]]
        guard = Guard.open(
            run.directory,
            Ensemble([policy, *others]),
            describe_source(checkpoints, env, execution, sampling),
            range(cfg.seed, cfg.seed + episodes),
            gate=cfg.gate,
            safety_set=cfg.safety_set,
            fallback=cfg.acting_fallback,
            budget=cfg.budget,
        )
        return cls(policy, execution, guard, checkpoint)

    def describe(self, run: Run, cfg: ActConfig, env: EnvConfig, budget: int | None, around: list[Any]) -> str:
        """What an episode depends on beside its index, as a hash; see Acting.open.

        Args:
            run: What was trained.
            cfg: How it acts.
            env: Where.
            budget: Of the guard, if there is one.
            around: What it depends on beside all of this; see `circumstances`. It looks at environments, which whoever
                acts on a robot does without.
        """
        checkpoints = run.members(cfg.checkpoint) if cfg.is_watched else [self.checkpoint]
        calibrated = [run.directory / name for name, on in (("gate", cfg.gate), ("tube", cfg.safety_set)) if on]
        translator = [] if cfg.translator is None else [cfg.trained_side]
        for path in sorted(Path(cfg.translator).rglob("*")) if cfg.translator is not None else ():
            translator += [hash_file(path)] if path.is_file() else []
        watch = [cfg.acting_fallback, budget, *(hash_files(folder) for folder in calibrated)]
        source = dataclasses.asdict(describe_source(checkpoints, env, self.execution, cfg.sampling))
        watched = watch if cfg.is_watched else []
        return hash_json([source, cfg.seed, translator, watched, around])

    def make_controller(self, num_envs: int, *, seed: int) -> Controller:
        """What turns observations of so many environments into actions."""
        make = Controller if self.guard is None else self.guard.make_controller
        return make(self.policy, num_envs, self.execution, seed=seed)


def load_policy(
    path: StrPath, *, checkpoint: str | int = "last", device: torch.device | str = "cpu", **runtime: Any
) -> Policy:
    """Load a trained policy, to be asked for chunks by one's own code; safe on files from strangers.

        policy = load_policy(Path("runs/avoid"), steps=5)
        chunk = policy.act({"state": state}, policy.family.noise(1, generator=torch.Generator()))

    Args:
        path: A run, or a directory that `Policy.save` wrote.
        checkpoint: Of a run: last, best or a step.
        device: Where to put the weights: auto, or a device of torch.
        runtime: Run-time choices of the family, such as ``sampler`` and ``steps``.

    Raises:
        UserError: A file is missing, damaged or does not fit, a run-time choice is not valid, or there is no such
            device.
    """
    device = usable_device(device)
    path = fetched(path)
    run = Run(path)
    return Policy.load(run.checkpoint(str(checkpoint)) if run.exists() else path, device=device, **runtime)
