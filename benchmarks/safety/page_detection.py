"""The page's tables of alarms: how many are false, how many failures they find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.safety.detection import BETA, CONTROLS, MISSES, RULES
from benchmarks.safety.study import ALPHA, SCORES, TASKS
from benchmarks.tables import prose, spread, table
from robolearn.stats.bootstrap import grouped_mean

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
SHOWN = (*MISSES, "time")
RULE_TITLES = ("band", "constant limit", "np.quantile", "a threshold per step")


def alarms(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """False alarms in closed loop, on seeds that were not calibrated on."""
    yield "## False alarms in closed loop"
    yield ""
    yield from prose(
        f"Successful episodes without shift that have an alarm, alpha {ALPHA}: mean of the policies, in "
        "brackets the range they span. Limits are calibrated on the successes of episodes from seed "
        "700,000 and judged on those from 100,000, a different set of initial states. Score: "
        "disagreement; half of the calibration episodes give a band its form and the other half gives "
        "every rule its height. One policy's share varies, by its calibration's draw and that of the new "
        "episodes, with the standard deviation that is given."
    )
    rows = []
    for task in tasks:
        row = figures[task]
        promised = f"{np.mean(row['promised']):.3f}"
        if row["deviation"]:
            promised += f", deviation {np.mean(row['deviation']):.3f}"
        counts = [f"{sum(row[name])}" for name in ("calibration_successes", "successes")]
        rows.append([task, *counts, promised, *(spread(row["rules"][rule], 3) for rule in RULES)])
    yield from table(["task", "calibrated on", "judged on", "promised", *RULE_TITLES], rows)
    yield ""
    yield from prose("One threshold per policy on all its calibration episodes, by score:")
    rows = [
        [
            task,
            f"{np.mean(figures[task]['promised_by_all']):.3f}",
            *(spread(figures[task]["scores"][name], 3) for name in MISSES),
        ]
        for task in tasks
    ]
    yield from table(["task", "promised", *MISSES], rows)


def misses(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """False alarms and misses promised together."""
    yield "## Two promises at once"
    yield ""
    yield from prose(
        f"False alarms of at most {ALPHA} and misses of at most {BETA}, calibrated on episodes without "
        "shift and as many with the sensor's bias from seed 700,000, judged on as many from 100,000: mean "
        "of the policies, in brackets the range. The failures of both kinds of seeds come from the same "
        "shift: the promise needs that. Who abstains gets neither wrong."
    )
    rows = []
    for task in tasks:
        for score in MISSES:
            row = figures[task][score]
            if row["successes"]:
                counts = f"{sum(row['successes'])} successes, {sum(row['failures'])} failures"
                numbers = [spread(row[key], 3) for key in ("false_alarms", "misses")]
                abstained = f"{sum(row['abstained']):.0f} of {len(row['abstained'])}"
                rows.append([f"{task}, {counts}", score, abstained, *numbers, spread(row["least_beta"])])
    header = ["task", "score", "policies that abstain", "false alarms", "misses"]
    yield from table([*header, "misses that alpha 0.1 leaves room for"], rows)


def values_of(figures: dict[str, Any], score: str, metric: str, tasks: tuple[str, ...]) -> np.ndarray:
    """[seeds, tasks and shifts], of the shifts that have successes and failures for every seed."""
    columns = [
        [row[metric] for row in rows[score]]
        for task in tasks
        for shift, rows in figures[task].items()
        if shift in TASKS[task].shifts and all(row is not None for row in rows[score])
    ]
    return np.array(columns).T


def detection(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    """How well failures are told from successes."""
    yield "## Detection of failures"
    yield ""
    yield from prose(
        f"Thresholds at alpha {ALPHA} from calibration episodes without shift; episodes without and as "
        "many with each shift. Means over training seeds, tasks and shifts, with a bootstrap interval "
        "over seeds and shifts. Misses count as detected at the end."
    )
    rows = []
    for score in (*SCORES, *CONTROLS):
        cells = []
        for metric in METRICS:
            values = values_of(figures, score, metric, tasks)
            if not values.size:
                cells.append("-")
                continue
            mean = grouped_mean(values)
            cells.append(f"{mean:.2f}" if metric in INTERVALS else f"{mean.value:.2f}")
        rows.append([score, *cells])
    yield from table(["score", *METRICS.values()], rows)
    yield ""
    horizons = {
        task: min(there)
        for task in tasks
        if (there := [row["horizon"] for rows in figures[task].values() for row in rows["time"] if row is not None])
    }
    yield from prose(
        "Over whole episodes `time` shows what their length alone tells: failures mostly run until time is "
        "up. Up to the common horizon it tells nothing, and little is left to judge where one episode ends "
        "early, as by a collision: "
        f"{', '.join(f'{number} replannings in {task}' for task, number in horizons.items())}."
    )
    yield from _by_shift(figures, tasks)
    yield from _alarms_in_successes(figures, tasks)


def _alarms_in_successes(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    yield from prose("Alarms in episodes that succeed in spite of the shift (promised without shift: at most 0.1).")
    rows = []
    for task in tasks:
        for shift in TASKS[task].shifts:
            by_score = figures[task][shift]
            cells = [spread([row and row["alarms_in_last_successes"] for row in by_score[score]]) for score in SHOWN]
            rows.append([task, shift, *cells])
    yield from table(["task", "shift", *SHOWN], rows)


def _by_shift(figures: dict[str, Any], tasks: tuple[str, ...]) -> Iterable[str]:
    yield from prose(
        "By task and shift, mean of the seeds and the range they span; beside it the policies' success, and how "
        "many failures each seed's number rests on. Where these are few, the range is mostly chance: with 4 "
        "failures and no knowledge an AUC is outside 0.21 to 0.79 in one case of twenty."
    )
    for metric, title in (
        ("common_roc_auc", "AUC up to the common horizon:"),
        ("balanced_accuracy", "Balanced accuracy over whole episodes:"),
    ):
        yield from prose(title)
        rows = []
        for task in tasks:
            for shift, by_score in figures[task].items():
                cells = [spread([row and row[metric] for row in by_score[score]]) for score in SHOWN]
                failures = f"{min(by_score['failures'])} to {max(by_score['failures'])} of {by_score['episodes'][0]}"
                rows.append([task, shift, f"{np.mean(by_score['success']):.2f}", failures, *cells])
        yield from table(["task", "shift", "success", "failures", *SHOWN], rows)
        yield ""
