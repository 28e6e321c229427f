"""Options of families: what may change after training, and checks that say what is wrong in one line."""

from __future__ import annotations

import dataclasses
from typing import Any

from robolearn.errors import UserError

MAX_STEPS = 10_000  # network evaluations of a sample; more can only be a mistake


def runtime(default: Any) -> Any:
    """Declare a configuration field that may change after training."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a UserError that lists the choices if ``value`` is none of them."""
    if value not in choices:
        raise UserError(f"{name} {value!r} is unknown; choose from {', '.join(choices)}")


def check_floor(name: str, floor: float) -> None:
    """Raise a UserError unless a floor of probabilities is in [0, 1)."""
    if not 0 <= floor < 1:
        raise UserError(f"{name}: min_code_probability {floor} must be in [0, 1)")


def check_steps(name: str, steps: int, most: int | None = None) -> None:
    """Raise a UserError unless 1 <= steps (<= most)."""
    if steps < 1 or (most is not None and steps > most):
        raise UserError(f"{name}: steps {steps} must be {'at least 1' if most is None else f'in 1..{most}'}")
    if max(steps, most or 0) > MAX_STEPS:
        raise UserError(f"{name}: steps {max(steps, most or 0)} must be at most {MAX_STEPS}")


def check_last_noise(name: str, noise: float | None, steps: int) -> None:
    """Raise a UserError unless a last step can begin where the noise is so large a share of the signal."""
    if noise is None:
        return
    if not 0 < noise < float("inf"):
        raise UserError(f"{name}: last_noise {noise} must be above 0")
    if steps < 2:
        raise UserError(f"{name}: last_noise needs steps of at least 2, one of which is the last; there is {steps}")
