"""What is decided by the units, and the page: tables with intervals.

Success is a mean over training seeds and initial states, its interval over both; choices
are compared in pairs of the same seeds and states. Rules, fixed before a result was seen:

* a difference is *shown* if its interval lies above zero, *missed* if below, *not shown* otherwise; of one training
  seed alone nothing is said, since its interval knows no other seed (added when only one had been measured);
* padding counts by default (held) if the difference held - masked over all tasks and families together is shown and
  none of a single task and family is missed;
* a backbone's learning rate changes from 1e-3 to the rate with the largest mean difference over both tasks, among
  those that are shown; without any it stays.

Only training seeds that all choices of a comparison have are used.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.padding_and_rates.units import DENOISERS, PADDINGS, PRESENT_RATE, RATES, TASKS, read_units
from benchmarks.tables import table
from robolearn.config import read_json, to_json, write_json
from robolearn.errors import UserError
from robolearn.policies.registry import BACKBONES
from robolearn.stats.bootstrap import grouped_mean
from robolearn.stats.value import Estimate
from robolearn.types import Array

Success = dict[tuple[str, str, str, str], dict[int, Array]]  # study, task, model, choice -> seed -> episodes [c]


def read(paths: Sequence[Path]) -> tuple[Success, list[dict[str, Any]]]:
    """Success of every unit by its name, and the units.

    Raises:
        UserError: There are none, or they are of different sizes.
    """
    units = {unit["unit"]: unit for path in paths for unit in read_units(path)}
    if not units:
        raise UserError(f"{', '.join(map(str, paths))}: no finished unit")
    if len({json.dumps(unit["size"]) for unit in units.values()}) > 1:
        raise UserError("units of different sizes cannot be put together")
    success: Success = {}
    for name, unit in units.items():
        study, task, model, choice, seed = name.split("/")
        success.setdefault((study, task, model, choice), {})[int(seed)] = np.array(unit["success"], float)
    return success, list(units.values())


def compare(success: Success, study: str, model: str, choices: Sequence[str], base: str) -> dict[str, Any]:
    """Every choice of a model against one of them: on each task, and where all tasks are there on all together."""
    results: dict[str, Any] = {"tasks": {}}
    pairs: dict[str, list[tuple[list[int], Array]]] = {choice: [] for choice in choices if choice != base}
    for task in TASKS:
        runs = {choice: success.get((study, task, model, choice), {}) for choice in choices}
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values())))
        if not seeds:
            continue
        rows = {choice: np.stack([by_seed[seed] for seed in seeds]) for choice, by_seed in runs.items()}
        results["tasks"][task] = {"seeds": seeds, "success": {c: to_json(grouped_mean(r), {}) for c, r in rows.items()}}
        results["tasks"][task]["difference"] = {c: judged(rows[c] - rows[base]) for c in pairs}
        for choice, collected in pairs.items():
            collected.append((seeds, rows[choice] - rows[base]))
    if len(results["tasks"]) == len(TASKS):
        results["together"] = {choice: judged(joined(parts)) for choice, parts in pairs.items()}
    return results


def joined(parts: Sequence[tuple[list[int], Array]]) -> Array:
    """Differences [s, c] side by side, of the seeds that all have; equally many states each, so tasks count alike."""
    common = sorted(set.intersection(*(set(seeds) for seeds, _ in parts)))
    return np.concatenate([rows[[seeds.index(seed) for seed in common]] for seeds, rows in parts], axis=1)


def judged(differences: Array) -> dict[str, Any]:
    """The mean of paired differences [s, c] and what it shows."""
    mean = grouped_mean(differences)
    return {
        **to_json(mean, {}),
        "verdict": mean.outcome(least=0.0, strict=True) if len(differences) > 1 else "one seed",
    }


def decide_padding(success: Success) -> dict[str, Any]:
    """Every denoiser by itself, all of them (the mean over them is one more model), and the default."""
    for task, choice in itertools.product(TASKS, PADDINGS):
        runs = [success.get(("padding", task, model, choice), {}) for model in DENOISERS]
        seeds = set.intersection(*map(set, runs))
        success["padding", task, "all", choice] = {
            seed: np.mean([by_seed[seed] for by_seed in runs], axis=0) for seed in seeds
        }
    models = {model: compare(success, "padding", model, PADDINGS, "masked") for model in (*DENOISERS, "all")}
    singles = [row["difference"]["held"] for model in DENOISERS for row in models[model]["tasks"].values()]
    together = models["all"].get("together", {}).get("held", {"verdict": "not shown"})
    held = together["verdict"] == "shown" and all(one["verdict"] != "missed" for one in singles)
    return {"models": models, "default": "held" if held else "masked"}


def decide_rates(success: Success) -> dict[str, Any]:
    """Every backbone, and its default."""
    models = {model: compare(success, "rates", model, list(RATES), PRESENT_RATE) for model in BACKBONES}
    for results in models.values():
        better = {c: d["value"] for c, d in results.get("together", {}).items() if d["verdict"] == "shown"}
        results["default"] = max(better, key=lambda choice: better[choice]) if better else PRESENT_RATE
    return {"models": {model: results for model, results in models.items() if results["tasks"]}}


def text(number: dict[str, Any], sign: str = "") -> str:
    """A number with its interval."""
    return format(Estimate(*(number[key] for key in ("value", "low", "high", "n"))), f"{sign}.3f")


def comparison(study: dict[str, Any], choices: Sequence[str], base: str) -> str:
    """Success of every choice, and its difference from one of them."""
    others = [choice for choice in choices if choice != base]
    lines = []
    for model, results in study["models"].items():
        for task, row in results["tasks"].items():
            differences = [f"{text(row['difference'][c], '+')} {row['difference'][c]['verdict']}" for c in others]
            lines.append(
                [model, task, str(len(row["seeds"])), *(text(row["success"][c]) for c in choices), *differences]
            )
        if "together" in results:
            together = [f"{text(results['together'][c], '+')} {results['together'][c]['verdict']}" for c in others]
            lines.append([model, "together", "", *[""] * len(choices), *together])
    return "\n".join(table(["", "task", "seeds", *choices, *(f"{choice} - {base}" for choice in others)], lines))


def page(report: dict[str, Any]) -> str:
    """The page of results."""
    size, padding, rates = report["size"], report["padding"], report["rates"]
    hardware, commits = "; ".join(report["hardware"]), ", ".join(report["commits"])
    parts = [
        "# Results: padding and learning rates",
        "`python -m benchmarks.padding_and_rates run` trained and rolled out; `python -m\n"
        "benchmarks.padding_and_rates page` made this page. Success from "
        f"{size['episodes']} initial states, the same\n"
        "for all; intervals of 95 % over training seeds and initial states together, differences paired. The\n"
        "rules of the verdicts stand in `benchmarks/padding_and_rates/page.py` and were fixed before a result\n"
        f"was seen. {hardware}; commit {commits}.",
    ]
    if any(results["tasks"] for results in padding["models"].values()):
        parts += [
            f"## Padding: {size['steps']['padding']:,} steps, MLP",
            comparison(padding, PADDINGS, "masked"),
            f"Default: {padding['default']}.",
        ]
    if rates["models"]:
        defaults = ", ".join(f"{model} {results['default']}" for model, results in rates["models"].items())
        parts += [
            f"## Learning rates: {size['steps']['rates']:,} steps, flow",
            comparison(rates, list(RATES), PRESENT_RATE),
            f"Defaults: {defaults}.",
        ]
    return "\n\n".join(parts) + "\n"


def write(paths: Sequence[Path], out: Path) -> None:
    """Decide, and write OUT.json and OUT.md; units that come from a report keep what it says of where they ran."""
    success, units = read(paths)
    reports = [read_json(path) for path in paths if path.suffix == ".json"]
    facts = {
        plural: sorted(
            {unit["facts"][name] for unit in units if "facts" in unit}.union(*(report[plural] for report in reports))
        )
        for plural, name in (("hardware", "hardware"), ("versions", "versions"), ("commits", "commit"))
    }
    report = {
        "size": units[0]["size"],
        **facts,
        "padding": decide_padding(success),
        "rates": decide_rates(success),
        "units": {unit["unit"]: "".join(map(str, unit["success"])) for unit in units},
    }
    write_json(out.with_suffix(".json"), report)
    out.with_suffix(".md").write_text(page(report))
