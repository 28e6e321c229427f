"""The page's tables of what is done about alarms, and of sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.safety.gate_figures import AGAINST
from benchmarks.safety.study import BIAS, SCORES
from benchmarks.tables import interval, prose, spread, table

HELPERS = ("gate", *AGAINST, "whole failures")


def gates(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """Success at a budget of interventions."""
    yield "## Does the gate help?"
    yield ""
    yield from prose(
        "The expert takes over where the gate says so, under the sensor's bias; episodes from the same "
        "initial states, of the first policy. The score was chosen on 100 episodes under this very bias "
        "(AUC over whole episodes, from seed 300,000), and the thresholds for a budget on 100 more (seed "
        "701,000): the gate is one that knew which shift would come. Random: the gate's interventions in "
        "other episodes and at other times, and more until they come to as many steps. Time: the expert "
        "drives from a fixed replanning on; a gate on elapsed time, which needs no score and has its "
        "threshold from the same 100 episodes. Whole failures: episodes that fail on their own have the "
        "expert from the start, in the order of their seeds, as far as the budget goes; only hindsight "
        "knows them, and it is no upper bound, since an expert is not needed for the whole of an episode. "
        "In brackets the share of steps under intervention, and how many steps of an episode that is: "
        "episodes that fail are long."
    )
    rows = []
    for task in (task for task in tasks if task in figures):
        one = figures[task]
        for row in one["budgets"]:
            rows.append(
                [
                    f"{task}, {one['score']}",
                    f"{100 * row['budget']:.0f} %",
                    *(_helped(row[name]) for name in HELPERS),
                    *(interval(row[f"gate - {name}"], "+.3f") for name in AGAINST),
                    f"{one['never']['success']:.3f}",
                    f"{one['always']['success']:.3f}",
                ]
            )
    differences = [f"gate - {name}" for name in AGAINST]
    yield from table(["task, score", "budget", *HELPERS, *differences, "never", "always"], rows)


def _helped(row: dict[str, float]) -> str:
    return f"{row['success']:.3f} ({row['intervened']:.2f}, {row['steps']:.0f})"


def fallbacks(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """What each fallback makes of the alarms."""
    yield "## What each fallback makes of it"
    yield ""
    yield from prose(
        "A gate on disagreement at alpha 0.1, without limit, calibrated without shift; the first policy "
        "of each task, episodes from the same initial states. Success, in brackets the share of episodes "
        "that end in a failure, such as a collision, and of steps under intervention."
    )
    names: list[str] = []
    rows = []
    for task in tasks:
        for shift, by_fallback in figures.get(task, {}).items():
            names = names or list(by_fallback)
            cells = [
                f"{row['success'][0]:.3f} ({row['failures']:.2f}, {row['intervened']:.2f})"
                for row in by_fallback.values()
            ]
            rows.append([task, shift, *cells])
    yield from table(["task", "shift", *names], rows)


def dagger(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """Training on interventions."""
    yield "## Learning from interventions"
    yield ""
    yield from prose(
        "What the expert did on the gate's alarms under the sensor's bias, in 300 episodes of the first "
        "policy, mixed with the demonstrations; trained anew with the seeds that are given. Success "
        "without a gate of episodes from the same initial states: mean of the seeds, in brackets the "
        "range they span. The difference is paired by seed and initial state, its interval over both; "
        "before means the same seeds on the demonstrations alone, and beside it stands what all policies "
        "of the task reach: the spread of trainings that a gain has to be seen against."
    )
    rows = []
    for task in (task for task in tasks if task in figures):
        for shift in ("none", BIAS):
            row = figures[task][shift]
            count = len(row["after"])
            before, after = ([value for value, _, _ in row[name]] for name in ("before", "after"))
            cells = [spread(values, 3) for values in (before, before[:count], after)]
            rows.append(
                [task, str(figures[task]["recorded"]), shift, str(count), *cells, interval(row["difference"], "+.3f")]
            )
    yield from table(
        ["task", "interventions", "shift", "seeds", "all policies before", "before", "after", "after - before"], rows
    )


def tubes(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """How often episodes stay in their tubes."""
    yield "## Tubes"
    yield ""
    yield from prose(
        "Episodes that stay inside the tubes of all their chunks, for a model fitted to half of the "
        "calibration episodes and calibrated on the other half, alpha 0.1, in new episodes of the first "
        "policy. The union bound has a threshold per step."
    )
    rows = [
        [
            task,
            f"{row['calibration']}",
            f"{row['promised']:.3f}",
            interval(row["covered"]),
            f"{row['radius_mm']:.2f}",
            interval(row["union_covered"]),
            f"{row['union_radius_mm']:.2f}",
        ]
        for task in tasks
        if (row := figures.get(task))
    ]
    header = ["task", "calibrated on", "promised", "covered", "mean radius [mm]", "by the union bound"]
    yield from table([*header, "its mean radius [mm]"], rows)


def sets(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """Collisions with and without a safety set."""
    yield "## Safety sets in Avoid, with a cylinder that was moved"
    yield ""
    yield from prose(
        "Of 32 chunks one that keeps clear with its tube is executed, hold where none does; the first "
        "policy, episodes from the same initial states. The policy does not see the cylinders; the set is "
        "told where they are. Without radius: the same choice with a tube of no width, which shows how "
        "much comes of knowing the obstacle and choosing, and how much of the tube."
    )
    names = ("one sample", "nearest of 32", "without radius", "set")
    rows = [
        [
            f"{1e3 * row['moved']:.0f}",
            *(interval(row[name]["collisions"]) for name in names),
            interval(row["radius_difference"], "+.3f"),
            *(interval(row[name]["success"]) for name in ("one sample", "without radius", "set")),
            interval(row["success_difference"], "+.3f"),
        ]
        for row in figures["rows"]
    ]
    header = ["moved [mm]", "collisions, one sample", "nearest of 32", "without radius", "with the set"]
    header += ["set - without radius", "success, one sample", "without radius", "with the set", "set - one sample"]
    yield from table(header, rows)
    yield ""
    yield from prose(
        "Choosing is another controller. Episodes with the set that stay inside the tubes of their chunks "
        "(promised 0.900); a set is confirmed where the episodes in which it acted asked for no wider tube:"
    )
    rows = [
        [
            f"{1e3 * row['moved']:.0f}",
            *(interval(row[name]) for name in TUBES.values()),
            f"{row['rounds']}{'' if row['confirmed'] else ', not confirmed'}",
        ]
        for row in figures["rows"]
    ]
    yield from table(["moved [mm]", *TUBES, "rounds"], rows)


TUBES = {
    "calibrated without the set": "tube as calibrated without the set",
    "calibrated anew with it": "tube calibrated anew",
}


def cost(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """Time of a replanning."""
    yield "## What it costs"
    yield ""
    yield from prose(
        "Milliseconds at a replanning of one environment (Avoid, one CPU thread), score and gate "
        f"together; the policy's own chunk: p50 {figures['policy']['p50_ms']:.2f}, p99 "
        f"{figures['policy']['p99_ms']:.2f}. All members, 16 samples each where a score asks for samples. "
        "Elapsed time costs nothing."
    )
    rows = [[score, f"{figures[score]['p50_ms']:.2f}", f"{figures[score]['p99_ms']:.2f}"] for score in SCORES]
    yield from table(["score", "p50", "p99"], rows)
