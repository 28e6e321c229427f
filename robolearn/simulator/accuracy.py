"""How near a learned simulator is to what was recorded: the energy score of its paths, by steps ahead.

From states of held-out episodes on, the recorded actions are executed in the simulator. Beside it stand those who
know less:

    ensemble     the mean networks of an ensemble (robolearn/dynamics), each on a path of its own
    persistence  who says that the state stays

Distances are root mean squares over the numbers of a state, each in units of its standard deviation over all states
that the simulator learned from. A path that leaves the numbers has no distance: where one does there is no mean, since
that of the other starts would make the worst simulator a better one.

Source: Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from robolearn.config import checked, finite, write_json
from robolearn.data.normalizer import Normalizer, buffer_names
from robolearn.dynamics.ensemble import DynamicsConfig
from robolearn.dynamics.fit import Transitions, fit_dynamics
from robolearn.errors import UserError
from robolearn.files import StrPath, check_writable
from robolearn.nets.descent import FitConfig
from robolearn.simulator.config import AccuracyConfig
from robolearn.simulator.model import LearnedSimulator
from robolearn.simulator.transitions import STATE
from robolearn.stats.agreement import chunk_energy
from robolearn.stats.bootstrap import clustered_mean
from robolearn.stats.value import Estimate
from robolearn.types import Array

FILE = "accuracy.json"
BLOCK = 256  # starts that are predicted from at once
SIMULATOR, ENSEMBLE, PERSISTENCE = "simulator", "ensemble", "persistence"
Paths = Callable[[Array, Array], Array]
"""Histories [b, o, s] and actions [b, t, a] -> sampled states [b, n, t, s]."""


@dataclass(frozen=True)
class Accuracy:
    """Energy scores; less is better.

    Attributes:
        horizons: Steps ahead.
        episodes: Of each start, the number of its episode among the held-out ones.
        scores: Who predicts -> of each start and horizon [b, h]; NaN where the episode was over, infinite where a path
            had left the numbers.
    """

    horizons: tuple[int, ...]
    episodes: Array
    scores: dict[str, Array]

    def score(self, who: str, horizon: int) -> Estimate | None:
        """Mean over starts, with an interval over episodes; None where all episodes were over, or a path diverged."""
        return self._mean(self.scores[who][:, self.horizons.index(horizon)])

    def less(self, who: str, horizon: int) -> Estimate | None:
        """Score of the simulator less that of another, paired; below 0 the simulator is nearer."""
        column = self.horizons.index(horizon)
        return self._mean(self.scores[SIMULATOR][:, column], self.scores[who][:, column])

    def diverged(self, who: str, horizon: int) -> int:
        """At how many starts a path has left the numbers by so many steps."""
        return int(np.isinf(self.scores[who][:, self.horizons.index(horizon)]).sum())

    def to_json(self) -> dict[str, Any]:
        """Estimates."""

        def all_of(number: Callable[[str, int], Estimate | None], who: str) -> dict[str, Any]:
            estimates = {str(h): number(who, h) for h in self.horizons}
            return {h: asdict(estimate) for h, estimate in estimates.items() if estimate is not None}

        return {
            "score": {who: all_of(self.score, who) for who in self.scores},
            "simulator less": {who: all_of(self.less, who) for who in self.scores if who != SIMULATOR},
            "diverged": {who: {str(h): self.diverged(who, h) for h in self.horizons} for who in self.scores},
        }

    def _mean(self, values: Array, less: Array | float = 0.0) -> Estimate | None:
        known = ~np.isnan(values)
        if not known.any() or np.isinf(values).any() or np.isinf(less).any():
            return None
        groups = np.unique(self.episodes[known], return_inverse=True)[1]
        return clustered_mean((values - less)[known], groups)


def measure_accuracy(simulator: LearnedSimulator | StrPath, cfg: AccuracyConfig | None = None) -> Accuracy:
    """Compare a learned simulator with the episodes that it was not learned from, and keep it in its directory.

        accuracy = measure_accuracy("simulators/push")
        print(accuracy.score("simulator", 10), accuracy.less("ensemble", 10))

    Raises:
        UserError: The simulator is not complete, or no held-out episode is long enough.
        OSError: The file cannot be written; that is found out first.
    """
    cfg = checked(cfg or AccuracyConfig())
    simulator = simulator if isinstance(simulator, LearnedSimulator) else LearnedSimulator.open(simulator)
    learned, held_out = simulator.learned_from(), simulator.held_out()
    if max(len(actions) for _, actions in held_out) < min(cfg.horizons):
        raise UserError(f"`horizons`: no held-out episode goes on for {min(cfg.horizons)} steps")
    check_writable(simulator.directory / FILE)
    scale = units(np.concatenate([states for states, _ in learned]))
    generator = torch.Generator().manual_seed(cfg.seed)
    who = {
        SIMULATOR: simulated(simulator, cfg.samples, generator),
        ENSEMBLE: of_ensemble(learned, cfg),
        PERSISTENCE: lambda history, actions: np.repeat(history[:, None, -1:], actions.shape[1], 2).repeat(2, 1),
    }
    accuracy = score_paths(who, held_out, scale, simulator.facts.history, cfg)
    write_json(simulator.directory / FILE, finite(accuracy.to_json()))
    return accuracy


def units(states: Float[np.ndarray, "n s"]) -> Float[np.ndarray, " s"]:
    """Standard deviation of each number; 1 where it varies by rounding alone, which would be no unit."""
    return Normalizer.fit({STATE: states}, mode="zscore").get_buffer(buffer_names(STATE)[1]).double().numpy()


def score_paths(
    who: dict[str, Paths],
    episodes: Sequence[tuple[Array, Array]],
    scale: Float[np.ndarray, " s"],
    history: int,
    cfg: AccuracyConfig,
) -> Accuracy:
    """Energy scores of everyone's paths from the same starts.

    Args:
        who: Name -> who predicts.
        episodes: States [t + 1, s] and actions [t, a], one at least as long as the first horizon.
        scale: Unit of each number of a state.
        history: States that are shown.
        cfg: How many starts, and how far ahead.
    """
    numbers, past, steps, truth = [], [], [], []
    for number, (states, actions) in enumerate(episodes):
        first = len(actions) - min(cfg.horizons)  # the last step from which there is something to compare with
        if first < 0:
            continue
        starts = np.unique(np.linspace(0, first, cfg.starts).round().astype(int))
        past.append(states[np.maximum(starts[:, None] + np.arange(1 - history, 1), 0)])
        steps.append(actions[np.minimum(starts[:, None] + np.arange(max(cfg.horizons)), len(actions) - 1)])
        ahead = starts[:, None] + np.array(cfg.horizons)
        known = (ahead < len(states))[..., None]
        truth.append(np.where(known, states[np.minimum(ahead, len(states) - 1)], np.nan) / scale)
        numbers += [number] * len(starts)
    seen, done, wanted = (np.concatenate(rows) for rows in (past, steps, truth))
    at = np.array(cfg.horizons) - 1
    scores = {}
    for name, paths in who.items():
        blocks = [paths(seen[i : i + BLOCK], done[i : i + BLOCK])[:, :, at] for i in range(0, len(seen), BLOCK)]
        scores[name] = _scores_of(np.concatenate(blocks) / scale, wanted)
    return Accuracy(cfg.horizons, np.array(numbers), scores)


def _scores_of(paths: Float[np.ndarray, "b n h s"], truth: Float[np.ndarray, "b h s"]) -> Float[np.ndarray, "b h"]:
    """Energy scores of each start and horizon; NaN where the truth is, infinite where a path is no number."""
    scores = np.full(truth.shape[:2], np.nan)
    for column in range(truth.shape[1]):
        known, numbers = ~np.isnan(truth[:, column, 0]), np.isfinite(paths[:, :, column]).all((1, 2))
        scores[known & ~numbers, column] = np.inf
        if (known := known & numbers).any():
            scores[known, column] = chunk_energy(paths[known, :, column], truth[known, column]) / 2
    return scores


def simulated(simulator: LearnedSimulator, samples: int, generator: torch.Generator) -> Paths:
    """Paths of a learned simulator."""

    def paths(history: Array, actions: Array) -> Array:
        rows, steps = len(actions), actions.shape[1]
        known, acts = (torch.from_numpy(x).float().repeat_interleave(samples, 0) for x in (history, actions))
        noise = simulator.noise(rows * samples, steps, generator=generator)
        return simulator.unroll(known, acts, noise).unflatten(0, (rows, samples)).numpy()

    return paths


def of_ensemble(learned: Sequence[tuple[Array, Array]], cfg: AccuracyConfig) -> Paths:
    """Paths of an ensemble that is fitted to the same episodes: one of each member, which tells a mean alone."""
    before, after = (np.concatenate([s[cut] for s, _ in learned]) for cut in (slice(-1), slice(1, None)))
    data = Transitions(before, np.concatenate([actions for _, actions in learned]), after)
    shape = DynamicsConfig(before.shape[1], data.actions.shape[1], probabilistic=False)
    model = fit_dynamics(shape, data, FitConfig(cfg.ensemble_steps, 256, 1e-3), seed=cfg.seed)

    @torch.inference_mode()
    def paths(history: Array, actions: Array) -> Array:
        states, acts = torch.from_numpy(history[:, -1]).float(), torch.from_numpy(actions).float()
        now, path = states.expand(model.num_members, -1, -1), []
        for t in range(actions.shape[1]):
            now, _ = model(now, acts[:, t].expand(model.num_members, -1, -1))
            path.append(now)
        return torch.stack(path, dim=2).transpose(0, 1).numpy()

    return paths
