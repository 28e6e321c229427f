"""A number with its interval: the one record of everything that is measured, and what it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95
Interval = tuple[float, float]
WHOLE_LINE: Interval = (-math.inf, math.inf)
Outcome = Literal["shown", "not shown", "missed"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; formatted with ".3f" it reads "0.940 [0.917, 0.963]".

    Attributes:
        value: The point estimate; NaN where n is 0, since nothing is known then.
        low: Lower end; -inf where what was measured tells nothing about the spread, as one start does.
        high: Upper end; inf likewise.
        n: How many episodes, or other observations, are behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        ends = f"{self.low:{spec}}, {self.high:{spec}}" if self.has_interval else "no interval"
        return f"{self.value:{spec}} [{ends}]"

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def in_units_of(self, unit: float) -> Estimate:
        """In a positive unit."""
        return Estimate(self.value / unit, self.low / unit, self.high / unit, self.n)

    def outcome(self, least: float = -math.inf, most: float = math.inf, *, strict: bool = False) -> Outcome:
        """What the interval says of a target, whatever the value.

            shown       the whole interval is within [least, most]
            missed      the whole interval is outside, on one side
            not shown   an end of the target lies within: these measurements do not tell

        Args:
            least: Lower end of the target.
            most: Upper end.
            strict: Whether to show it the interval must not touch the ends.
        """
        if self.high < least or self.low > most:
            return "missed"
        shown = self.low > least and self.high < most if strict else self.low >= least and self.high <= most
        return "shown" if shown else "not shown"
