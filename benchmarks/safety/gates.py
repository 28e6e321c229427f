"""Does a gate help? Success at a budget of expert interventions, against one that asks as often but at random.

Every row starts from the same initial states, with the sensor's bias that the policy was not trained for. The score is
chosen on 100 episodes from seed 300,000, the threshold for a budget on 100 of calibration, both with the bias; what is
reported is of 200 others.

    never, always   no interventions, nothing else
    gate            the expert drives while the score is above the threshold, and until it is at the release
    random          the gate's interventions, as many and as long, in other episodes and at other times; where that
                    comes to fewer steps, since episodes end on the way, to as many more as it takes
    oracle          the expert drives episodes that fail on their own, from the start: as many as the budget allows
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.common import (
    CALIBRATION,
    EVALUATION,
    EXECUTION,
    NUM_SAMPLES,
    RUNS,
    SCORES,
    TASKS,
    episodes,
    fit_scores,
    load,
)
from robolearn.config import write_json
from robolearn.guard.calibrate import make_guarded
from robolearn.guard.controller import GuardedController
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.paired import paired_difference
from robolearn.safety.detection import roc_auc
from robolearn.safety.gate import Gate
from robolearn.safety.summary import clopper_pearson, intervened_share
from robolearn.types import INTERVENING, Array, Trajectory

SHIFT, SEED, SELECTION = "sensor bias", 0, 300_000
BUDGETS = (0.05, 0.1, 0.2, 0.4)
NUM_EPISODES, NUM_TUNING, ROUNDS = 200, 100, 7
Plan = dict[int, Array]  # episode -> whether to intervene at each of its replannings


class Scheduled(GuardedController):
    """Intervenes when a plan says so, whatever the scores.

    Args:
        plan: Episode -> replannings.
        otherwise: Whether to intervene at replannings that the plan does not name.
    """

    def __init__(self, *args: Any, plan: Plan, otherwise: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.plan, self.otherwise = plan, otherwise

    def _decide(self, slots: Array, scores: dict[str, Array]) -> Array:
        def asked(slot: int) -> bool:
            plan, now = self.plan.get(int(self.episodes[slot]), ()), len(self.notes[slot])
            return bool(plan[now]) if now < len(plan) else self.otherwise

        return np.array([asked(slot) for slot in slots.tolist()])


def run(task: str, make: Callable[..., Any], first: int, count: int) -> list[Trajectory]:
    """Episodes of the first policy under the shift, with the expert as fallback."""
    env = EnvConfig(TASKS[task].env_id, dict(TASKS[task].shifts[SHIFT]))
    policy = load(task, SEED).members[0]
    return evaluate(policy, env, range(count), execution=EXECUTION, seed=first, make_controller=make)


def scheduled(plan: Plan, otherwise: bool = False) -> Callable[..., Any]:
    """For ``run``: interventions by a plan."""
    return partial(Scheduled, monitor=None, fallback="expert", plan=plan, otherwise=otherwise)


def measure_gates() -> dict[str, Any]:
    """Task -> what came out at each budget; a task that is done is read from its file."""
    found = {}
    for task in TASKS:
        path = RUNS / "raw" / f"gates-{task}.json"
        if not path.exists():
            write_json(path, _measure(task))
            print(path, flush=True)
        found[task] = json.loads(path.read_text())
    return found


def _measure(task: str) -> dict[str, Any]:
    selection = episodes(task, SEED, SHIFT, SELECTION, NUM_TUNING)
    peaks = {name: np.nanmax(selection.scores[name], 1) for name in SCORES}
    aucs = {name: roc_auc(values, selection.success) for name, values in peaks.items()}
    score = max(aucs, key=lambda name: aucs[name])
    ensemble = load(task, SEED)
    fitted = fit_scores(task, SEED, ensemble, [score])
    calm = episodes(task, SEED, "none", CALIBRATION, 200)
    release = float(np.nanmedian(calm.scores[score][calm.success]))

    def gated(threshold: float) -> Callable[..., Any]:
        gate = Gate(score, NUM_SAMPLES, threshold, min(threshold, release))
        choices = {"names": (score,), "num_samples": NUM_SAMPLES, "fitted": fitted, "gate": gate}
        return partial(make_guarded, ensemble=ensemble, fallback="expert", **choices)

    never = run(task, scheduled({}), EVALUATION, NUM_EPISODES)
    always = run(task, scheduled({}, otherwise=True), EVALUATION, NUM_EPISODES)
    rows = []
    for budget in BUDGETS:
        threshold = _threshold(task, gated, np.concatenate([*selection.scores[score]]), budget)
        gate = run(task, gated(threshold), EVALUATION, NUM_EPISODES)
        random = _as_much(task, gate, never)
        oracle = _foresight(task, never, budget)
        named = {"gate": gate, "random": random, "oracle": oracle}
        rows.append(
            {
                "budget": budget,
                "threshold": threshold,
                **{name: _success(runs) for name, runs in named.items()},
                "difference": _difference(gate, random),
            }
        )
    return {
        "score": score,
        "selection_auc": aucs,
        "shift": TASKS[task].shifts[SHIFT],
        "never": _success(never),
        "always": _success(always),
        "budgets": rows,
    }


def _threshold(task: str, gated: Callable[[float], Any], scores: Array, budget: float) -> float:
    """Threshold at which calibration episodes are under intervention for that share of their steps."""
    levels = np.sort(scores[np.isfinite(scores)])
    low, high = 0.0, 1.0  # quantiles: the higher, the fewer interventions
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        runs = run(task, gated(float(np.quantile(levels, middle))), CALIBRATION + 1000, NUM_TUNING)
        if intervened_share(runs, EXECUTION.period) > budget:
            low = middle
        else:
            high = middle
    return float(np.quantile(levels, high))


def _as_much(task: str, gate: Sequence[Trajectory], never: Sequence[Trajectory]) -> list[Trajectory]:
    """Episodes with random interventions that come to no fewer steps than the gate's, as far as there is room."""
    factor, wanted = 1.0, _steps(gate)
    for _ in range(ROUNDS):
        random = run(task, scheduled(shuffle(gate, never, factor)), EVALUATION, NUM_EPISODES)
        if (found := _steps(random)) >= 0.97 * wanted:
            break
        factor *= max(1.02, wanted / max(found, 1.0))
    return random


def _foresight(task: str, never: Sequence[Trajectory], budget: float) -> list[Trajectory]:
    """Episodes of which as many as the budget allows have the expert from the start, those that fail on their own."""
    failing = [t for t in never if not t.success]
    low, high, best = 0, len(failing), list(never)
    while low < high:
        middle = (low + high + 1) // 2
        plan = {t.episode: np.ones(len(t.signals[INTERVENING]), bool) for t in failing[:middle]}
        runs = run(task, scheduled(plan), EVALUATION, NUM_EPISODES)
        if intervened_share(runs, EXECUTION.period) > budget:
            high = middle - 1
        else:
            low, best = middle, runs
    return best


def _steps(trajectories: Sequence[Trajectory]) -> float:
    """Steps under intervention."""
    return intervened_share(trajectories, EXECUTION.period) * sum(map(len, trajectories))


def shuffle(gate: Sequence[Trajectory], never: Sequence[Trajectory], factor: float = 1.0) -> Plan:
    """The gate's interventions in episodes and at times drawn at random; none overlap within an episode.

    An intervention goes to an episode that, on its own, is long enough; where one ends before its turn comes or
    while it lasts, as with the expert's help, it is cut.

    Args:
        gate: Episodes with the gate.
        never: The same without.
        factor: Interventions for each of the gate's.
    """
    rng = np.random.default_rng(0)
    durations = [n for t in gate for n in _durations(t)]
    durations += rng.choice(durations, round((factor - 1) * len(durations))).tolist() if durations else []
    lengths = np.array([len(t.signals[INTERVENING]) for t in never])
    plans = {t.episode: np.zeros(n, bool) for t, n in zip(never, lengths, strict=True)}
    for length in sorted(durations, reverse=True):
        length = min(length, int(lengths.max()))
        for _ in range(1000):
            i = int(rng.integers(len(never)))
            if lengths[i] < length:
                continue
            start = int(rng.integers(lengths[i] - length + 1))
            place = plans[never[i].episode][start : start + length]
            if not place.any():
                place[:] = True
                break
    return plans


def _durations(trajectory: Trajectory) -> list[int]:
    """Replannings that each intervention of an episode lasted."""
    on = np.concatenate([[False], trajectory.signals[INTERVENING].astype(bool), [False]]).astype(int)
    edges = np.flatnonzero(np.diff(on))
    return (edges[1::2] - edges[::2]).tolist()


def _success(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    share = clopper_pearson(sum(bool(t.success) for t in trajectories), len(trajectories))
    intervened = intervened_share(trajectories, EXECUTION.period)
    return {
        "success": share.value,
        "low": share.low,
        "high": share.high,
        "intervened": intervened,
        "steps": intervened * float(np.mean([len(t) for t in trajectories])),
    }


def _difference(one: Sequence[Trajectory], other: Sequence[Trajectory]) -> dict[str, float]:
    values = [np.array([[float(t.success) for t in runs]]) for runs in (one, other)]
    found = paired_difference(*values)
    return {"value": found.value, "low": found.low, "high": found.high}
