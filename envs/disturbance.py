"""How an environment departs from the one that was demonstrated: shifts a policy should notice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from envs.looks import LOOKS


@dataclass(frozen=True)
class Disturbance:
    """What is different; the defaults leave everything as it was. Each task says what its entries mean.

    Attributes:
        moved: How far to the right (+x) of its place an obstacle or a goal stands [m], in the task's range.
        mass: Factor on mass and inertia of what moves or is moved, > 0.
        friction: Factor on friction, or on the damping that stands for it, > 0.
        bias: Added to the positions in the observation [m].
        latency: Control steps by which the observation lags, >= 0; what ends an episode does not lag.
        look: Another appearance, a key of `LOOKS`: cameras show it, and nothing else notices.

    Raises:
        ValueError: A value is no finite number or out of its range, or there is no such look.
    """

    moved: float = 0.0
    mass: float = 1.0
    friction: float = 1.0
    bias: float = 0.0
    latency: int = 0
    look: str | None = None

    def __post_init__(self) -> None:
        if self.look not in (None, *LOOKS):
            raise ValueError(f"look={self.look!r} is unknown; choose from {', '.join(LOOKS)}")
        for name, value in vars(self).items():
            if name == "look":
                continue
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"{name}={value!r} is not a finite number")
        for name in ("mass", "friction"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} is a factor and must be above 0")
        if self.latency < 0 or not isinstance(self.latency, Integral):
            raise ValueError(f"latency={self.latency} must be a whole number of control steps, 0 or more")


UNDISTURBED = Disturbance()


def disturbance_of(kwargs: dict[str, Any], options: Sequence[str] = ()) -> Disturbance:
    """The disturbance that keyword arguments describe.

    Args:
        kwargs: The arguments.
        options: What else the task takes, for the message.

    Raises:
        TypeError: There is no such argument, as with any other function.
        ValueError: A value is refused.
    """
    names = [field.name for field in fields(Disturbance)]
    unknown = sorted(set(kwargs) - set(names))
    if unknown:
        takes = f"; this one also takes {', '.join(options)}" if options else ""
        raise TypeError(f"unknown argument {unknown[0]!r}; a task is disturbed by {', '.join(names)}{takes}")
    return Disturbance(**kwargs)
