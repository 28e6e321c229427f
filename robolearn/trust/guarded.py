"""The controller with a gate: at each replanning the plan is scored, and replaced where the gate does not trust it.

    observation -> samples -> the admissible -> plan -> scores -> gate -> the plan, or the fallback's actions

Up to the first intervention an episode is the same as without a gate: the scores draw from streams of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from robolearn.contract import ChunkResult
from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.controller import Controller
from robolearn.rollout.execution import Execution
from robolearn.rollout.expert import Expert
from robolearn.trust.fallback import Fallback
from robolearn.trust.gate import Gate
from robolearn.trust.monitor import Monitor
from robolearn.trust.scores.samples import most_agreed
from robolearn.trust.sets import Distance, SafetySet
from robolearn.types import INTERVENING, Array

ADMISSIBLE = "admissible"  # signal: share of the candidates that are, with a safety set


class GuardedController(Controller):
    """Drives ``num_envs`` environments with one policy, and does something else where a gate says so.

    Args:
        policy: See Controller.
        num_envs: See Controller.
        execution: See Controller; without delay and ensembling.
        seed: See Controller.
        monitor: Scores the plans.
        gate: Decides by the scores; None for none.
        safety_set: Only admissible candidates are executed, and where none is the fallback acts; None for none.
        fallback: watch, only note it; hold, repeat the last executed action, which for actions that are targets
            is to stand still; replan, execute the sample on which the members agree most; retreat, go back along
            the executed actions; expert, let the scripted expert drive; stop, end the episode.
        budget: Most steps of an episode under intervention of the gate, after which it is silent; a safety set is
            not. None for no limit.

    Raises:
        UserError: A choice is unknown, or the policy cannot be executed like this.
    """

    def __init__(
        self,
        policy: Policy,
        num_envs: int,
        execution: Execution,
        *,
        seed: int,
        monitor: Monitor | None,
        gate: Gate | None = None,
        safety_set: SafetySet | None = None,
        fallback: Fallback = "watch",
        budget: int | None = None,
    ):
        super().__init__(policy, num_envs, execution, seed=seed)
        if execution.ensembling is not None or execution.delay:
            raise UserError("a gate replaces whole plans: it takes no ensembling and no delay")
        if fallback not in get_args(Fallback):
            raise UserError(f"fallback {fallback!r} is unknown; choose from {', '.join(get_args(Fallback))}")
        if budget is not None and budget < 0:
            raise UserError(f"budget {budget} must not be negative")
        if safety_set is not None and fallback in ("watch", "replan"):
            raise UserError(f"fallback {fallback} could execute a chunk that is not admissible; choose another")
        self.monitor, self.gate, self.fallback, self.budget = monitor, gate, fallback, budget
        self.safety_set = safety_set
        self.distance: Distance = no_distance
        self.admissible = np.ones(num_envs)  # share of the candidates
        self.intervening = np.zeros(num_envs, bool)
        self.episodes = np.zeros(num_envs, int)
        self.spent = np.zeros(num_envs, int)
        self.planned = np.zeros((num_envs, execution.period, policy.cfg.action_dim), np.float32)
        self.path: list[list[Array]] = [[] for _ in range(num_envs)]
        self.notes: list[list[dict[str, float]]] = [[] for _ in range(num_envs)]
        self.expert: Expert | None = None

    def attach(self, envs: ChunkedEnvs) -> None:
        """Take the distance and the expert of the environments, where they are needed.

        Raises:
            UserError: The fallback or the safety set needs what they do not offer.
        """
        if self.safety_set is not None:
            self.distance = clearance(envs)
        if self.fallback == "expert":
            self.expert = Expert(envs)

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """See Controller."""
        super().reset(slots, episodes, obs)
        if self.monitor is not None:
            self.monitor.reset(slots, episodes)
        if self.expert is not None:
            self.expert.reset(slots)
        for slot, episode in zip(slots, episodes, strict=True):
            self.intervening[slot], self.spent[slot], self.episodes[slot] = False, 0, episode
            self.path[slot], self.notes[slot] = [], []

    def act(self, active: Array) -> Array:
        """See Controller."""
        slots = np.flatnonzero(active)
        chunks = self._choose(slots, self._sample(slots))
        scores: dict[str, Array] = {}
        samples = None
        if self.monitor is not None:
            obs = {key: history[slots] for key, history in self.history.items()}
            scores, samples = self.monitor.watch(slots, obs, chunks)
        asked = self._decide(slots, scores)
        if self.budget is not None:
            asked &= self.spent[slots] < self.budget
        self.intervening[slots] = asked | (self.admissible[slots] == 0)
        for i, slot in enumerate(slots.tolist()):
            note = {name: float(values[i]) for name, values in scores.items()}
            if self.safety_set is not None:
                note[ADMISSIBLE] = float(self.admissible[slot])
            self.notes[slot].append({**note, INTERVENING: bool(self.intervening[slot])})
        if self.fallback == "replan" and samples is not None:
            self._replan(slots, chunks, samples)
        self.schedule.plan(slots, chunks)
        self.planned = self.schedule.execute(slots)
        self._replace(slots[self.intervening[slots]])
        return self.planned

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """See Controller."""
        if self.expert is None:
            return super().step(envs, actions, active)
        self.planned, chunk = self.expert.step(envs, actions, active)
        return self.planned, chunk

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """See Controller."""
        super().observe(obs, num_steps)
        self.spent += np.where(self.intervening, num_steps, 0)
        for slot in np.flatnonzero(num_steps).tolist():
            if not (self.intervening[slot] and self.fallback == "retreat"):
                self.path[slot].extend(self.planned[slot, : num_steps[slot]].copy())

    def signals(self, slot: int) -> dict[str, Array]:
        """Scores, whether there was an intervention, and with a safety set the share of admissible candidates."""
        notes = self.notes[slot]
        return {name: np.array([note[name] for note in notes]) for name in (notes[0] if notes else ())}

    def _choose(self, slots: Array, candidates: Tensor) -> Array:
        """One chunk [t, a] for each environment, of the admissible ones where there are any."""
        if self.safety_set is None:
            return super()._choose(slots, candidates)
        chunks, state = candidates.cpu().numpy(), self.history[self.safety_set.key][slots, -1]
        admissible = self.safety_set.admissible(state, chunks, self.distance)
        self.admissible[slots] = admissible.mean(1)
        # The first admissible one stands for those that are not: sampling goes on as if they had not been drawn.
        stand_in = np.where(admissible, np.arange(chunks.shape[1]), admissible.argmax(1)[:, None])
        rows = torch.from_numpy(np.arange(len(slots))[:, None])
        return super()._choose(slots, candidates[rows, torch.from_numpy(stand_in)])

    def _decide(self, slots: Array, scores: dict[str, Array]) -> Array:
        """Which of these environments get an intervention until the next replanning, [s]."""
        if self.gate is None:
            return np.zeros(len(slots), bool)
        before = np.array([len(self.notes[slot]) for slot in slots.tolist()])
        return self.gate.intervenes(scores[self.gate.score], self.intervening[slots], before)

    def _replan(self, slots: Array, chunks: Array, samples: Tensor) -> None:
        """Put the most agreed sample in the place of the plan, where there is an intervention."""
        assert self.monitor is not None, "it has drawn the samples"
        choice, replaced = most_agreed(samples), np.flatnonzero(self.intervening[slots])
        normalizer = self.policy.normalizer
        for i in replaced.tolist():
            chunk = samples[0, i, choice[i]].to(self.policy.device)
            chunks[i] = normalizer.unnormalize("action", chunk).cpu().numpy()
        self.monitor.replace(slots[replaced], chunks[replaced])

    def _replace(self, slots: Array) -> None:
        """Let the fallback act in these environments; what the policy had planned there is void.

        Where nothing was executed yet and nothing is admissible, there is no place known to hold or to go back to:
        the episode is stopped.
        """
        if self.fallback in ("hold", "retreat"):
            lost = [slot for slot in slots.tolist() if not self.path[slot] and self.admissible[slot] == 0]
            self.stopped[lost] = True
        match self.fallback:
            case "hold":
                for slot in slots.tolist():
                    path = self.path[slot]
                    self.planned[slot] = path[-1] if path else self.planned[slot, 0]
            case "retreat":
                for slot in slots.tolist():
                    self.planned[slot] = _backwards(self.path[slot], self.planned[slot])
            case "expert":
                assert self.expert is not None, "attach comes first"
                self.expert.drive(self.intervening)
            case "stop":
                self.stopped[slots] = True
        if self.fallback in ("hold", "retreat", "expert"):
            for slot in slots.tolist():
                self.schedule.clear(slot)
            if self.monitor is not None:
                self.monitor.forget(slots)


def clearance(envs: ChunkedEnvs) -> Distance:
    """The environments' distance to what must not be touched.

    Raises:
        UserError: They tell none.
    """
    if envs.facts.clearance is None:
        raise UserError("safety set: the environment tells no distance to what must not be touched")
    return envs.facts.clearance


def no_distance(positions: Array) -> Array:
    """Nothing is in the way."""
    return np.full(positions.shape[:-1], np.inf)


def _backwards(path: list[Array], planned: Array) -> Array:
    """Take the last h actions off a path, the last first; at its beginning, stay."""
    if not path:
        return np.broadcast_to(planned[0], planned.shape)
    back = [path.pop() if len(path) > 1 else path[0] for _ in planned]
    return np.stack(back)


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
    """A controller with a monitor, if there is something to watch; for roll_out's ``make_controller``."""
    monitor = None
    if names:
        sample = choices.get("fallback") == "replan"
        monitor = Monitor(
            ensemble, names, num_samples, num_envs, seed=seed, period=execution.period, fitted=fitted, sample=sample
        )
    return GuardedController(policy, num_envs, execution, seed=seed, monitor=monitor, **choices)
