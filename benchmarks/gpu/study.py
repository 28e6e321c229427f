"""What the parts share: how much is measured, on what, and the loop that notes it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.common import make_windows
from robolearn.data.windows import Windows
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, Record, fit
from robolearn.training.state import TrainState

STATE = 20  # numbers of an observation
Report = dict[str, Any]
PRECISIONS: tuple[Literal["off", "on"], ...] = ("off", "on")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    steps: int = 600
    """Training steps behind a rate; a tenth of them are not timed."""
    calls: int = 100
    """Plans behind a latency."""
    image_episodes: int = 100
    image_steps: int = 1500
    rollouts: int = 40


DRY = Size(steps=20, calls=3, image_episodes=2, image_steps=10, rollouts=1)


class Clock(Hooks):
    """Notes what was logged, and when: a record waits for the device."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.times: list[float] = []

    def record(self, record: Record) -> None:
        """Note it."""
        if "steps_per_s" in record:
            self.records.append(record)
            self.times.append(time.perf_counter())

    def steps_per_s(self) -> float:
        """Rate after the first record."""
        return (self.records[-1]["step"] - self.records[0]["step"]) / (self.times[-1] - self.times[0])


def windows_of(device: torch.device) -> Windows:
    """Random demonstrations there."""
    return make_windows(STATE, device=device)


def train(state: TrainState, windows: Windows) -> Clock:
    """Run the loop to its end."""
    clock = Clock()
    fit(state, windows, None, Processes(windows.device), clock)
    return clock


def to(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Move tensors."""
    return {key: value.to(device) for key, value in tensors.items()}
