"""Put all results of the measurement together: one entry per task, budget and row, with its best setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.bench.breaker import FORWARD, Rival, Verdict, judge
from robolearn.bench.cost import cost_name
from robolearn.bench.expert import expert_rounds
from robolearn.bench.kept import NOTHING, Kept, find
from robolearn.bench.rows import BUDGETS, REFERENCE, Row, Task
from robolearn.bench.summary import Measured, Numbers, entropies, is_known, per_state, summarize_trainings
from robolearn.bench.unit import Unit
from robolearn.rollout.busy import busy_remark
from robolearn.stats.differences import paired_difference
from robolearn.stats.value import Estimate

MANY_STEPS = 5  # network evaluations per chunk from which a row counts as many-step
Results = dict[int, dict[str, Any]]
"""Training seed -> result.json."""
WANTED_EPISODES = 200


@dataclass(frozen=True)
class Measurement:
    """A row in one setting, over its training seeds.

    Attributes:
        setting: Name of the setting.
        merit: What the setting is chosen by, on the selection seeds: success times conditional mode entropy in units
            of the demonstrators' and at most 1; the mean score, or success without one, where modes do not matter.
        nfe: Network evaluations per chunk.
        p50_ms, p99_ms: Latency at batch 1, medians over the training seeds.
        parameters: Parameters that sampling uses.
        numbers: On the evaluation seeds.
    """

    setting: str
    merit: float
    nfe: int
    p50_ms: float
    p99_ms: float
    parameters: int
    numbers: Numbers


@dataclass(frozen=True)
class Entry:
    """A row on a task in one budget.

    Attributes:
        task, budget, row: Names.
        seeds: Training seeds that were measured.
        steps: Optimizer steps.
        cpu_s, wall_s: Training time, mean over seeds [s].
        relative_compute: CPU time of the training in that of the reference row's: what `bench cost` measured of a step
            times the steps; where it did not, what the trainings took over common seeds; None without.
        trained_parameters: All parameters, with teacher, critic and encoder of actions.
        settings: Every setting.
        chosen: Index of the best setting by merit; the fewest evaluations among equals.
        episodes: Per training seed.
        sized_down: What falls short of the task's training seeds, 200 episodes and its full budget.
        note: What a reader of its numbers has to know.
        difference: "success", "score", "mode_entropy", "energy", "bridge" -> this row minus the best many-step row,
            paired; empty for that row itself and without one.
    """

    task: str
    budget: str
    row: str
    seeds: tuple[int, ...]
    steps: int
    cpu_s: float
    wall_s: float
    relative_compute: float | None
    trained_parameters: int
    settings: tuple[Measurement, ...]
    chosen: int
    episodes: int
    sized_down: tuple[str, ...]
    note: str = ""
    difference: dict[str, Estimate] = field(default_factory=dict)

    @property
    def best(self) -> Measurement:
        """The row in its chosen setting."""
        return self.settings[self.chosen]


@dataclass(frozen=True)
class Group:
    """All entries of one task in one budget.

    Attributes:
        task, budget: Names.
        baseline: The many-step row that the others are compared with, the best by merit.
        facts: Versions, commits and machines behind the numbers.
        failed: "row seed" -> why that training has no result.
        entries: In the order of the table of rows.
        verdicts: Rows with one evaluation against every many-step row and setting; none without one.
    """

    task: str
    budget: str
    baseline: str | None
    facts: dict[str, str]
    failed: dict[str, str]
    entries: tuple[Entry, ...]
    verdicts: tuple[Verdict, ...] = ()


def gather(tasks: Sequence[Task], rows: Sequence[Row], runs: Path, kept: Kept = NOTHING) -> list[Group]:
    """Read every result there is.

    Raises:
        UserError: A result is of other options than the table of rows asks for.
    """
    groups = []
    for task in tasks:
        rounds = expert_rounds(task, runs, kept)
        costs = {row.name: find(cost_name(task.name, row.name), runs, kept) for row in rows}
        for budget in BUDGETS:
            results = {row.name: _results(Unit(task, row, budget, 0, runs, kept)) for row in rows}
            group = _group(task, budget, rows, results, rounds, costs)
            if group.entries:
                groups.append(group)
    return groups


def _results(unit: Unit) -> Results:
    """Training seed -> result that is complete in all settings."""
    beside = f"{unit.path.rpartition('/')[0]}/"
    names = {path.name for path in unit.directory.parent.glob("[0-9]*")}
    names |= {path.removeprefix(beside).partition("/")[0] for path in unit.kept if path.startswith(beside)}
    units = {seed: replace(unit, seed=seed) for seed in sorted(int(name) for name in names if name.isdigit())}
    return {seed: one.result() for seed, one in units.items() if not one.missing()}


def _group(
    task: Task,
    budget: str,
    rows: Sequence[Row],
    results: dict[str, Results],
    rounds: Sequence[Measured],
    costs: dict[str, Any],
) -> Group:
    failed = {f"{name} seed {s}": r["failed"] for name, rs in results.items() for s, r in rs.items() if "failed" in r}
    measured = {row.name: {s: r for s, r in results[row.name].items() if "failed" not in r} for row in rows}
    measured = _agreeing(measured)
    rows = [row for row in rows if measured[row.name]]
    entries = [_entry(task, budget, row, measured, rounds, costs[row.name]) for row in rows]
    many_step = [entry for entry in entries if entry.best.nfe >= MANY_STEPS]
    baseline = max(many_step, key=lambda entry: entry.best.merit) if many_step else None
    verdicts = ()
    if baseline is not None:
        against = _in_setting(measured[baseline.row], baseline.best)
        verdicts = _verdicts(entries, measured, task.looks)
        entries = [
            entry
            if entry is baseline
            else replace(entry, difference=_differences(_in_setting(measured[entry.row], entry.best), against))
            for entry in entries
        ]
    facts = [m["facts"] for rs in measured.values() for r in rs.values() for m in r["settings"].values()]
    merged = {key: " and ".join(dict.fromkeys(f[key] for f in facts)) for key in ("versions", "commit", "hardware")}
    name = baseline.row if baseline else None
    return Group(task.name, budget, name, merged, failed, tuple(entries), verdicts)


def _agreeing(measured: dict[str, Results]) -> dict[str, Results]:
    """The same, with one word on what the environment tells: rows are compared by what is there of all of them.

    Success that it tells now and then, as when it comes, is none in what it tells nothing of. A score that leaves
    [0, 1] anywhere is none anywhere.
    """
    settings = [one for results in measured.values() for r in results.values() for one in r["settings"].values()]
    told = any(is_known([one], "success") for one in settings)
    scored = all(is_known([one], "score") for one in settings)
    if scored and all(is_known([one], "success") for one in settings):
        return measured

    def agreeing(episodes: dict[str, Any]) -> dict[str, Any]:
        success = [[value or 0 if told else None for value in row] for row in episodes["success"]]
        score = [[value if scored else None for value in row] for row in episodes["score"]]
        return episodes | {"success": success, "score": score}

    def setting(one: Measured) -> Measured:
        return one | {part: agreeing(one[part]) for part in ("evaluation", "selection")}

    def training(one: dict[str, Any]) -> dict[str, Any]:
        return one | {"settings": {name: setting(each) for name, each in one["settings"].items()}}

    return {row: {seed: training(one) for seed, one in results.items()} for row, results in measured.items()}


def _verdicts(entries: Sequence[Entry], measured: dict[str, Results], looks: int) -> tuple[Verdict, ...]:
    """Rows with one evaluation, in their order, over the training seeds that they share with all many-step rows."""
    many = [(entry, one) for entry in entries for one in entry.settings if one.nfe >= MANY_STEPS]
    common = set.intersection(*(set(entry.seeds) for entry, _ in many))
    verdicts = []
    for entry in entries:
        seeds = sorted(common & set(entry.seeds))
        if entry.best.nfe != 1 or not seeds:
            continue
        rivals = [Rival(e.row, one.setting, [_in_setting(measured[e.row], one)[s] for s in seeds]) for e, one in many]
        ours = _in_setting(measured[entry.row], entry.best)
        forward = {e.row: _in_setting(measured[e.row], e.best) for e in entries}.get(FORWARD, {})
        modes, expert = ours[seeds[0]]["modes"], entry.best.numbers.expert_entropy
        ours = {seed: ours[seed] for seed in seeds}
        verdicts.append(judge(entry.row, entry.best.setting, ours, rivals, forward, modes, expert, looks))
    return tuple(verdicts)


def _entry(
    task: Task,
    budget: str,
    row: Row,
    measured: dict[str, Results],
    rounds: Sequence[Measured],
    cost: dict[str, Any] | None,
) -> Entry:
    results = measured[row.name]
    settings = _settings(row, list(results.values()), rounds)
    first, trainings = next(iter(results.values())), [result["training"] for result in results.values()]
    episodes = int(np.size(first["settings"][row.settings[0].name]["evaluation"]["mode"]))
    chosen = min(range(len(settings)), key=lambda i: (-settings[i].merit, settings[i].nfe))
    return Entry(
        task=task.name,
        budget=budget,
        row=row.name,
        seeds=tuple(results),
        steps=trainings[0]["steps"],
        cpu_s=float(np.mean([t["cpu_s"] for t in trainings])),
        wall_s=float(np.mean([t["wall_s"] for t in trainings])),
        relative_compute=_relative_compute(task, budget, results, measured.get(REFERENCE, {}), cost),
        trained_parameters=first["settings"][row.settings[0].name]["parameters"],
        settings=settings,
        chosen=chosen,
        episodes=episodes,
        sized_down=_sized_down(task, len(results), episodes),
        note="; ".join(
            filter(None, (row.note, _busy(results, settings[chosen]), _elsewhere(results, measured.get(REFERENCE, {}))))
        ),
    )


def _busy(results: Results, chosen: Measurement) -> str | None:
    """What is said of times of a busy machine: those of the training seed that waited most for a core."""
    return busy_remark(max(_in_setting(results, chosen).values(), key=lambda measured: measured.get("waited", 0.0)))


def _elsewhere(results: Results, reference: Results) -> str | None:
    """What is said of times that were not taken where the reference row's were."""
    ours, theirs = (
        {setting["facts"]["hardware"]: None for result in each.values() for setting in result["settings"].values()}
        for each in (results, reference)
    )
    if not theirs or ours.keys() == theirs.keys():
        return None
    return f"measured on {' and '.join(ours)}, and {REFERENCE} elsewhere: their times do not compare"


def _in_setting(results: Results, chosen: Measurement) -> dict[int, Measured]:
    return {seed: r["settings"][chosen.setting] | {"modes": r["modes"]} for seed, r in results.items()}


def _settings(row: Row, results: Sequence[dict[str, Any]], rounds: Sequence[Measured]) -> tuple[Measurement, ...]:
    measurements = []
    for setting in row.settings:
        seeds, modes = [result["settings"][setting.name] for result in results], results[0]["modes"]
        selection = summarize_trainings(seeds, modes, "selection", rounds)
        measurements.append(
            Measurement(
                setting=setting.name,
                merit=_merit(selection),
                nfe=seeds[0]["nfe"],
                p50_ms=float(np.median([m["p50_ms"] for m in seeds])),
                p99_ms=float(np.median([m["p99_ms"] for m in seeds])),
                parameters=seeds[0]["parameters_used"],
                numbers=summarize_trainings(seeds, modes, "evaluation", rounds),
            )
        )
    return tuple(measurements)


def _merit(selection: Numbers) -> float:
    """Quality times coverage; entropy above the demonstrators' is chance or another task, and earns nothing."""
    entropy, expert = selection.mode_entropy, selection.expert_entropy
    if entropy is None or not expert:
        return (selection.score or selection.quality).value
    return selection.quality.value * min(1.0, entropy.value / expert)


def _differences(first: dict[int, Measured], second: dict[int, Measured]) -> dict[str, Estimate]:
    """First minus second over the training seeds that both have."""
    common = sorted(first.keys() & second.keys())
    if not common:
        return {}
    one, other = [first[s] for s in common], [second[s] for s in common]
    known = [key for key in ("success", "score") if is_known(one, key)]
    differences = {key: paired_difference(per_state(one, key), per_state(other, key)) for key in known}
    modes = one[0]["modes"]
    if modes is not None and "success" in known and np.shape(one[0]["evaluation"]["mode"])[1] > 1:
        differences["mode_entropy"] = paired_difference(entropies(one, len(modes)), entropies(other, len(modes)))
    for key in ("energy", "bridge"):
        pair = (np.array([m[key] for m in seeds]) for seeds in (one, other))
        differences[key] = paired_difference(*pair, shared_groups=False)
    return differences


def _relative_compute(
    task: Task, budget: str, results: Results, reference: Results, cost: dict[str, Any] | None
) -> float | None:
    if cost is not None:
        steps = next(iter(results.values()))["training"]["steps"]
        return (cost["cost"]["start"] + cost["cost"]["step"] * steps) / (BUDGETS[budget] * task.train.steps)
    common = results.keys() & reference.keys()
    if not common:
        return None
    used, unit = (sum(r[s]["training"]["cpu_s"] for s in common) for r in (results, reference))
    return used / unit


def _sized_down(task: Task, num_seeds: int, episodes: int) -> tuple[str, ...]:
    shortfalls = (
        (num_seeds < task.num_seeds, f"{num_seeds} of {task.num_seeds} training seeds"),
        (episodes < WANTED_EPISODES, f"{episodes} of {WANTED_EPISODES} episodes per seed"),
        (bool(task.note), task.note),
    )
    return tuple(text for applies, text in shortfalls if applies)
