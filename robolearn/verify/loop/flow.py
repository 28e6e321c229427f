"""One step of validated integration: every trajectory from a set of states, at all times of the step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.loop.taylor import TaylorModel, is_number, spare
from robolearn.verify.rounding import DOUBLE, TINY

Dynamics = Callable[[np.ndarray, np.ndarray], Sequence[Any]]
"""Derivatives of the state [n] from state and control [m]: of numbers, of arrays of numbers and of models alike."""

ATTEMPTS = 6  # to find a radius that is mapped into itself, and to make it smaller
GAIN = 0.8  # of a radius: mapping it once more is not worth the time if it shrinks to more than that
INFLATION = 2.0


@dataclass(frozen=True)
class Flow:
    """Where trajectories are during a step.

    Attributes:
        states: A model per state, over symbols and time.
        verified: Bool [b]: in these boxes a trajectory exists from every state of the set, and the models hold it.
    """

    states: list[TaylorModel]
    verified: Tensor


def derivatives(
    dynamics: Dynamics, states: Sequence[TaylorModel], controls: Sequence[TaylorModel]
) -> list[TaylorModel]:
    """What the user's function says, as models.

    Raises:
        UserError: It gives another number of derivatives than there are states, or something else than numbers.
    """
    result = as_models(dynamics(to_array(states), to_array(controls)), states[0])
    if len(result) != len(states):
        raise UserError(f"dynamics give {len(result)} derivatives of {len(states)} states")
    return result


def as_models(values: Any, like: TaylorModel) -> list[TaylorModel]:
    """What a user's function returned, with its numbers as models of the same basis and batch.

    Raises:
        UserError: It is no list, or a value is something else.
    """
    if not isinstance(values, Iterable):
        raise UserError(f"a function of the state gives a {type(values).__name__}, not a list of numbers")
    values = list(values)
    for value in values:
        if not (isinstance(value, TaylorModel) or is_number(value)):
            raise UserError(f"a function of the state gives a {type(value).__name__}, not a number")
    zero = like.constant(like.basis, torch.zeros_like(like.radius))
    return [value if isinstance(value, TaylorModel) else zero + value for value in values]


def to_array(models: Sequence[TaylorModel]) -> np.ndarray:
    """Models as numpy's array of objects [n], with which matrices can be multiplied."""
    result = np.empty(len(models), object)
    result[:] = models
    return result


def advance(dynamics: Dynamics, states: Sequence[TaylorModel], controls: Sequence[TaylorModel], step: Tensor) -> Flow:
    """Follow trajectories from states without time and without radius, under controls that are held.

    x(t) = x(0) + step int_0^t f(x(s), u) ds is solved for its polynomial by iteration, one power of time each. Then
    comes the proof: if the right side maps all functions within a radius of the polynomial to functions within the
    same radius, it has a fixed point there (Schauder), which is the trajectory, as f is smooth. What the right side
    makes of that set holds the trajectory too, and is usually smaller.

    Args:
        dynamics: f.
        states: x(0); a model each, constant in time.
        controls: u.
        step: [b], seconds.
    """
    path = list(states)
    for _ in range(states[0].basis.degree):
        image = _picard(dynamics, states, path, controls, step)
        path = [replace(x, radius=torch.zeros_like(step)) for x in image]
    guess = INFLATION * _departure(_picard(dynamics, states, path, controls, step), path) + TINY
    verified = torch.zeros_like(step, dtype=torch.bool)
    for _ in range(ATTEMPTS):
        held = [replace(x, radius=radius) for x, radius in zip(path, guess, strict=True)]
        image = _picard(dynamics, states, held, controls, step)
        departure = _departure(image, path)
        verified = verified | ((departure <= guess) & departure.isfinite()).all(0)
        if (verified & (departure >= GAIN * guess).all(0)).all():
            break
        guess = torch.where(verified, departure, INFLATION * departure)
    return Flow(image, verified)


def _picard(
    dynamics: Dynamics,
    start: Sequence[TaylorModel],
    path: Sequence[TaylorModel],
    controls: Sequence[TaylorModel],
    step: Tensor,
) -> list[TaylorModel]:
    """x(0) + step int_0^t f(path, u)."""
    return [x + integral(rate) * step for x, rate in zip(start, derivatives(dynamics, path, controls), strict=True)]


def integral(rate: TaylorModel) -> TaylorModel:
    """int_0^t of a model over time, the unit of which is the step.

    The integral of what departs by at most r departs by at most t r <= r; the highest power has no place any more.
    """
    powers = torch.arange(1, rate.basis.degree + 2, dtype=torch.float64)
    integrated = rate.coefficients / powers
    lost = integrated[..., -1].abs().sum(1)
    moved = torch.cat([torch.zeros_like(integrated[..., :1]), integrated[..., :-1]], -1)
    rounded = DOUBLE * integrated.abs().sum((1, 2))
    return replace(rate, coefficients=moved, radius=spare(rate.radius + lost + rounded))


def at_end(model: TaylorModel) -> TaylorModel:
    """The model at time 1, constant in time."""
    powers = model.coefficients
    coefficients = torch.zeros_like(powers)
    coefficients[..., 0] = powers.sum(-1)
    rounded = powers.shape[-1] * DOUBLE * model.magnitude
    return replace(model, coefficients=coefficients, radius=spare(model.radius + rounded))


def _departure(image: Sequence[TaylorModel], path: Sequence[TaylorModel]) -> Tensor:
    """[n, b]: how far functions of the image can be from the polynomials of the path; nan where nothing is known."""
    return torch.stack(
        [
            spare((y.coefficients - x.coefficients).abs().sum((1, 2)) + y.radius)
            for y, x in zip(image, path, strict=True)
        ]
    )
