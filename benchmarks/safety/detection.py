"""Detection of failures, in distribution and under three kinds of shift; false alarms and misses on other seeds.

Thresholds are split conformal ones at alpha 0.1 on the successful episodes of 200 calibration rollouts without shift,
and are judged on episodes from other seeds. Two readings of time stand side by side: the whole episode, where an alarm
may come as long as it runs, and up to the common horizon, the length of the shortest episode. Misses count as detected
at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.safety.raw import Episodes, Raw
from benchmarks.safety.study import ALPHA, BIAS, SCORES, TASKS
from benchmarks.safety.watched import find, seeds
from robolearn.trust.conformal.bands import fit_band
from robolearn.trust.conformal.misses import calibrate_detector
from robolearn.trust.conformal.thresholds import exceeds, threshold, threshold_rank
from robolearn.trust.detection import Detection, controls, detection

CONTROLS = ("time", "random", "constant")
MISSES = ("disagreement", "stac", "neighbour", "mahalanobis", "rnd", "logpzo")
RULES = ("band", "constant", "interpolated", "threshold per step")
NUMBERS = ("true_positive_rate", "true_negative_rate", "balanced_accuracy", "detection_time", "time_weighted_accuracy")
BETA = 0.1


def detection_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> shift -> score -> numbers per training seed; a shift's episodes are pooled with as many without."""
    return {task: {shift: _per_seed(raw, task, shift) for shift in ("none", *TASKS[task].shifts)} for task in tasks}


def _per_seed(raw: Raw, task: str, shift: str) -> dict[str, Any]:
    rows: dict[str, Any] = {name: [] for name in ("success", "failures", "episodes", *SCORES, *CONTROLS)}
    for seed in seeds(raw, task):
        calibration, plain = (find(raw, task, seed, "none", purpose) for purpose in ("calibration", "evaluation"))
        shifted = find(raw, task, seed, shift, "evaluation")
        parts = (plain,) if shift == "none" else (plain, shifted)
        rows["success"].append(float(shifted.success.mean()))
        rows["failures"].append(int(sum((~part.success).sum() for part in parts)))
        rows["episodes"].append(sum(map(len, parts)))
        for name in (*SCORES, *CONTROLS):
            rows[name].append(_judge(name, calibration, parts))
    return rows


def _judge(name: str, calibration: Episodes, parts: tuple[Episodes, ...]) -> dict[str, float] | None:
    """Numbers of one score for one policy; None where there is no success or no failure."""
    success, plans = (np.concatenate([getattr(part, field) for part in parts]) for field in ("success", "plans"))
    if success.all() or not success.any() or not calibration.success.any():
        return None
    steps = max(int(part.plans.max()) for part in (calibration, *parts))
    known = whole(calibration, name, steps)
    scores = np.concatenate([whole(part, name, steps, 1 + i) for i, part in enumerate(parts)])
    limit = threshold(known[calibration.success].max(1), ALPHA)
    judged = detection(scores, np.full(len(plans), steps), success, limit, num_resamples=2)
    horizon = int(min(plans.min(), calibration.plans.min()))
    early = threshold(known[calibration.success, :horizon].max(1), ALPHA)
    common = detection(scores[:, :horizon], np.full(len(plans), horizon), success, early, num_resamples=2)
    last = parts[-1].success
    return {
        **_numbers(judged, ""),
        **_numbers(common, "common_"),
        "roc_auc": judged.roc_auc.value,
        "common_roc_auc": common.roc_auc.value,
        "horizon": horizon,
        "alarms_in_last_successes": float((scores.max(1) > limit)[-len(last) :][last].mean())
        if last.any()
        else float("nan"),
    }


def _numbers(metrics: Detection, prefix: str) -> dict[str, float]:
    return {prefix + name: getattr(metrics, name).value for name in NUMBERS}


def whole(part: Episodes, name: str, steps: int, stream: int = 0) -> np.ndarray:
    """Scores [e, steps]; behind the end of an episode nothing alarms."""
    if name in CONTROLS:
        scores = controls(len(part), steps, stream)[name]
    else:
        scores = part.padded(name)
        scores = np.pad(scores, ((0, 0), (0, steps - scores.shape[1])))
    return np.where(np.arange(steps) < part.plans[:, None], scores, -np.inf)


def alarm_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> false alarms in successes without shift, by limits calibrated on other seeds, per policy.

    ``rules``: limits on disagreement by the same calibration episodes, half for a band's form and half for its height,
    which is the half that the other rules use as well. ``scores``: the threshold on all calibration episodes.
    """
    return {task: _false_alarms(raw, task) for task in tasks}


def _false_alarms(raw: Raw, task: str) -> dict[str, Any]:
    rules: dict[str, list[float]] = {rule: [] for rule in RULES}
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    known, judged = [], []
    for seed in seeds(raw, task):
        calibration, new = (find(raw, task, seed, "none", purpose) for purpose in ("calibration", "evaluation"))
        known.append(int(calibration.success.sum()))
        judged.append(int(new.success.sum()))
        if not known[-1] or not judged[-1]:
            continue
        for rule, share in _by_rule(calibration, new).items():
            rules[rule].append(share)
        for name in SCORES:
            limit = threshold(np.nanmax(calibration.padded(name), 1)[calibration.success], ALPHA)
            scores[name].append(float((np.nanmax(new.padded(name), 1)[new.success] > limit).mean()))
    halves = [n // 2 for n in known]
    return {
        "calibration_successes": known,
        "successes": judged,
        "promised": [1 - threshold_rank(n, ALPHA) / (n + 1) for n in halves],
        "promised_by_all": [1 - threshold_rank(n, ALPHA) / (n + 1) for n in known],
        # Of one policy's share: the calibration's draw and that of the new episodes.
        "deviation": [
            float(np.sqrt(ALPHA * (1 - ALPHA) * (1 / n + 1 / m))) for n, m in zip(halves, judged, strict=True)
        ]
        if all(halves) and all(judged)
        else [],
        "rules": rules,
        "scores": scores,
    }


def _by_rule(calibration: Episodes, new: Episodes) -> dict[str, float]:
    steps = int(max(calibration.plans.max(), new.plans.max()))
    known, fresh = (_held(part, "disagreement", steps)[part.success] for part in (calibration, new))
    shape, height = known[::2], known[1::2]
    if not len(height):
        return {}
    limits: dict[str, Callable[[], np.ndarray | float]] = {
        "band": lambda: fit_band(shape, height, ALPHA).limit,
        "constant": lambda: fit_band(shape, height, ALPHA, constant=True).limit,
        "interpolated": lambda: float(np.quantile(height.max(1), 1 - ALPHA)),
        "threshold per step": lambda: np.array([threshold(height[:, t], ALPHA) for t in range(steps)]),
    }
    return {rule: float(exceeds(fresh, limits[rule]()).any(1).mean()) for rule in RULES}


def _held(part: Episodes, name: str, steps: int) -> np.ndarray:
    """Scores [e, steps]; an episode that has ended keeps its last score."""
    scores = part.padded(name)
    last = scores[np.arange(len(part)), part.plans.astype(int) - 1]
    scores = np.pad(scores, ((0, 0), (0, steps - scores.shape[1])), constant_values=np.nan)
    return np.where(np.isnan(scores), last[:, None], scores)


def miss_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> score -> two promises at once, per policy.

    Calibrated on episodes without shift and as many with the sensor's bias, and judged on as many from other seeds.
    """
    return {task: {name: _both_promises(raw, task, name) for name in MISSES} for task in tasks}


def _both_promises(raw: Raw, task: str, name: str) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {
        key: [] for key in ("successes", "failures", "abstained", "false_alarms", "misses", "least_beta")
    }
    for seed in seeds(raw, task):
        (known, known_success), (peaks, success) = (
            _peaks(raw, task, seed, name, purpose) for purpose in ("calibration", "evaluation")
        )
        if not 0 < known_success.sum() < len(known_success) or not 0 < success.sum() < len(success):
            continue
        detector = calibrate_detector(known[known_success], known[~known_success], ALPHA, BETA)
        alarm = np.zeros(len(peaks), bool) if detector.threshold is None else peaks > detector.threshold
        rows["successes"].append(int(success.sum()))
        rows["failures"].append(int((~success).sum()))
        rows["abstained"].append(float(detector.threshold is None))
        rows["false_alarms"].append(float(alarm[success].mean()))
        # Who abstains has given no promise that a failure could break.
        rows["misses"].append(0.0 if detector.threshold is None else float((~alarm[~success]).mean()))
        rows["least_beta"].append(float(detector.least_beta))
    return rows


def _peaks(raw: Raw, task: str, seed: int, name: str, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Largest score and success of the episodes without shift and with the bias."""
    parts = [find(raw, task, seed, shift, purpose) for shift in ("none", BIAS)]
    peaks = np.concatenate([np.nanmax(part.padded(name), 1) for part in parts])
    return peaks, np.concatenate([part.success for part in parts])
