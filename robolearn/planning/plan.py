"""The loop: act, see what came of it, fit the model to all that was seen, and plan the next episode in it.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114, algorithm 1. The model is fitted from its beginnings after every
episode, so that a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from robolearn.config import checked
from robolearn.dynamics.config import SEARCHES
from robolearn.dynamics.ensemble import DynamicsConfig, DynamicsEnsemble
from robolearn.dynamics.fit import Transitions, fit_dynamics, prediction_error
from robolearn.dynamics.plan import ModelReturns, Planner, Returns
from robolearn.errors import UserError
from robolearn.locks import hold
from robolearn.nets.descent import FitConfig
from robolearn.nets.threads import one_thread
from robolearn.planning.actor import Decide, Deciding
from robolearn.planning.config import PlanConfig
from robolearn.planning.directory import PlanRun, Steps, TrialResult
from robolearn.planning.functions import OfTransitions, load_function, on_tensors
from robolearn.planning.outcomes import Outcomes
from robolearn.planning.senses import Senses, senses_of
from robolearn.planning.simulator import SimulatorReturns, simulator_of
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.roll_out import attached_envs
from robolearn.rollout.streams import episode_stream
from robolearn.types import Trajectory

PLANS, FITS, RANDOM = range(3)  # streams of an episode


def plan(cfg: PlanConfig, *, on_trial: Callable[[TrialResult], None] = lambda _: None) -> PlanRun:
    """Plan trials until the directory `cfg.out` holds `cfg.trials`.

        run = plan(PlanConfig(EnvConfig("Pendulum-v1"), out="runs/pendulum", trials=5))

    Everything random follows from `cfg.seed`, so that the same settings make the same trials, on any number of threads
    and wherever a run was interrupted. What differs in the last bit between machines may make others.

    Args:
        cfg: What to do.
        on_trial: Called after each episode that is kept.

    Raises:
        UserError: The environment cannot be planned in, or fails; `out` holds something else. Finished trials are kept.
    """
    cfg = checked(cfg, SEARCHES)
    functions = {
        option: on_tensors(load_function(name, option), option, kind)
        for option, name, kind in (("reward", cfg.reward, "f"), ("termination", cfg.termination, "b"))
        if name is not None
    }
    senses = senses_of(cfg)
    cfg = dataclasses.replace(cfg, obs_keys=tuple(senses.obs_shapes))
    trials = Trials(cfg, senses, functions)  # what can be refused is refused before anything is written
    with one_thread(), hold(Path(cfg.out)), attached_envs(cfg.env, 1, trials.actor, needs_seeds=False) as envs:
        copies = simulator_of(envs, cfg.seed) if cfg.model == "simulator" else nullcontext()
        with copies as simulator:
            run = PlanRun.begin_or_go_on(cfg)
            trials.go_on(run, envs, simulator, on_trial)
    return run


class Trials:
    """Episodes one after the other, each planned in what the ones before have taught.

    Args:
        cfg: What to do.
        senses: What the environment shows and takes.
        functions: Of the user's own: "reward" and "termination", where they are given.

    Raises:
        UserError: An angle is no number of the state.
    """

    def __init__(self, cfg: PlanConfig, senses: Senses, functions: dict[str, OfTransitions]):
        self.cfg, self.senses, self.functions = cfg, senses, functions
        self.outcomes = Outcomes.from_episodes(senses.state_dim, functions, [])
        self._dynamics()  # refuses what does not fit
        self.actor = Deciding(senses, cfg.seed, self.begin)
        self.model: DynamicsEnsemble | None = None
        self.simulator: SimulatorReturns | None = None

    def go_on(
        self,
        run: PlanRun,
        envs: ChunkedEnvs,
        simulator: SimulatorReturns | None,
        on_trial: Callable[[TrialResult], None],
    ) -> None:
        """Act until all episodes are there, and fit the model to all of them.

        Raises:
            UserError: An episode broke, or a file is damaged.
        """
        self.simulator = simulator
        seen = [run.steps(episode) for episode in range(len(run.results()))]
        for episode in range(len(seen), self.cfg.num_episodes):
            fit_seconds = self._learn(run, seen) if episode >= self.cfg.random_episodes else 0.0
            result, steps = self._act(envs, episode, fit_seconds)
            run.add(result, steps)
            seen.append(steps)
            on_trial(result)
        self._learn(run, seen)

    def begin(self, episode: int) -> Decide:
        """What decides in an episode."""
        low, high, seed = self.senses.low, self.senses.high, self.cfg.seed
        if episode < self.cfg.random_episodes:
            rng = np.random.default_rng(episode_stream(seed, episode, RANDOM))
            return lambda _: rng.uniform(low.numpy(), high.numpy()).astype(np.float32)
        generator = torch.Generator().manual_seed(episode_stream(seed, episode, PLANS))
        if self.simulator is not None:
            self.simulator.begin(seed + episode)
        planner = Planner(self._returns(generator), low, high, self.cfg.planner, generator=generator)
        return lambda state: planner.act(torch.from_numpy(self.outcomes.padded(state))).numpy()

    def _returns(self, generator: torch.Generator) -> Returns:
        if self.simulator is not None:
            return self.simulator
        assert self.model is not None, "planning before learning"
        ended = self.outcomes.ended_at if self.outcomes.tells_ends else None
        return ModelReturns(self.model, self.outcomes.reward_of, self.cfg.planner, generator=generator, ended=ended)

    def _learn(self, run: PlanRun, seen: list[Steps]) -> float:
        """Fit the model to the episodes that were seen, unless that was done; return how long it took [s]."""
        if self.cfg.model == "simulator":
            return 0.0
        self.outcomes = Outcomes.from_episodes(self.senses.state_dim, self.functions, seen)
        dynamics = self._dynamics()
        if run.fitted() == len(seen) and (kept := run.model()).cfg == dynamics:
            self.model = kept
            return 0.0
        started, cfg = time.monotonic(), self.cfg
        parts = [self.outcomes.transitions(steps) for steps in seen]
        data = Transitions(
            *(np.concatenate(rows) for rows in zip(*(vars(part).values() for part in parts), strict=True))
        )
        fit = FitConfig(cfg.fit_steps, cfg.batch_size, cfg.lr)
        self.model = fit_dynamics(dynamics, data, fit, seed=episode_stream(cfg.seed, len(seen), FITS))
        run.keep(self.model, len(seen))
        return time.monotonic() - started

    def _dynamics(self) -> DynamicsConfig:
        cfg, learned = self.cfg, self.outcomes.count
        return DynamicsConfig(
            self.senses.state_dim + learned,
            self.senses.action_dim,
            cfg.angles,
            cfg.num_members,
            cfg.hidden,
            cfg.depth,
            cfg.probabilistic,
            learned,
            int(self.outcomes.end),
        )

    def _act(self, envs: ChunkedEnvs, episode: int, fit_seconds: float) -> tuple[TrialResult, Steps]:
        started = time.monotonic()
        limit = self.cfg.env.max_episode_steps
        (trajectory,) = run_episodes(envs, self.actor, [episode], max_steps=limit)
        seconds = time.monotonic() - started
        if trajectory.broken:
            raise UserError(f"environment {self.cfg.env.id}: episode {episode} is {trajectory.reason}")
        steps = Steps(self.senses.state(trajectory.obs), trajectory.actions, trajectory.rewards, trajectory.ended)
        return self._result(trajectory, steps, seconds, fit_seconds), steps

    def _result(self, trajectory: Trajectory, steps: Steps, seconds: float, fit_seconds: float) -> TrialResult:
        planned, error = trajectory.episode >= self.cfg.random_episodes, None
        if planned and self.model is not None:
            error = prediction_error(self.model, self.outcomes.transitions(steps))
        s = self.senses.state_dim
        return TrialResult(
            episode=trajectory.episode,
            kind="planned" if planned else "random",
            seed=trajectory.seed,
            total=float(steps.rewards.sum()),
            steps=len(steps.actions),
            reason=trajectory.reason,
            success=trajectory.success,
            model_error=None if error is None else float(np.sqrt(np.square(error[:s]).mean())),
            reward_error=None if error is None or not self.outcomes.reward else float(error[s]),
            seconds=seconds,
            fit_seconds=fit_seconds,
            ended=steps.ended,
        )
