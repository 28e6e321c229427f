"""Whether demonstrations fit an environment: keys, shapes, ranges, control rate, and where episodes begin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.doctor.finding import Finding, Severity
from robolearn.doctor.recording import Recording
from robolearn.errors import UserError
from robolearn.images import seen_shape
from robolearn.modules import MissingError
from robolearn.rollout.chunked import ChunkedEnvs, reset_some
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.interface import action_space_problem
from robolearn.rollout.making import opened_envs
from robolearn.rollout.seeding import NUM_SEEDS
from robolearn.types import Array

OUTSIDE, SLACK = 0.01, 1e-3  # share of the steps that lie outside a declared range; of that range, by which
FAR, OFTEN = 0.25, 0.25  # of the data's range, by which a start lies outside it; share of such starts
RATE = 0.02  # by how much control steps may differ


def against_environment(recording: Recording, cfg: EnvConfig, keys: tuple[str, ...]) -> Iterator[Finding]:
    """What would keep a policy that was trained on a recording from acting in an environment, or make it strange there.

    Args:
        recording: The demonstrations.
        cfg: The environment; its observations are renamed as an evaluation would.
        keys: Observations of the policy.
    """
    try:
        with opened_envs(cfg, 1, keys) as envs:
            yield from _fits(recording, envs, keys)
    except MissingError as error:  # which says what to do
        yield _finding("problem", str(error))
    except UserError as error:
        yield _finding("problem", str(error), "make it fit with `env.obs`, or choose another environment")


def _finding(severity: Severity, sentence: str, mend: str = "", key: str | None = None, dims: Any = ()) -> Finding:
    return Finding("environment", severity, sentence, mend, key, tuple(int(dim) for dim in dims))


def _fits(recording: Recording, envs: ChunkedEnvs, keys: tuple[str, ...]) -> Iterator[Finding]:
    first = seeds.EVALUATION.start
    obs, marks = [], []
    for seed in range(first, first + NUM_SEEDS):
        seen, mark = reset_some(envs, {0: seed})
        obs.append({key: seen[key][0] for key in keys})
        marks.append(mark[0])
    for key in keys:
        yield from _shapes(recording, key, obs[0][key].shape)
        if key in recording.rows:
            yield from _starts_inside(recording, key, np.stack([one[key].ravel() for one in obs]))
    yield from _actions(recording, envs)
    yield from _declared(recording, envs.interface.observation_space, keys)
    yield from _rate(recording, envs.facts.control_dt)
    yield from _distinct(recording, keys, len(set(marks)))


def _shapes(recording: Recording, key: str, there: tuple[int, ...]) -> Iterator[Finding]:
    camera = recording.cameras.get(key)
    if camera is not None and (seen_shape(there) or there) != camera.seen:
        yield _finding("problem", f"the environment's {key!r} has shape {there}, images here {camera.seen}", "", key)
    if key in recording.rows and math.prod(there) != recording.rows[key].shape[1]:
        numbers = recording.rows[key].shape[1]
        mend = f"choose a part with `env.obs`, as in {key}={key}[:{numbers}]"
        yield _finding(
            "problem", f"the environment's {key!r} has shape {there}, here it has {numbers} numbers", mend, key
        )


def _starts_inside(recording: Recording, key: str, starts: Array) -> Iterator[Finding]:
    """Where episodes begin there, beside all that was recorded: another unit or frame lies far away."""
    rows = recording.rows[key]
    if starts.shape[1] != rows.shape[1]:
        return
    low, high = rows.min(0).astype(np.float64), rows.max(0).astype(np.float64)
    beyond = np.maximum(starts - high, low - starts) / np.maximum(high - low, 1e-6 + 1e-3 * np.abs(high))
    dims = np.flatnonzero((beyond > FAR).mean(0) >= OFTEN)
    if len(dims):
        worst = int(dims[beyond[:, dims].max(0).argmax()])
        sentence = (
            f"the environment begins where nothing was recorded: {key}[{worst}] at {starts[:, worst].mean():.3g}, "
            f"recorded are {low[worst]:.3g} to {high[worst]:.3g}"
        )
        yield _finding("warning", sentence, "compare units, frames and keyword arguments (`env.kwargs`)", key, dims)


def _actions(recording: Recording, envs: ChunkedEnvs) -> Iterator[Finding]:
    space: Any = envs.interface.action_space
    actions = recording.rows.get("action")
    if problem := action_space_problem(space):
        yield _finding("problem", f"the environment's {problem}", "", "action")
        return
    if actions is None:
        return
    if math.prod(space.shape) != actions.shape[1]:
        sentence = f"the environment's actions have shape {space.shape}, recorded ones {actions.shape[1]} numbers"
        yield _finding("problem", sentence, "", "action")
        return
    dims = _outside(actions, space.low.ravel(), space.high.ravel())
    if len(dims) and (envs.cfg.clips or envs.clips_itself):
        dim = int(dims[0])
        sentence = (
            f"data/action{dims.tolist()} leaves what the environment takes, as it declares, and rollouts clip it: "
            f"[{dim}] goes from {actions[:, dim].min():.3g} to {actions[:, dim].max():.3g}, allowed are "
            f"{space.low.ravel()[dim]:.3g} to {space.high.ravel()[dim]:.3g}"
        )
        mend = "compare units and keyword arguments (`env.kwargs`)"
        if not envs.clips_itself:
            mend = f"`env.no_clip` if it takes more than it declares, else {mend}"
        yield _finding("warning", sentence, mend, "action", dims)


def _outside(rows: Array, low: Array, high: Array) -> Array:
    """Dimensions of which more than a few numbers lie outside."""
    slack = np.where(np.isfinite(high - low), SLACK * (high - low), 0.0)
    return np.flatnonzero(((rows < low - slack) | (rows > high + slack)).mean(0) > OUTSIDE)


def _declared(recording: Recording, space: Any, keys: tuple[str, ...]) -> Iterator[Finding]:
    """Observations outside of what the environment declares of those of the same name."""
    for key in keys:
        box: Any = space.spaces.get(key) if isinstance(getattr(space, "spaces", None), dict) else space
        rows = recording.rows.get(key)
        if rows is None or getattr(box, "low", None) is None or math.prod(box.shape) != rows.shape[1]:
            continue
        low, high = box.low.ravel().astype(np.float64), box.high.ravel().astype(np.float64)
        dims = _outside(rows, low, high)
        if len(dims):
            dim = int(dims[0])
            sentence = (
                f"data/{key}{dims.tolist()} leaves what the environment declares: [{dim}] goes from "
                f"{rows[:, dim].min():.3g} to {rows[:, dim].max():.3g}, declared are {low[dim]:.3g} to {high[dim]:.3g}"
            )
            yield _finding("warning", sentence, "compare units and frames", key, dims)


def _rate(recording: Recording, control_dt: float | None) -> Iterator[Finding]:
    here = recording.attrs.control_dt
    if here is None or control_dt is None:
        who = "the recording" if here is None else "the environment"
        yield _finding("note", f"{who} does not say how long a control step is, so rates cannot be compared")
    elif abs(here / control_dt - 1) > RATE:
        sentence = f"a control step is {here:g} s here and {control_dt:g} s in the environment"
        yield _finding(
            "warning", sentence, "resample the recording, or make the environment with its rate (`env.kwargs`)"
        )


def _distinct(recording: Recording, keys: tuple[str, ...], there: int) -> Iterator[Finding]:
    if there < NUM_SEEDS:
        sentence = f"the environment begins from {there} distinct starts for {NUM_SEEDS} seeds"
        mend = "an evaluation is worth as many episodes; look for what varies the start (`env.kwargs`)"
        yield _finding("warning", sentence, mend)
    parts = [recording.rows[key][recording.starts] for key in keys if key in recording.rows]
    count = len(recording.ends)
    here = len(np.unique(np.concatenate(parts, axis=1), axis=0)) if parts and count else count
    if here < count:
        yield _finding("note", f"{count} episodes begin from {here} distinct observations")
