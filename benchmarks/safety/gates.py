"""Does a gate help? Success at a budget of expert interventions, against some that ask as often without looking.

Every row starts from the same initial states, with the sensor's bias that the policy was not trained for. The score is
chosen on 100 episodes from seed 300,000, the threshold for a budget on 100 from seed 701,000, both with the bias; what
is reported is of 200 others, of the first policy of each task.

    never, always    no interventions, nothing else
    gate             the expert drives while the score is above the threshold, and until it is at the release
    random           the gate's interventions, as many and as long, in other episodes and at other times; where that
                     comes to fewer steps, since episodes end on the way, to as many more as it takes
    time             the expert drives from a fixed replanning on: a gate on elapsed time, which is free
    whole failures   the expert drives, from the start, episodes that fail on their own, in the order of their seeds,
                     as many as the budget allows; it takes what only hindsight knows, and is no upper bound
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.raw import Episodes, Raw, load_unit
from benchmarks.safety.study import BIAS, EXECUTION, FIRST, NUM_SAMPLES, SCORES, Study, environment, fitted_at, load
from benchmarks.safety.units import Unit
from benchmarks.safety.watched import find, watched
from robolearn import seeds
from robolearn.rollout.roll_out import roll_out
from robolearn.stats.ranks import roc_auc
from robolearn.trust.gate import Gate
from robolearn.trust.guarded import GuardedController, make_guarded
from robolearn.trust.scores.fitted import load_fitted
from robolearn.types import Array, Trajectory

BUDGETS = (0.05, 0.1, 0.2, 0.4)
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


def gate_units(study: Study) -> list[Unit]:
    """At every budget the gate with its random control, and elapsed time."""
    units = []
    for task in study.tasks:
        ends = f"gates/{task}/ends"
        needs = (watched(task, 0, BIAS, "selection"), watched(task, 0, "none", "calibration"), ends)
        units.append(
            Unit(ends, partial(_ends, task=task), tuple(f"trained/{task}/{s}" for s in range(study.num_seeds)))
        )
        for budget in BUDGETS:
            for name, work in (("gate", _gate), ("time", _time)):
                units.append(Unit(f"gates/{task}/{budget}/{name}", partial(work, task=task, budget=budget), needs))
    return units


def _roll_out(study: Study, task: str, make: Callable[..., Any], purpose: str) -> list[Trajectory]:
    """Episodes of the first policy under the bias, with the expert as fallback."""
    policy, count = load(study, task, 0).members[0], study.tuning if purpose == "tuning" else study.episodes
    return roll_out(
        policy, environment(task, BIAS), range(count), execution=EXECUTION, seed=FIRST[purpose], make_controller=make
    )


def scheduled(plan: Plan, otherwise: bool = False) -> Callable[..., Any]:
    """Interventions by a plan, for roll_out's ``make_controller``."""
    return partial(Scheduled, monitor=None, fallback="expert", plan=plan, otherwise=otherwise)


def _ends(study: Study, task: str) -> dict[str, Any]:
    return {
        name: Episodes.from_trajectories(_roll_out(study, task, scheduled({}, otherwise), "evaluation"))
        for name, otherwise in (("never", False), ("always", True))
    }


def chosen_score(selection: Episodes) -> tuple[str, dict[str, float]]:
    """The score with the largest AUC over whole selection episodes, and all AUCs.

    Raises:
        UserError: All of them succeed, or none does.
    """
    aucs = {name: roc_auc(np.nanmax(selection.padded(name), 1), ~selection.success) for name in SCORES}
    return max(aucs, key=lambda name: aucs[name]), aucs


def _gate(study: Study, task: str, budget: float) -> dict[str, Any]:
    selection = find(_unit(study, watched(task, 0, BIAS, "selection")), task, 0, BIAS, "selection")
    calm = find(_unit(study, watched(task, 0, "none", "calibration")), task, 0, "none", "calibration")
    score, _ = chosen_score(selection)
    ensemble = load(study, task, 0)
    fitted = load_fitted(fitted_at(study, task, 0), [score], ensemble.device)
    release = float(np.nanmedian(calm.padded(score)[calm.success]))

    def gated(threshold: float) -> Callable[..., Any]:
        gate = Gate(score, NUM_SAMPLES, threshold, min(threshold, release))
        choices = {"names": (score,), "num_samples": NUM_SAMPLES, "fitted": fitted, "gate": gate}
        return partial(make_guarded, ensemble=ensemble, fallback="expert", **choices)

    levels = np.sort(selection.scores[score].astype(float))
    low, high = 0.0, 1.0  # quantiles: the higher, the fewer interventions
    for _ in range(study.rounds):
        middle = (low + high) / 2
        runs = Episodes.from_trajectories(_roll_out(study, task, gated(float(np.quantile(levels, middle))), "tuning"))
        low, high = (middle, high) if runs.intervened_share() > budget else (low, middle)
    threshold = float(np.quantile(levels, high))
    gate = Episodes.from_trajectories(_roll_out(study, task, gated(threshold), "evaluation"))
    random = _as_much(study, task, gate, _unit(study, f"gates/{task}/ends").episodes(f"gates/{task}/ends/never"))
    return {"gate": gate, "random": random, "threshold": threshold, "release": min(threshold, release)}


def _as_much(study: Study, task: str, gate: Episodes, never: Episodes) -> Episodes:
    """Episodes with random interventions that come to no fewer steps than the gate's, as far as there is room."""
    factor, wanted, random = 1.0, float(gate.intervened().sum()), never
    for _ in range(study.rounds):
        random = Episodes.from_trajectories(
            _roll_out(study, task, scheduled(shuffle(gate, never, factor)), "evaluation")
        )
        if (steps := float(random.intervened().sum())) >= 0.97 * wanted:
            break
        factor *= max(1.02, wanted / max(steps, 1.0))
    return random


def _time(study: Study, task: str, budget: float) -> dict[str, Any]:
    """From the first replanning on at which tuning episodes are under intervention for at most that share of steps."""
    low, high = 0, int(_unit(study, f"gates/{task}/ends").episodes(f"gates/{task}/ends/never").plans.max())
    while low < high:
        middle = (low + high) // 2
        runs = Episodes.from_trajectories(_roll_out(study, task, late(study.tuning, middle), "tuning"))
        low, high = (middle + 1, high) if runs.intervened_share() > budget else (low, middle)
    return {
        "time": Episodes.from_trajectories(_roll_out(study, task, late(study.episodes, high), "evaluation")),
        "replanning": high,
    }


def late(count: int, replanning: int) -> Callable[..., Any]:
    """Interventions from a replanning on, in every one of ``count`` episodes."""
    return scheduled({episode: np.zeros(replanning, bool) for episode in range(count)}, otherwise=True)


def _unit(study: Study, name: str) -> Raw:
    return load_unit(study.root, name)


def shuffle(gate: Episodes, never: Episodes, factor: float = 1.0) -> Plan:
    """The gate's interventions in episodes and at times drawn at random; none overlap within an episode.

    An intervention goes to an episode that, on its own, is long enough; where one ends before its turn comes or
    while it lasts, as with the expert's help, it is cut.

    Args:
        gate: Episodes with the gate.
        never: The same without.
        factor: Interventions for each of the gate's.
    """
    rng = np.random.default_rng(seeds.FIXED)
    parts = np.split(gate.intervening, np.cumsum(gate.plans.astype(int))[:-1])
    durations = [n for on in parts for n in _durations(on)]
    durations += rng.choice(durations, round((factor - 1) * len(durations))).tolist() if durations else []
    lengths = never.plans.astype(int)
    plans = {episode: np.zeros(n, bool) for episode, n in enumerate(lengths)}
    for length in sorted(durations, reverse=True):
        length = min(length, int(lengths.max()))
        for _ in range(1000):
            i = int(rng.integers(len(never)))
            if lengths[i] < length:
                continue
            start = int(rng.integers(lengths[i] - length + 1))
            stretch = plans[i][start : start + length]
            if not stretch.any():
                stretch[:] = True
                break
    return plans


def _durations(intervening: Sequence[bool] | Array) -> list[int]:
    """Replannings that each intervention of an episode lasted."""
    on = np.concatenate([[False], np.asarray(intervening, bool), [False]]).astype(int)
    edges = np.flatnonzero(np.diff(on))
    return (edges[1::2] - edges[::2]).tolist()
