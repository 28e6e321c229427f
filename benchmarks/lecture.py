"""The tables of docs/results/lecture.md: seeing, simulating and planning, from the numbers of their measurements.

python -m benchmarks.lecture [--curves docs/results/planning.png]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import doubt, generation, planning, planning_ends, planning_rewards, simulator, views
from benchmarks.common import kept_parts, options
from benchmarks.planning_curves import draw
from benchmarks.pretraining.contrasts import judged_gain
from benchmarks.pretraining.study import TARGET as PRETRAINING_TARGET
from benchmarks.pretraining.table import rows_table
from benchmarks.tables import interval, measured_with, one_of_each_command, parts_below, table, verdict
from benchmarks.trainings import gain, gain_by_training, mean, mean_over_trainings
from benchmarks.translation.contrasts import labels_of, minus, successes
from benchmarks.translation.study import JUDGED, KINDS, LABELS_KEPT, LEAST_COST, METHODS, SEEN_PLAIN, trainings_of
from robolearn.simulator.accuracy import ENSEMBLE, PERSISTENCE, SIMULATOR
from robolearn.stats.student import student_mean

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "lecture.json"
PRETRAINING = Path(__file__).parent / "pretraining" / "raw.json.xz"
PREDICTORS = (SIMULATOR, ENSEMBLE, PERSISTENCE)
SUCCESS = ["success", "score"]
Parts = Mapping[str, Any]
Row = list[str]


class Plans(NamedTuple):
    """A study of planning: its ways, which of them is judged, and what its targets are called beside that."""

    ways: Iterable[str]
    judged: str
    rewards: str


PLANS = {
    planning.PART: Plans(planning.WAYS, "ts1", ""),
    planning_rewards.PART: Plans(planning_rewards.WAYS, planning_rewards.GIVEN, "given rewards, "),
}


def main() -> None:
    """Print all tables."""
    parser = options(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file of the numbers")
    parser.add_argument("--pretraining", type=Path, default=PRETRAINING, help="that of pre-training")
    parser.add_argument("--curves", type=Path, help="PNG file to draw the returns of planned trials in")
    args = parser.parse_args()
    parts = kept_parts(args.results) | kept_parts(args.pretraining)
    print("\n".join(page(parts)))
    if args.curves is not None:
        below = parts_below(parts, "planning")
        draw(args.curves, {env: planning.complete(parts_below(below, env)) for env in groups(below)})


def page(parts: Parts) -> list[str]:
    """The tables of everything that was measured, the targets first."""
    tables = [table(["what", "target", "measured", "verdict"], targets(parts))]
    tables += [section(parts_below(parts, name)) for name, section in SECTIONS.items() if parts_below(parts, name)]
    tables.append(measured_with(one_of_each_command(parts)))
    return [line for one in tables for line in (*one, "")][:-1]


def groups(parts: Parts) -> list[str]:
    """The first names of all parts, each once."""
    return list(dict.fromkeys(name.split("/")[0] for name in parts))


def targets(parts: Parts) -> Iterator[Row]:
    """What was wanted, and what the intervals say of it; nothing of what is not complete."""
    if judgement := judged_gain(parts_below(parts, "pretraining")):
        best, gained = judgement
        what = f"pre-training, {best}/all, 10 % of AvoidPixels, success less that from scratch"
        yield [what, "> 0", f"{gained:+.3f}", gained.outcome(0.0, strict=True)]
        yield ["the same", f">= {PRETRAINING_TARGET}", f"{gained:+.3f}", gained.outcome(PRETRAINING_TARGET)]
    yield from translation_targets(parts_below(parts, "translation"))
    made = parts_below(parts, "generation")
    for task in groups(made):
        judged = generation.TASKS[task].number == "success"
        if judged and all(f"{task}/{group}" in made for group in ("generated", "all")):
            less = gain("success", made[f"{task}/generated"], made[f"{task}/all"])
            what = f"generation from 20 episodes of {task}, success less that of all"
            yield [what, f">= -{generation.MARGIN}", f"{less:+.3f}", less.outcome(-generation.MARGIN)]
    ranked = parts_below(parts, "simulator")
    for task in groups(ranked):
        each = parts_below(ranked, task)
        if len(each) < simulator.SIMULATORS:
            continue
        tau = simulator.taus(each)[simulator.JUDGED]
        what = f"policies of {task} ranked in {len(each)} learned simulators, mean of Kendall's tau"
        said = ["no order", verdict(False)] if tau is None else [f"{tau:.2f}", tau.outcome(simulator.TARGET)]
        yield [what, f">= {simulator.TARGET}", *said]
    yield from planning_targets(parts)
    success = views.successes(parts_below(parts, views.PART))
    best = views.best_fixed(success)
    if best is not None and all(len(success.get(row, {})) == len(views.TRAININGS) for row in ("chosen", *views.VIEWS)):
        chosen = gain_by_training(success["chosen"], success[best])
        assert chosen is not None, "they have the same trainings"
        what = f"view chosen by disagreement, success less that of the best fixed one ({best})"
        yield [what, "> 0", f"{chosen:+.3f}", chosen.outcome(0.0, strict=True)]


def translation_targets(parts: Parts) -> Iterator[Row]:
    """Of the row that is judged."""
    success, trainings = successes(parts), len(trainings_of(JUDGED))
    cost, half = minus(success, "plain", "lost"), minus(success, JUDGED, "plain", "lost")
    beyond = minus(success, JUDGED, "jitter")
    complete = all(len(success.get(row, {})) == trainings for row in (JUDGED, "plain", "lost", "jitter"))
    if complete and cost is not None and half is not None and beyond is not None:
        what, none = f"translation, {JUDGED}, success", "nothing to regain"
        said = half.outcome(0.0) if cost.low > LEAST_COST else none
        yield [f"{what}, less half of what the look costs, which is {cost:.3f}", ">= 0", f"{half:+.3f}", said]
        yield [f"{what}, less that with jitter", "> 0", f"{beyond:+.3f}", beyond.outcome(0.0, strict=True)]
    method = JUDGED.split("/")[0]
    labels = labels_of(parts, method).get("to real")
    if labels is not None and labels.n == trainings:
        what = f"translation by {method}, correlation of the rows with their labels, less {LABELS_KEPT} of recorded"
        yield [what, ">= 0", f"{labels.margin:+.3f}", labels.kept or "cannot be told"]


def planning_targets(parts: Parts) -> Iterator[Row]:
    """Of planning with rewards that are learned, and with given ones."""
    for study, (ways, judged, rewards) in PLANS.items():
        for env in groups(parts_below(parts, study)):
            runs = planning.complete(parts_below(parts, study, env), ways)
            if len(runs[judged]) < len(planning.SEEDS):
                continue
            cost = planning.cost_ratio(runs, judged)
            what = f"planning in what was learned, {rewards}{env}, cost in that of planning in the simulator"
            yield [what, f"<= {planning.TARGET}", f"{cost:.2f}", cost.outcome(most=planning.TARGET)]


def over_trainings(part: Parts, number: str) -> str:
    """Mean of a number over trainings and starts, of what `summarize` kept."""
    return f"{mean(np.array(part['episodes'][number])):.3f}"


def generated(parts: Parts) -> list[str]:
    """Policies from few, generated and all demonstrations."""
    rows = []
    for name, part in parts.items():
        task, group = name.split("/")
        number = generation.TASKS[task].number
        others = [None if group == other else parts.get(f"{task}/{other}") for other in ("few", "all")]
        less = ["" if other is None else f"{gain(number, part, other):+.3f}" for other in others]
        tries = ", ".join(f"{tried:,}" for tried in part.get("attempts", []))
        unsolved = ", ".join(f"{left:,}" for left in part.get("unsolved", []))
        rows.append([task, group, number, over_trainings(part, number), *less, tries, unsolved])
    numbers = ["number", "mean", "less that of few", "less that of all"]
    header = ["task", "demonstrations", *numbers, "attempts", "starts left out"]
    return table(header, rows)


def of_few(parts: Parts) -> list[str]:
    """Families from few demonstrations."""
    rows = []
    for name, part in parts.items():
        count, family = name.split("/")
        plain = parts.get(f"{count}/regression")
        minus = "" if plain is None or family == "regression" else f"{gain('success', part, plain):+.3f}"
        rows.append([count, family, *(over_trainings(part, number) for number in SUCCESS), minus])
    return table(["demonstrations", "family", *SUCCESS, "success less that of regression"], rows)


def fields(parts: Parts) -> list[str]:
    """Fields that nobody has seen, by how many were demonstrated."""
    kinds = list(dict.fromkeys(name.split("/")[1] for name in parts))
    rows = [
        [
            size,
            *(over_trainings(parts[name], "success") if (name := f"{size}/{kind}") in parts else "" for kind in kinds),
        ]
        for size in groups(parts)
    ]
    return table(["fields demonstrated", *(f"success in {kind} fields" for kind in kinds)], rows)


def translated(parts: Parts) -> list[str]:
    """Policies where images look otherwise, and what translations show of the obstacles."""
    success, rows, read = successes(parts), [], []
    for row, each in success.items():
        against = [] if row in (*SEEN_PLAIN, "lost") else [("plain", "lost"), ("jitter",)]
        told = [minus(success, row, *others) for others in against] or [None, None]
        gains = ["" if one is None else f"{one:+.3f}" for one in told]
        rows.append([row, str(len(each)), f"{mean_over_trainings(each):.3f}", *gains])
    for method in METHODS:
        for way, labels in labels_of(parts, method).items():
            numbers = (f"{number:.2f}" for number in (*labels.correlation, *labels.explained))
            read.append([method, way, *numbers, f"{labels.margin:+.2f}", labels.kept or "cannot be told"])
    policies = table(["row", "trainings", "success", "less half of what the look costs", "less jitter"], rows)
    kinds = [f"{what}, {kind}" for what in ("correlation", "R^2") for kind in KINDS]
    header = ["translator", "direction", *kinds, f"less {LABELS_KEPT} of recorded", "labels kept"]
    return [*policies, "", *table(header, read)]


def simulated(parts: Parts) -> list[str]:
    """Policies in learned simulators and in the environment, and how far ahead the simulators see."""
    rows, orders, ahead = [], [], []
    for task in groups(parts):
        for what, tau in simulator.taus(parts_below(parts, task)).items():
            orders.append([task, what, "no order" if tau is None else f"{tau:.2f}"])
        ranked = {seed: part["ranking"]["policies"] for seed, part in parts_below(parts, task).items()}
        predicted = {seed: {one["name"]: one["predicted"]["value"] for one in each} for seed, each in ranked.items()}
        for one in next(iter(ranked.values())):
            seen = ", ".join(f"{each[one['name']]:.3f}" for each in predicted.values())
            rows.append([task, Path(one["name"]).name, interval(one["real"]), seen])
        for seed, part in parts_below(parts, task).items():
            scores = part["accuracy"]["score"]
            for horizon in scores[SIMULATOR]:
                ahead.append([task, seed, horizon, *(interval(scores[who][horizon], ".4f") for who in PREDICTORS)])
    success = table(["task", "policy", "success in the environment", "in the learned simulators"], rows)
    header = ["task", "simulator", "steps ahead", *(f"energy score of {who}" for who in PREDICTORS)]
    order = table(["task", "ordered by", "Kendall's tau with success in the environment"], orders)
    return [*success, "", *order, "", *table(header, ahead)]


def planned(study: str, parts: Parts) -> list[str]:
    """Returns of planned trials: what is judged."""
    rows = []
    for env in groups(parts):
        runs = planning.complete(parts_below(parts, env), PLANS[study].ways)
        for way, each in runs.items() if runs["simulator"] else ():
            compared = (planning.cost_ratio(runs, way), planning.share(runs, way))
            rows.append([env, way, f"{planning.late_mean(each):.1f}", *(f"{one:.2f}" for one in compared)])
    header = ["environment", "way", "return, second half", "cost in that of the simulator", "share of its gain"]
    return table(header, rows)


def ended(parts: Parts) -> list[str]:
    """Returns of trials that are planned with and without knowing where episodes end."""
    runs = planning.complete(parts, planning_ends.WAYS)
    late, rows = {way: planning.late_returns(each) for way, each in runs.items()}, []
    for way, returns in late.items():
        more = "" if way == "never" else f"{student_mean(returns - late['never']):+.1f}"
        rows.append([way, str(len(returns)), f"{student_mean(returns):.1f}", more])
    return table(["plans end", "seeds", "return, second half", "more than never"], rows if len(late["never"]) else [])


def viewed(parts: Parts) -> list[str]:
    """Policies that act by one of two cameras."""
    success, rows = views.successes(parts), []
    for row, each in success.items():
        told = None if row == "chosen" else gain_by_training(success.get("chosen", {}), each)
        rows.append([row, str(len(each)), f"{mean_over_trainings(each):.3f}", "" if told is None else f"{told:+.3f}"])
    return table(["reading", "trainings", "success", "chosen less this"], rows)


def doubted(parts: Parts) -> list[str]:
    """What tells failures, and what it costs."""
    runs = list(parts.values())
    changes, rows = doubt.telling(runs), []
    told = {way: doubt.means(runs, way, changes) for way in doubt.WAYS} if changes else {}
    for way, numbers in told.items():
        less = {name: student_mean(values - told["ensemble"][name]) for name, values in numbers.items()}
        beside = ["" if way == "ensemble" else f"{less[name]:+.3f}" for name in ("all", "within")]
        fitted, look = (np.median([run["ways"][way][cost] for run in runs]) for cost in ("fitted_s", "look_ms"))
        trainings = doubt.MEMBERS if way == "ensemble" else 1
        costs = [str(trainings), f"{fitted:.1f}", f"{look:.2f}"]
        rows.append([way, *(f"{student_mean(values):.3f}" for values in numbers.values()), *beside, *costs])
    areas = [number if "accuracy" in number else f"area under the curve, {number}" for number in doubt.NUMBERS]
    beside = [f"{number}, less ensemble" for number in ("all", "within")]
    header = ["way", *areas, *beside, "trainings", "fitting [CPU s]", "a look [CPU ms]"]
    return [*table(header, rows), "", *table(["training", "change", "failures", "counts"], _failures(parts, changes))]


def _failures(parts: Parts, changes: list[str]) -> Iterator[Row]:
    for name, part in parts.items():
        for change, succeeded in part["success"].items():
            counts = "" if change not in doubt.CHANGES else "yes" if change in changes else "no"
            yield [name, change, f"{succeeded.count(False)} of {len(succeeded)}", counts]


SECTIONS: dict[str, Callable[[Parts], list[str]]] = {
    "pretraining": rows_table,
    "translation": translated,
    "field": fields,
    "generation": generated,
    "small_data": of_few,
    "simulator": simulated,
    **{study: partial(planned, study) for study in PLANS},
    planning_ends.PART: ended,
    "views": viewed,
    "doubt": doubted,
}


if __name__ == "__main__":
    main()
