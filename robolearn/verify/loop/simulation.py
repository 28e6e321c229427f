"""Trajectories of a closed loop in ordinary numbers, and the search for one that violates what is required."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from robolearn import seeds
from robolearn.verify.loop.system import ClosedLoop, Requirement
from robolearn.verify.property import Box

SUBSTEPS = 10  # per period; the classical method then departs by some 1e-8 where trajectories need a period or longer
STARTS, ROUNDS, ELITE = 256, 8, 16
CORNERS = 8  # dimensions up to which all corners are tried


def simulate(loop: ClosedLoop, starts: np.ndarray, periods: int, substeps: int = SUBSTEPS) -> np.ndarray:
    """States [periods * substeps + 1, b, n] from starts [b, n], by the classical Runge-Kutta method.

    The network is evaluated in its own precision. This is no enclosure: pictures are made of it, and candidates.
    """
    state, step = np.asarray(starts, float).T, loop.period / substeps
    path = [state]
    for _ in range(periods):
        control = _controls(loop, state)

        def rate(x: np.ndarray, control: np.ndarray = control) -> np.ndarray:
            return _rows(loop.dynamics(x, control), x.shape[1])

        for _ in range(substeps):
            first = rate(state)
            second = rate(state + step / 2 * first)
            third = rate(state + step / 2 * second)
            fourth = rate(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
            path.append(state)
    return np.stack(path).transpose(0, 2, 1)


def margins(
    loop: ClosedLoop, starts: np.ndarray, requirements: Sequence[Requirement], substeps: int = SUBSTEPS
) -> np.ndarray:
    """Least number of any requirement along simulated trajectories, [b]."""
    windows = [requirement.window(loop.period / substeps) for requirement in requirements]
    periods = max(1, math.ceil(max(last for _, last in windows) / substeps))
    with np.errstate(all="ignore"):  # a trajectory that leaves all numbers ends in nan, which is no candidate
        path = simulate(loop, starts, periods, substeps).transpose(0, 2, 1)
    least = np.full(len(starts), np.inf)
    for requirement, (first, last) in zip(requirements, windows, strict=True):
        for state in path[first : last + 1]:
            least = np.minimum(least, _rows(requirement.margin(state), len(starts)).min(0))
    return np.where(np.isnan(least), np.inf, least)


def worst_start(
    loop: ClosedLoop, initial: Box, requirements: Sequence[Requirement], deadline: float = math.inf
) -> tuple[np.ndarray, float]:
    """The initial state [n] with the least margin that was found, and that margin.

    Random states, corners and the center come first; then ever smaller steps from the worst of them, until one
    violates a requirement or the deadline of time.perf_counter() is over.
    """
    rng = np.random.default_rng(seeds.FIXED)
    lower, upper = initial.lower.numpy(), initial.upper.numpy()
    tried = [rng.uniform(lower, upper, (STARTS, initial.size)), initial.center.numpy()[None]]
    if initial.size <= CORNERS:
        tried.append(np.array(list(product(*zip(lower, upper, strict=True)))))
    starts = np.concatenate(tried)
    least = margins(loop, starts, requirements)
    for turn in range(ROUNDS):
        elite = least.argsort()[:ELITE]
        starts, least = starts[elite], least[elite]
        if least[0] < 0 or time.perf_counter() > deadline:
            break
        spread = (upper - lower) * 0.3 / 2**turn
        near = np.repeat(starts, STARTS // ELITE, 0) + spread * rng.standard_normal((STARTS, initial.size))
        near = near.clip(lower, upper)
        starts, least = np.concatenate([starts, near]), np.concatenate([least, margins(loop, near, requirements)])
    worst = int(least.argmin())
    return starts[worst], float(least[worst])


def _controls(loop: ClosedLoop, state: np.ndarray) -> np.ndarray:
    """What the network gives for states [n, b], as [m, b]."""
    read = torch.from_numpy(_rows(loop.reads(state), state.shape[1]).T.copy())
    with torch.no_grad():
        return loop.controller.batched(read.to(loop.controller.dtype)).double().numpy().T


def _rows(values: Sequence[Any], count: int) -> np.ndarray:
    """What a user's function returned of arrays [n, b], its numbers repeated."""
    return np.stack([np.broadcast_to(np.asarray(value, float), (count,)) for value in values])
