"""Detection of failures, in distribution and under three kinds of shift; bands and two-sided thresholds on the way.

Thresholds are split conformal ones at alpha 0.1 on the successful episodes of 200 calibration rollouts without shift.
Two readings of time stand side by side: the whole episode, where an alarm may come as long as it runs, and up to the
common horizon, the length of the shortest episode. Misses count as detected at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.safety.common import CALIBRATION, EVALUATION, SCORES, SEEDS, TASKS, Episodes, episodes
from robolearn.safety.bands import fit_band
from robolearn.safety.conformal import exceeds, threshold
from robolearn.safety.detection import Detection, controls, detection
from robolearn.safety.detector import calibrate_detector

ALPHA, NUM_CALIBRATION, NUM_EPISODES = 0.1, 200, 200
NUM_BAND, RESPLITS = 800, 200
CONTROLS = ("time", "random", "constant")
MISSES = ("disagreement", "stac", "neighbour", "mahalanobis", "rnd", "logpzo")
NUMBERS = ("true_positive_rate", "true_negative_rate", "balanced_accuracy", "detection_time", "time_weighted_accuracy")


def measure_detection() -> dict[str, Any]:
    """Task -> shift -> score -> numbers per training seed; a shift's episodes are pooled with as many without."""
    return {
        task: {shift: _per_seed(task, shift) for shift in ("none", *definition.shifts)}
        for task, definition in TASKS.items()
    }


def _per_seed(task: str, shift: str) -> dict[str, Any]:
    rows: dict[str, Any] = {"success": [], **{name: [] for name in (*SCORES, *CONTROLS)}}
    for seed in SEEDS:
        calibration = episodes(task, seed, "none", CALIBRATION, NUM_CALIBRATION)
        plain = episodes(task, seed, "none", EVALUATION, NUM_EPISODES)
        shifted = episodes(task, seed, shift, EVALUATION, NUM_EPISODES)
        rows["success"].append(float(shifted.success.mean()))
        parts = (plain,) if shift == "none" else (plain, shifted)
        for name in (*SCORES, *CONTROLS):
            rows[name].append(_judge(name, calibration, parts))
    return rows


def _judge(name: str, calibration: Episodes, parts: tuple[Episodes, ...]) -> dict[str, float] | None:
    """Numbers of one score for one policy; None where there is no success or no failure."""
    success, plans = (np.concatenate([getattr(part, field) for part in parts]) for field in ("success", "plans"))
    if success.all() or not success.any():
        return None
    steps = max(int(part.plans.max()) for part in (calibration, *parts))
    known = _whole(calibration, name, steps)
    scores = np.concatenate([_whole(part, name, steps, 1 + i) for i, part in enumerate(parts)])
    limit = threshold(known[calibration.success].max(1), ALPHA)
    whole = detection(scores, np.full(len(plans), steps), success, limit, num_resamples=2)
    horizon = int(min(plans.min(), calibration.plans.min()))
    early = threshold(known[calibration.success, :horizon].max(1), ALPHA)
    common = detection(scores[:, :horizon], np.full(len(plans), horizon), success, early, num_resamples=2)
    return {
        **_numbers(whole, ""),
        **_numbers(common, "common_"),
        "roc_auc": whole.roc_auc.value,
        "common_roc_auc": common.roc_auc.value,
        "horizon": horizon,
        "alarms_in_last_successes": float((scores.max(1) > limit)[-len(parts[-1].plans) :][parts[-1].success].mean())
        if parts[-1].success.any()
        else float("nan"),
    }


def _numbers(found: Detection, prefix: str) -> dict[str, float]:
    return {prefix + name: getattr(found, name).value for name in NUMBERS}


def _whole(part: Episodes, name: str, steps: int, stream: int = 0) -> np.ndarray:
    """Scores [e, steps]; behind the end of an episode nothing alarms."""
    if name in CONTROLS:
        scores = controls(len(part.plans), steps, stream)[name]
    else:
        scores = np.pad(part.scores[name], ((0, 0), (0, steps - part.scores[name].shape[1])))
    return np.where(np.arange(steps) < part.plans[:, None], scores, -np.inf)


def measure_bands(name: str = "disagreement") -> dict[str, Any]:
    """False alarms of new successful episodes, over resplits of the successes of one policy per task.

    Episodes that end keep their last score, so that all have one length. Splits overlap: the standard error is that
    of independent episodes, from the number of successes, not from the number of splits.
    """
    return {task: _resplit(episodes(task, 0, "none", EVALUATION, NUM_BAND), name) for task in TASKS}


def _resplit(all_episodes: Episodes, name: str) -> dict[str, Any]:
    scores = _held(all_episodes, name)[all_episodes.success]
    rng, n = np.random.default_rng(0), len(scores)
    quarter = n // 4
    rules: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray | float]] = {
        "band": lambda a, b: fit_band(a, b, ALPHA).limit,
        "constant": lambda a, b: fit_band(a, b, ALPHA, constant=True).limit,
        "interpolated": lambda a, b: float(np.quantile(b.max(1), 1 - ALPHA)),
        "threshold per step": lambda a, b: np.array([threshold(b[:, t], ALPHA) for t in range(b.shape[1])]),
    }
    alarms: dict[str, list[float]] = {rule: [] for rule in rules}
    for _ in range(RESPLITS):
        order = rng.permutation(n)
        a, b, new = np.split(scores[order], [quarter, 2 * quarter])
        for rule, limit in rules.items():
            alarms[rule].append(float(exceeds(new, limit(a, b)).any(1).mean()))
    promised = 1 - np.ceil((quarter + 1) * (1 - ALPHA)) / (quarter + 1)
    return {
        "successes": n,
        "calibration": quarter,
        "promised": float(promised),
        "standard_error": float(np.sqrt(ALPHA * (1 - ALPHA) * (1 / quarter + 1 / (n - 2 * quarter)))),
        "alarms": {rule: float(np.mean(values)) for rule, values in alarms.items()},
    }


def _held(part: Episodes, name: str) -> np.ndarray:
    """Scores [e, p]; an episode that has ended keeps its last score."""
    last = part.scores[name][np.arange(len(part.plans)), part.plans - 1]
    return np.where(np.isnan(part.scores[name]), last[:, None], part.scores[name])


def measure_misses(beta: float = 0.1) -> dict[str, Any]:
    """Task -> score -> two promises at once on new episodes, half without shift and half with the sensor's bias."""
    return {task: {name: _both_promises(task, name, beta) for name in MISSES} for task in TASKS}


def _both_promises(task: str, name: str, beta: float) -> dict[str, float]:
    """How often a detector abstains over resplits, and what it gets wrong where it does not."""
    parts = [episodes(task, 0, shift, EVALUATION, NUM_EPISODES) for shift in ("none", "sensor bias")]
    steps = max(int(part.plans.max()) for part in parts)
    peaks = np.concatenate([_whole(part, name, steps).max(1) for part in parts])
    success = np.concatenate([part.success for part in parts])
    rng, rows = np.random.default_rng(0), []
    for _ in range(RESPLITS):
        known = rng.permutation(len(peaks)) < len(peaks) // 2
        detector = calibrate_detector(peaks[known & success], peaks[known & ~success], ALPHA, beta)
        abstains = detector.threshold is None
        alarm = np.zeros(len(peaks), bool) if abstains else peaks > detector.threshold
        false_alarms, misses = alarm[~known & success].mean(), (~alarm)[~known & ~success].mean()
        rows.append((abstains, false_alarms, 0.0 if abstains else misses, detector.least_beta))
    abstained, false_alarms, misses, least_beta = (float(np.mean(column)) for column in zip(*rows, strict=True))
    return {
        "failures": int((~success).sum()),
        "successes": int(success.sum()),
        "abstained": abstained,
        "false_alarms": false_alarms,
        "misses": misses,
        "least_beta": least_beta,
    }
