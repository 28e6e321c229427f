"""Which of several policies is best, by rolling them out in a learned simulator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from robolearn import seeds
from robolearn.config import checked, from_json, read_json, to_json
from robolearn.errors import UserError, warn
from robolearn.files import StrPath
from robolearn.policies.policy import Policy
from robolearn.report.results import SUMMARY_FILE
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.simulator.config import RankConfig
from robolearn.simulator.envs import SimulatedEnvs
from robolearn.simulator.model import LearnedSimulator
from robolearn.stats.ranks import kendall_estimate
from robolearn.stats.value import Estimate
from robolearn.training.device import choose_device
from robolearn.training.run import Run
from robolearn.types import Trajectory, is_image

ALL = "all"  # checkpoints of a run
DECIDES = ("id", "kwargs", "max_episode_steps", "obs", "success_key", "stop_on_success", "clip")
"""Of an environment: what is seen there, and what success is."""


@dataclass(frozen=True)
class Candidate:
    """A policy that is ranked.

    Attributes:
        run: Its run.
        checkpoint: Name of the checkpoint.
    """

    run: Run
    checkpoint: str

    @property
    def name(self) -> str:
        """For people."""
        return str(self.run.directory) if self.checkpoint == "last" else f"{self.run.directory} {self.checkpoint}"


@dataclass(frozen=True)
class Ranked:
    """What is known of a policy.

    Attributes:
        name: Of its run, and of its checkpoint where that is not the last.
        predicted: Success in the simulator. The interval is that of its episodes; how wrong the simulator is, is not
            in it.
        real: Success in the environment, where the run was evaluated.
    """

    name: str
    predicted: Estimate
    real: Estimate | None


@dataclass(frozen=True)
class Ranking:
    """Policies, best first.

    Attributes:
        entries: One per policy.
    """

    entries: tuple[Ranked, ...]

    @property
    def tau(self) -> Estimate | None:
        """Kendall's tau-b between predicted and real success, with an interval over policies.

        None with fewer than three evaluated policies, and where all of them are alike, predicted or real.
        """
        known = [(one.predicted.value, one.real.value) for one in self.entries if one.real is not None]
        if len(known) < 3 or any(len(set(numbers)) == 1 for numbers in zip(*known, strict=True)):
            return None
        return kendall_estimate(*np.array(known).T)

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        tau = self.tau
        return {"tau": None if tau is None else asdict(tau), "policies": [asdict(one) for one in self.entries]}


def rank_runs(
    simulator: LearnedSimulator | StrPath, runs: Sequence[StrPath] | StrPath, cfg: RankConfig | None = None
) -> Ranking:
    """Roll policies out in a learned simulator, and sort them by how often they succeed there.

        ranking = rank_runs("simulators/push", ["runs/a", "runs/b", "runs/c"])
        print(ranking.entries[0].name, ranking.tau)

    Where RUN/eval holds an evaluation of a run, its success stands beside the prediction. One of another checkpoint,
    in another environment, behind a translator, with a gate or safety set, with another sampler or of chunks that were
    executed otherwise is left out, with a warning.

    Raises:
        UserError: There is no such run or checkpoint, a policy sees what the simulator does not predict, or acts in
            another space.
    """
    cfg = checked(cfg or RankConfig())
    device = choose_device(cfg.device, threads=cfg.threads)
    if not isinstance(simulator, LearnedSimulator):
        simulator = LearnedSimulator.open(simulator, device=device)
    several = (runs,) if isinstance(runs, str | os.PathLike) else runs  # the letters of one are no runs
    candidates = [one for run in several for one in find_candidates(Run.open(run), cfg.checkpoint)]
    for one in candidates:
        check_sees(one, simulator)
    starts = shuffled_starts(simulator)
    ranked = [Ranked(one.name, predict(one, simulator, starts, cfg, device), real_success(one)) for one in candidates]
    return Ranking(tuple(sorted(ranked, key=lambda one: -one.predicted.value)))


def shuffled_starts(simulator: LearnedSimulator) -> Float[np.ndarray, "m s"]:
    """Where held-out episodes begin, in a random order that is the same every time.

    They lie store by store: in that order a few episodes would all begin where those of the first store do.
    """
    starts = np.stack([states[0] for states, _ in simulator.held_out()])
    return np.random.default_rng(seeds.FIXED).permutation(starts)


def find_candidates(run: Run, checkpoint: str) -> list[Candidate]:
    """The checkpoint of a run, or all that it keeps, in the order of their steps.

    Raises:
        UserError: There is no such checkpoint.
    """
    if checkpoint != ALL:
        run.checkpoint(checkpoint)
        return [Candidate(run, checkpoint)]
    steps = sorted(int(path.name) for path in run.checkpoints.iterdir() if path.name.isdigit())
    return [Candidate(run, "last" if step == run.last_step() else str(step)) for step in steps]


def check_sees(one: Candidate, simulator: LearnedSimulator) -> None:
    """Refuse a policy that the simulator cannot show what it looks at.

    Raises:
        UserError: It sees images.
    """
    shapes = one.run.policy_config().obs_shapes
    if seen := [key for key, shape in shapes.items() if is_image(shape)]:
        raise UserError(
            f"{one.name}: the policy sees images ({', '.join(seen)}), which {simulator.directory} cannot draw"
        )


def predict(
    one: Candidate,
    simulator: LearnedSimulator,
    starts: Float[np.ndarray, "m s"],
    cfg: RankConfig,
    device: torch.device,
) -> Estimate:
    """Success of a policy in the simulator."""
    summary = summarize(roll_out_in(one, simulator, starts, cfg, device), num_modes=None, control_dt=1.0)
    assert summary.success is not None, "the simulator tells of success"
    return summary.success


def roll_out_in(
    one: Candidate,
    simulator: LearnedSimulator,
    starts: Float[np.ndarray, "m s"],
    cfg: RankConfig,
    device: torch.device,
) -> list[Trajectory]:
    """Episodes of a policy in the simulator.

    Raises:
        UserError: It sees or does what the simulator does not know.
    """
    policy, trained = Policy.load(one.run.checkpoint(one.checkpoint), device=device), one.run.config()
    num_envs = min(cfg.num_envs, cfg.episodes)
    controller = Controller(policy, num_envs, own_execution(one.run), seed=cfg.seed)
    keys = tuple(policy.cfg.obs_shapes)
    envs = SimulatedEnvs(simulator, num_envs, starts, keys, obs=trained.env.obs, max_steps=cfg.max_episode_steps)
    envs.fit(policy.cfg.obs_shapes, policy.cfg.action_dim, policy.cfg.images)
    return run_episodes(envs, controller, range(cfg.episodes))


def real_success(one: Candidate) -> Estimate | None:
    """What an evaluation of the last checkpoint, RUN/eval, found of the policy as it was trained and where it was."""
    path: Path = one.run.directory / "eval" / SUMMARY_FILE
    if one.checkpoint != "last" or not path.exists():
        return None
    content: Any = read_json(path)
    success = content.get("summary", {}).get("success") if isinstance(content, dict) else None
    if success is None or "partial" in content:
        return None
    if departs := departures(content.get("evaluated"), one.run):
        warn(f"{path}: the evaluation is left out, {departs}")
        return None
    return from_json(Estimate, success, {}, str(path))


def departures(evaluated: Any, run: Run) -> str:
    """What of an evaluation is not the run's own; empty where nothing is.

    Args:
        evaluated: What summary.json says of it.
        run: The run.
    """
    if not isinstance(evaluated, dict):
        return "it does not say of what it is; evaluate again"
    trained, there = run.config().env, evaluated.get("env", {})
    if evaluated.get("checkpoint") != run.checkpoint("last").resolve().name:
        return f"it is of checkpoint {evaluated.get('checkpoint')}"
    if with_it := [name for name in ("translator", "gate", "safety_set") if evaluated.get(name)]:
        return f"it is with a {with_it[0].replace('_', ' ')}"
    mine = to_json(trained, {})
    if other := [name for name in DECIDES if trained.id is not None and there.get(name) != mine[name]]:
        return f"its environment has another `env.{other[0]}`"
    sampled, family = evaluated.get("sampling", {}), run.config().family  # older ones do not say
    if other := [name for name, value in sampled.items() if getattr(family, name, None) != value]:
        return f"its policy was asked with another `{other[0]}`"
    acts, did = to_json(own_execution(run), {}), evaluated.get("execution", {})  # older ones do not say
    other = [name for name, value in acts.items() if did.get(name, value) != value]
    return f"it executes chunks with another `{other[0]}`" if other else ""


def own_execution(run: Run) -> Execution:
    """How chunks of a run are executed where nothing else is asked for, as they are in the simulator."""
    return Execution().with_defaults(run.config().exec_horizon)
