"""What came of gates: success and the interventions it took, at each budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.safety.gates import BUDGETS, chosen_score
from benchmarks.safety.outcomes import difference, helped, helped_episodes
from benchmarks.safety.raw import Episodes, Raw
from benchmarks.safety.study import BIAS, TASKS
from benchmarks.safety.watched import find

AGAINST = ("random", "time")


def gate_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> what came out at each budget; a budget that is not there is left out."""
    return {task: _task(raw, task) for task in tasks if f"gates/{task}/ends/never/success" in raw}


def _task(raw: Raw, task: str) -> dict[str, Any]:
    score, aucs = chosen_score(find(raw, task, 0, BIAS, "selection"))
    never, always = (raw.episodes(f"gates/{task}/ends/{name}") for name in ("never", "always"))
    rows = []
    for budget in BUDGETS:
        units = {name: f"gates/{task}/{budget}/{name}" for name in ("gate", "time")}
        if not all(raw.has(unit) for unit in units.values()):
            continue
        named = {
            "gate": raw.episodes(f"{units['gate']}/gate"),
            "random": raw.episodes(f"{units['gate']}/random"),
            "time": raw.episodes(f"{units['time']}/time"),
        }
        rows.append(
            {
                "budget": budget,
                "threshold": float(raw[f"{units['gate']}/threshold"]),
                "replanning": int(raw[f"{units['time']}/replanning"]),
                **{name: helped_episodes(episodes) for name, episodes in named.items()},
                "whole failures": _whole_failures(never, always, budget),
                **{f"gate - {name}": difference(named["gate"].success, named[name].success) for name in AGAINST},
            }
        )
    return {
        "score": score,
        "selection_auc": aucs,
        "shift": TASKS[task].shifts[BIAS],
        "never": helped_episodes(never),
        "always": helped_episodes(always),
        "budgets": rows,
    }


def _whole_failures(never: Episodes, always: Episodes, budget: float) -> dict[str, float]:
    """The expert in as many failing episodes as the budget allows, in the order of their seeds.

    An episode depends on its own seed alone, so that each is the one with the expert or the one without.
    """
    failing = np.flatnonzero(~never.success)
    best = helped_episodes(never)
    for count in range(1, len(failing) + 1):
        chosen = np.isin(np.arange(len(never)), failing[:count])
        outcome = helped(
            *(
                np.where(chosen, ours, theirs)
                for ours, theirs in (
                    (always.success, never.success),
                    (always.intervened(), never.intervened()),
                    (always.length, never.length),
                )
            )
        )
        if outcome["intervened"] > budget:
            break
        best = outcome
    return best
