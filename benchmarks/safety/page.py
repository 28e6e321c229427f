"""The page and the drawing of what was measured: docs/results/safety.md and safety.png."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.safety.common import SCORES, TASKS
from benchmarks.safety.detection import ALPHA, CONTROLS, NUM_CALIBRATION, NUM_EPISODES, RESPLITS
from robolearn.files import replacing
from robolearn.report.style import axes_style
from robolearn.rollout.paired import grouped_mean

INK, MUTED, RULE = "#1d2127", "#5c6470", "#dde1e6"
COLORS = {"gate": "#0b7285", "random": "#a61e4d", "oracle": "#8a929c"}
STYLE: Any = {**axes_style(INK, MUTED, RULE), "font.size": 9, "axes.titlesize": 9, "axes.titlelocation": "left"}
METRICS = {
    "common_balanced_accuracy": "balanced accuracy, common horizon",
    "common_roc_auc": "AUC, common horizon",
    "common_time_weighted_accuracy": "TWA, common horizon",
    "balanced_accuracy": "balanced accuracy, whole episodes",
    "true_positive_rate": "failures found",
    "true_negative_rate": "successes left alone",
    "detection_time": "detection time",
    "time_weighted_accuracy": "TWA, whole episodes",
}
INTERVALS = ("common_balanced_accuracy", "common_roc_auc", "balanced_accuracy")


def write_page(out: Path, results: dict[str, Any]) -> None:
    """Write the page for what is there."""
    writers: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
        "bands": _bands,
        "misses": _misses,
        "detection": _detection,
        "gates": _gates,
        "fallbacks": _fallbacks,
        "dagger": _dagger,
        "tubes": _tubes,
        "sets": _sets,
        "cost": _cost,
    }
    lines = [
        "# Knowing when not to trust, measured",
        "",
        "Made by `python -m benchmarks.safety` from `safety.json`; what it means is in [safety.md](../safety.md). The",
        "policies are `cvae` on the MLP, five training seeds per task; the other four are fellow members of the one",
        "that acts, so that the seeds of a task share their networks. Calibration episodes start from seed",
        "700,000, evaluation episodes from 100,000.",
        "",
        "![gates and safety sets](safety.png)",
    ]
    for name, writer in writers.items():
        if name in results:
            made = results[name]["made"]
            lines += ["", *writer(results[name]), "", f"Commit {made['commit']}, {made['hardware']}."]
    with replacing(out.with_suffix(".md")) as part:
        part.write_text("\n".join(lines) + "\n")
    if {"gates", "sets"} <= set(results):
        _draw(out.with_suffix(".png"), results)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _bands(found: dict[str, Any]) -> Iterable[str]:
    yield "## Bands in closed loop"
    yield ""
    yield f"Successful episodes of the first policy with an alarm, alpha {ALPHA}, mean of {RESPLITS} resplits of its"
    yield "successes into quarters for shape and height and a half to test. Score: disagreement."
    yield ""
    rows = []
    for task in TASKS:
        row, alarms = found[task], found[task]["alarms"]
        rows.append(
            [
                task,
                f"{row['successes']}",
                f"{row['promised']:.3f} +- {row['standard_error']:.3f}",
                *(f"{alarms[rule]:.3f}" for rule in ("band", "constant", "interpolated", "threshold per step")),
            ]
        )
    yield from _table(
        ["task", "successes", "promised", "band", "constant limit", "np.quantile", "a threshold per step"], rows
    )


def _misses(found: dict[str, Any]) -> Iterable[str]:
    yield "## Two promises at once"
    yield ""
    yield "False alarms and misses of at most 0.1 each, on half the episodes of the first policy without shift and with"
    yield f"the sensor's bias, tested on the other half, {RESPLITS} resplits. Who abstains gets neither wrong."
    yield ""
    rows = [
        [
            f"{task}, {row['successes']} successes, {row['failures']} failures",
            score,
            f"{row['abstained']:.2f}",
            f"{row['false_alarms']:.3f}",
            f"{row['misses']:.3f}",
            f"{row['least_beta']:.2f}",
        ]
        for task in TASKS
        for score, row in found[task].items()
    ]
    yield from _table(
        ["task", "score", "abstains", "false alarms", "misses", "misses that alpha 0.1 leaves room for"], rows
    )


def values_of(found: dict[str, Any], score: str, metric: str) -> np.ndarray:
    """[seeds, tasks and shifts], of the shifts that have successes and failures for every seed."""
    columns = [
        [row[metric] for row in rows[score]]
        for task, shifts in TASKS.items()
        for shift, rows in found[task].items()
        if shift in shifts.shifts and all(row is not None for row in rows[score])
    ]
    return np.array(columns).T


def _detection(found: dict[str, Any]) -> Iterable[str]:
    yield "## Detection of failures"
    yield ""
    yield f"Thresholds at alpha {ALPHA} from {NUM_CALIBRATION} calibration episodes without shift; {NUM_EPISODES}"
    yield "episodes without and as many with each shift. Means over 5 training seeds, 3 tasks and 3 shifts, with a"
    yield "bootstrap interval over seeds and shifts. Misses count as detected at the end."
    yield ""
    rows = []
    for score in (*SCORES, *CONTROLS):
        cells = []
        for metric in METRICS:
            mean = grouped_mean(values_of(found, score, metric))
            interval = f" [{mean.low:.2f}, {mean.high:.2f}]" if metric in INTERVALS else ""
            cells.append(f"{mean.value:.2f}{interval}")
        rows.append([score, *cells])
    yield from _table(["score", *METRICS.values()], rows)
    yield ""
    horizons = {
        task: min(row["horizon"] for rows in found[task].values() for row in rows["time"] if row is not None)
        for task in TASKS
    }
    yield "Over whole episodes `time` shows what their length alone tells: failures mostly run until time is up. Up to"
    yield "the common horizon it tells nothing, and little is left to judge where one episode ends early, as by a"
    yield f"collision: {', '.join(f'{number} replannings in {task}' for task, number in horizons.items())}."
    shown = ("disagreement", "stac", "neighbour", "mahalanobis", "rnd", "logpzo", "time")
    for metric, title in (
        ("common_roc_auc", "AUC up to the common horizon"),
        ("balanced_accuracy", "Balanced accuracy over whole episodes"),
    ):
        yield ""
        yield f"{title}, mean of the seeds and the range they span; beside it the policies' success."
        yield ""
        rows = []
        for task in TASKS:
            for shift, by_score in found[task].items():
                cells = [_range([row and row[metric] for row in by_score[score]]) for score in shown]
                rows.append([task, shift, f"{np.mean(by_score['success']):.2f}", *cells])
        yield from _table(["task", "shift", "success", *shown], rows)
    yield ""
    yield "Alarms in episodes that succeed in spite of the shift (promised without shift: at most 0.1)."
    yield ""
    rows = []
    for task, definition in TASKS.items():
        for shift in definition.shifts:
            by_score = found[task][shift]
            cells = [_range([row and row["alarms_in_last_successes"] for row in by_score[score]]) for score in shown]
            rows.append([task, shift, *cells])
    yield from _table(["task", "shift", *shown], rows)


def _interval(value: float, low: float, high: float, spec: str = ".3f") -> str:
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def _range(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None and np.isfinite(value)]
    if not there:
        return "-"
    return f"{np.mean(there):.2f} ({min(there):.2f} to {max(there):.2f})"


def _gates(found: dict[str, Any]) -> Iterable[str]:
    yield "## Does the gate help?"
    yield ""
    yield "The expert takes over where the gate says so, under the sensor's bias; 200 episodes from the same initial"
    yield "states. Random: the gate's interventions in other episodes and at other times, and more until they"
    yield "come to as many steps; oracle: episodes that fail on their own, from the start. In brackets the share"
    yield "of steps under intervention, and how many steps of an episode that is: episodes that fail are long."
    yield ""
    rows = []
    for task in TASKS:
        one = found[task]
        for row in one["budgets"]:
            named = [_gate_cell(row[name]) for name in COLORS]
            gain = row["difference"]
            rows.append(
                [
                    f"{task}, {one['score']}",
                    f"{100 * row['budget']:.0f} %",
                    *named,
                    _interval(gain["value"], gain["low"], gain["high"], "+.3f"),
                    f"{one['never']['success']:.3f}",
                    f"{one['always']['success']:.3f}",
                ]
            )
    yield from _table(
        ["task, score", "budget", "gate", "random", "oracle", "gate - random", "never", "always"],
        rows,
    )


def _fallbacks(found: dict[str, Any]) -> Iterable[str]:
    yield "## What each fallback makes of it"
    yield ""
    yield "A gate on disagreement at alpha 0.1, without limit; success of 200 episodes from the same initial states, in"
    yield "brackets the share of episodes that end in a failure, such as a collision, and of steps under intervention."
    yield ""
    fallbacks = list(next(iter(found[task] for task in TASKS))["none"])
    rows = []
    for task in TASKS:
        for shift, by_fallback in found[task].items():
            cells = [
                f"{row['success'][0]:.3f} ({row['failures']:.2f}, {row['intervened']:.2f})"
                for row in by_fallback.values()
            ]
            rows.append([task, shift, *cells])
    yield from _table(["task", "shift", *fallbacks], rows)


def _dagger(found: dict[str, Any]) -> Iterable[str]:
    yield "## Learning from interventions"
    yield ""
    yield "What the expert did on the gate's alarms under the sensor's bias, in 300 episodes, mixed with the"
    yield "demonstrations; success without a gate of 200 episodes from the same initial states. Another seed is trained"
    yield "on the demonstrations alone."
    yield ""
    rows = []
    for task in found:
        if task not in TASKS:
            continue
        for shift in ("none", "sensor bias"):
            row = found[task][shift]
            cells = [_interval(*row[name]) for name in ("before", "another seed", "after")]
            gain = row["difference"]
            interval = _interval(gain["value"], gain["low"], gain["high"], "+.3f")
            rows.append([task, str(found[task]["recorded"]), shift, *cells, interval])
    yield from _table(["task", "interventions", "shift", "before", "another seed", "after", "after - before"], rows)


def _gate_cell(row: dict[str, float]) -> str:
    return f"{row['success']:.3f} ({row['intervened']:.2f}, {row['steps']:.0f})"


def _tubes(found: dict[str, Any]) -> Iterable[str]:
    yield "## Tubes"
    yield ""
    yield "Episodes that stay inside the tubes of all their chunks, for a model fitted to half of 400 calibration"
    yield "episodes and calibrated on the other half, alpha 0.1, in 300 new episodes. The union bound has a"
    yield "threshold per step."
    yield ""
    rows = [
        [
            task,
            _interval(row["covered"], row["low"], row["high"]),
            f"{row['radius_mm']:.2f}",
            f"{row['union_covered']:.3f}",
            f"{row['union_radius_mm']:.2f}",
        ]
        for task in TASKS
        for row in [found[task]]
    ]
    yield from _table(
        ["task", "covered (promised 0.900)", "mean radius [mm]", "by the union bound", "its mean radius [mm]"], rows
    )


def _sets(found: dict[str, Any]) -> Iterable[str]:
    yield "## Safety sets in Avoid, with a cylinder that was moved"
    yield ""
    yield "Of 32 chunks one that keeps clear with its tube is executed, hold where none does; 300 episodes from the"
    yield "same initial states. The policy does not see the cylinders."
    yield ""
    rows = []
    for row in found["rows"]:
        gain = row["success_difference"]
        rows.append(
            [
                f"{1e3 * row['moved']:.0f}",
                _interval(*row["one sample"]["collisions"]),
                _interval(*row["nearest of 32"]["collisions"]),
                _interval(*row["set"]["collisions"]),
                _interval(*row["one sample"]["success"]),
                _interval(*row["set"]["success"]),
                _interval(gain["value"], gain["low"], gain["high"], "+.3f"),
            ]
        )
    yield from _table(
        [
            "moved [mm]",
            "collisions, one sample",
            "nearest of 32",
            "with the set",
            "success, one sample",
            "with the set",
            "difference",
        ],
        rows,
    )
    yield ""
    plain = [row["tube as calibrated without the set"]["covered"] for row in found["rows"]]
    anew = [row["tube calibrated anew"]["covered"] for row in found["rows"]]
    yield "Choosing is another controller. Tubes calibrated without it hold in a share of"
    yield f"{min(plain):.3f} to {max(plain):.3f} of its episodes, calibrated anew with it in {min(anew):.3f} to"
    yield f"{max(anew):.3f} (promised 0.900)."


def _cost(found: dict[str, Any]) -> Iterable[str]:
    yield "## What it costs"
    yield ""
    yield f"Milliseconds at a replanning of one environment ({found['task']}, one CPU thread), score and gate together;"
    yield f"the policy's own chunk: p50 {found['policy']['p50_ms']:.2f}, p99 {found['policy']['p99_ms']:.2f}. Five"
    yield "members, 16 samples each where a score asks for samples."
    yield ""
    rows = [[score, f"{found[score]['p50_ms']:.2f}", f"{found[score]['p99_ms']:.2f}"] for score in SCORES]
    yield from _table(["score", "p50", "p99"], rows)


def _draw(path: Path, results: dict[str, Any]) -> None:
    """Success over interventions, a panel per task, and collisions over how far the cylinder was moved."""
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(11, 3.1), layout="constrained", dpi=130)
        panels = figure.subplots(1, 4)
        for ax, task in zip(panels, TASKS, strict=False):
            one = results["gates"][task]
            ends = [(one[name]["intervened"], one[name]["success"]) for name in ("never", "always")]
            for name, color in COLORS.items():
                points = [(row[name]["intervened"], row[name]["success"]) for row in one["budgets"]]
                ax.plot(*np.array([ends[0], *points, ends[1]]).T, "o-", color=color, ms=3.5, lw=1.3, label=name)
            ax.set(title=f"{task}: expert by {one['score']}", xlabel="steps under intervention", ylim=(0, 1.04))
        panels[0].set_ylabel("success")
        panels[0].legend(loc="lower right")
        rows = results["sets"]["rows"]
        for name, color in (("one sample", COLORS["random"]), ("set", COLORS["gate"])):
            values = np.array([row[name]["collisions"] for row in rows])
            moved = [1e3 * row["moved"] for row in rows]
            panels[3].fill_between(moved, values[:, 1], values[:, 2], color=color, alpha=0.15, lw=0)
            label = "safety set" if name == "set" else name
            panels[3].plot(moved, values[:, 0], "o-", color=color, ms=3.5, lw=1.3, label=label)
        panels[3].set(title="avoid: safety set", xlabel="cylinder moved [mm]", ylabel="collisions", ylim=(-0.02, 0.5))
        panels[3].legend(loc="upper left")
        with replacing(path) as file:
            figure.savefig(file, format="png")
