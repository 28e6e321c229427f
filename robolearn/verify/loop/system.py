"""What is asked: a network in the loop with continuous dynamics, and what its states shall always fulfill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from robolearn.errors import UserError
from robolearn.verify.graph import Graph
from robolearn.verify.loop.flow import Dynamics
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.rounding import SINGLE

NEAR = 1e-6  # of a step: nearer to an end of one, a time is that end


def whole_state(state: np.ndarray) -> Sequence[Any]:
    """The state as it is."""
    return list(state)


@dataclass(frozen=True)
class ClosedLoop:
    """A controller that is sampled and held, and the plant between samples.

    The functions are plain Python with numpy's functions. They are called with numbers, with arrays of numbers and
    with Taylor models alike, so that they must not branch on a state; their constants are what float64 has of them.

    Attributes:
        dynamics: (state [n], control [m]) -> the n derivatives of the state.
        controller: The network, from what it reads to the control.
        period: Seconds for which a control is held.
        reads: state [n] -> what the network reads of it, in order; the whole state if nothing is said.
        exact: The controller is the network in real numbers, and not what float32 arithmetic makes of it. A network in
            float64 is always taken in real numbers.

    Raises:
        UserError: The period is not positive.
    """

    dynamics: Dynamics
    controller: Network
    period: float
    reads: Callable[[np.ndarray], Sequence[Any]] = whole_state
    exact: bool = False

    def __post_init__(self) -> None:
        if not (self.period > 0 and math.isfinite(self.period)):
            raise UserError(f"the period {self.period} of a control is not a positive number of seconds")

    @cached_property
    def graph(self) -> Graph:
        """The controller as bounds need it, with what its own precision rounds."""
        example = torch.zeros(self.controller.input_size, dtype=self.controller.dtype)
        return lower(self.controller.function, example, "float32" if self.unit else "exact")

    @property
    def unit(self) -> float:
        """By how much of itself a number is rounded that the controller reads; 0 in real numbers."""
        return SINGLE if self.controller.dtype == torch.float32 and not self.exact else 0.0


@dataclass(frozen=True)
class Requirement:
    """margin(state) >= 0, each of its numbers, at all times from start to end.

    Attributes:
        margin: state [n] -> numbers; a function as the dynamics are.
        start: Seconds.
        end: Seconds; a start that is the end is a single instant.

    Raises:
        UserError: The times are not in order, or not finite.
    """

    margin: Callable[[np.ndarray], Sequence[Any]]
    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end < math.inf:
            raise UserError(f"a requirement from {self.start} to {self.end} seconds has its times not in order")

    def includes(self, instant: int, step: float) -> bool:
        """Whether it is about the instant when a step begins, and not only about one beside it."""
        return self.start / step - NEAR < instant < self.end / step + NEAR

    def window(self, step: float) -> tuple[int, int]:
        """From the beginning of which step to the beginning of which other it holds; where it must, rounded outward."""
        first, last = self.start / step, self.end / step
        near = [abs(x - round(x)) < NEAR for x in (first, last)]
        return (
            round(first) if near[0] else math.floor(first),
            round(last) if near[1] else math.ceil(last),
        )
