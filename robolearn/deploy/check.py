"""Whether a deployed policy acts as the trained one, and how long both take for a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from robolearn.config import from_json, read_json, write_json
from robolearn.deploy import runtime
from robolearn.rollout.busy import busy_remark
from robolearn.rollout.latency import times_in_turn
from robolearn.types import Array

CHECK_FILE = "check.json"
TIMED = 50  # calls

Window = dict[str, Array]  # key -> observations [o, ...]
Plan = Callable[[Window, Array], object]  # a chunk from observations and noise


@dataclass(frozen=True)
class Check:
    """How a deployed policy did beside the trained one."""

    largest_difference: float
    """Of an action, in units of the normalized action, over all that were compared."""
    tolerance: float
    """Most that it may be."""
    actions: int
    """How many were compared."""
    actions_above: int
    """How many differ by more, such as those of a chunk for which rounding has drawn another code."""
    observed: str
    """On what: recorded observations, or random ones where no demonstrations could be read."""
    compared_with: str
    """The trained run, or the actions that it had when it was deployed."""
    runtime_ms: float
    """Median time of a plan, with one thread [ms]."""
    torch_ms: float | None
    """The same of the trained run; None where it is not there."""
    runtime_cpu_ms: float | None = None
    """CPU time of a plan; None in a check of before it was measured."""
    torch_cpu_ms: float | None = None
    """The same of the trained run."""
    waited: float | None = None
    """Share of the time that they waited for a core; None where that is not known."""

    @property
    def is_equal(self) -> bool:
        """Whether no action differs by more than the tolerance."""
        return self.actions_above == 0 and self.largest_difference <= self.tolerance

    @property
    def is_faster(self) -> bool:
        """Whether a plan took less time than with torch, if that is known."""
        return self.torch_ms is not None and self.runtime_ms < self.torch_ms

    @property
    def busy_remark(self) -> str | None:
        """A sentence where the times were measured on a busy machine."""
        return busy_remark({"p50_ms": self.runtime_ms, "cpu_ms": self.runtime_cpu_ms, "waited": self.waited})

    def write(self, directory: Path) -> None:
        """Keep it beside what was checked."""
        write_json(directory / CHECK_FILE, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Check:
        """What was kept.

        Raises:
            UserError: It is missing or damaged.
        """
        return from_json(cls, read_json(directory / CHECK_FILE), {}, str(directory / CHECK_FILE))


def compare(
    policy: runtime.Policy,
    expected: Callable[[int, list[Window]], Array] | None,
    plan: Plan | None,
    compared_with: str,
    tolerance: float,
) -> Check:
    """Let a deployed policy act on the observations that lie beside it.

    Args:
        policy: Open directory.
        expected: (episode, observations one by one) -> what the trained policy does [time, a]; None for what it did
            when it was deployed.
        plan: The trained policy, to be timed; None where it is not there.
        compared_with: What is expected, in words.
        tolerance: Most that an action may differ.

    Raises:
        runtime.RefusedError: A network is damaged.
    """
    gaps = runtime.difference(policy, expected)
    window, noise = _example(policy)
    asked = [policy.chunks] if plan is None else [policy.chunks, plan]
    here, *there = times_in_turn([lambda ask=ask: ask(window, noise) for ask in asked], TIMED)
    other: dict[str, float] = there[0] if there else {}
    return Check(
        largest_difference=float(gaps.max()),
        tolerance=tolerance,
        actions=len(gaps),
        actions_above=int((~(gaps <= tolerance)).sum()),  # NaN is not below
        observed=policy.facts["observed"],
        compared_with=compared_with,
        runtime_ms=here["p50_ms"],
        torch_ms=other.get("p50_ms"),
        runtime_cpu_ms=here["cpu_ms"],
        torch_cpu_ms=other.get("cpu_ms"),
        waited=here.get("waited"),
    )


def _example(policy: runtime.Policy) -> tuple[Window, Array]:
    """The first recorded observation, as a window, and noise."""
    facts = policy.facts
    _, observations, _ = next(iter(runtime.recorded(policy)))
    window = {
        key: np.repeat(np.asarray(value)[None], facts["obs_horizon"], 0) for key, value in observations[0].items()
    }
    noise = runtime.Stream(0).normal((facts["execution"]["candidates"], *facts["noise_shape"]))
    return window, noise
