"""Numbers that change from step to step, such as the learning rate: where a step gets them from.

The host computes them of the count of steps. A step that is asked for anew each time takes them as Python has them. One
that is recorded once and repeated would repeat them too: it reads the next row of tables on its device, which the host
fills for many steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.policies.draws import Progress, Schedule

OfStep = Callable[[int], float]


@runtime_checkable
class Course(Protocol):
    """The numbers of a step."""

    def number(self, name: str, function: OfStep) -> float | Tensor:
        """A number of this step.

        Args:
            name: The same at every step, and of no other number.
            function: It, as a function of the count of steps before.
        """
        ...

    def progress(self, name: str, function: OfStep) -> float | Progress:
        """The share of a span that lies behind, for the schedules of a family; see `number`."""
        ...


class HostCourse:
    """The numbers of one step, as the host has them.

    They are those that tables on its device would hold: a GPU's AdamW reads float32.

    Args:
        step: Steps done before.
        device: Where the step is made.
    """

    def __init__(self, step: int, device: torch.device):
        self.step, self.is_exact = step, device.type == "cpu"

    def number(self, name: str, function: OfStep) -> float:
        """See `Course`."""
        value = function(self.step)
        return value if self.is_exact else float(np.float32(value))

    def progress(self, name: str, function: OfStep) -> float:
        """See `Course`."""
        return function(self.step)


class DeviceCourse:
    """The numbers of many steps, in tables on a device.

    Args:
        rows: Steps of a table; it is filled anew at every step that is a multiple.
        device: Where steps are made.

    Attributes:
        row: Of the next step in the tables, int64 [1] on the device; each step counts it on there.
    """

    def __init__(self, rows: int, device: torch.device):
        self.rows, self.row = rows, torch.zeros(1, dtype=torch.int64, device=device)
        self._dtype = torch.float64 if device.type == "cpu" else torch.float32  # see HostCourse
        self._tables: dict[str, tuple[OfStep, Tensor]] = {}
        self._first, self._next = 0, 0

    def reach(self, step: int) -> None:
        """Be at a step: nothing is to be done where it follows the last one within the tables."""
        first = step - step % self.rows
        if first != self._first:
            self._first = first
            for function, table in self._tables.values():
                self._fill(function, table)
        if step != self._next or step == first:
            self.row.fill_(step - first)
        self._next = step + 1

    def number(self, name: str, function: OfStep) -> Float[Tensor, ""]:
        """See `Course`; float32, on a CPU float64."""
        if name not in self._tables:
            table = torch.empty(self.rows, dtype=self._dtype, device=self.row.device)
            self._fill(function, table)
            self._tables[name] = function, table
        return self._tables[name][1].index_select(0, self.row)[0]

    def progress(self, name: str, function: OfStep) -> Progress:
        """See `Course`."""
        player = name

        def scheduled(name: str, schedule: Schedule) -> Float[Tensor, ""]:
            return self.number(f"{player}: {name}", lambda step: schedule(function(step)))

        return scheduled

    def _fill(self, function: OfStep, table: Tensor) -> None:
        values = [function(step) for step in range(self._first, self._first + self.rows)]
        table.copy_(torch.tensor(values, dtype=table.dtype))
