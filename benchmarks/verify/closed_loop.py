"""Four controllers from elsewhere in the loop with continuous dynamics: what is proved of them, and in what time.

    python -m benchmarks.verify.closed_loop NETWORKS --out docs/results/verify.json --picture docs/results/loops.png

NETWORKS is a folder with the controllers of the ARCH competition's category for neural controllers, `single_pendulum`,
`acc`, `unicycle` and `double_pendulum.onnx`. Each is asked twice: as float32 arithmetic evaluates it, in any order of
its sums, and in real numbers, as the competition's tools do.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.common import keep_part, options
from robolearn import seeds
from robolearn.report.style import axes_style
from robolearn.verify.formats.onnx_network import read_network
from robolearn.verify.loop.picture import draw_tube
from robolearn.verify.loop.proof import LoopVerdict, verify_loop
from robolearn.verify.loop.simulation import simulate, worst_start
from robolearn.verify.loop.system import ClosedLoop, Requirement, whole_state
from robolearn.verify.property import Box

STYLE: Any = {**axes_style("#222222", "#666666", "#e2e2e2"), "font.size": 8}
TRAJECTORIES = 40


@dataclass(frozen=True)
class System:
    """One of the competition's questions.

    Attributes:
        dynamics: Of state and control.
        reads: What the controller reads of a state.
        period: Seconds.
        lower: Of the initial states.
        upper: Of the initial states.
        requirements: What is to be shown.
        drawn: States that are drawn: their index and name.
    """

    dynamics: Callable[[np.ndarray, np.ndarray], Sequence[Any]]
    period: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    requirements: tuple[Requirement, ...]
    drawn: dict[int, str]
    reads: Callable[[np.ndarray], Sequence[Any]] = whole_state

    def loop(self, network: Path, *, exact: bool) -> ClosedLoop:
        """With the controller of a file."""
        return ClosedLoop(self.dynamics, read_network(network), self.period, self.reads, exact)

    @property
    def box(self) -> Box:
        """The initial states."""
        return Box(torch.tensor(self.lower, dtype=torch.float64), torch.tensor(self.upper, dtype=torch.float64))

    @property
    def periods(self) -> int:
        """Until the last requirement ends."""
        return math.ceil(max(requirement.end for requirement in self.requirements) / self.period - 1e-6)


def between(lower: Sequence[float], upper: Sequence[float], start: float, end: float) -> tuple[Requirement, ...]:
    """The first states lie within bounds."""

    def margin(state: np.ndarray) -> list[Any]:
        bounds = list(zip(state, lower, upper, strict=False))
        return [x - low for x, low, _ in bounds] + [high - x for x, _, high in bounds]

    return (Requirement(margin, start, end),)


def pendulum(state: np.ndarray, control: np.ndarray) -> Sequence[Any]:
    """A rod with l = m = 0.5 and g = 1, upright at 0, without damping."""
    angle, speed = state
    return speed, 2 * np.sin(angle) + 8 * control[0]


def cars(state: np.ndarray, control: np.ndarray) -> Sequence[Any]:
    """A car in front that brakes, and the one that follows it."""
    _, speed, gain, _, own_speed, own_gain = state
    lead = -2 * gain - 4 - 1e-4 * speed**2
    return speed, gain, lead, own_speed, own_gain, -2 * own_gain + 2 * control[0] - 1e-4 * own_speed**2


def unicycle(state: np.ndarray, control: np.ndarray) -> Sequence[Any]:
    """Position, heading and speed; the network's outputs are shifted by 20."""
    _, _, heading, speed = state
    return speed * np.cos(heading), speed * np.sin(heading), control[1] - 20, control[0] - 20


def double_pendulum(state: np.ndarray, control: np.ndarray) -> Sequence[Any]:
    """Two links with m = l = 0.5, g = 1, no damping, and a torque each."""
    first, second, speed, other = state
    cosine, sine = np.cos(first - second), np.sin(first - second)
    a = -0.5 * sine * other**2 + 4 * control[0] + 2 * np.sin(first)
    b = sine * speed**2 + 8 * control[1] + 2 * np.sin(second)
    turn = (b - cosine * a) / (0.5 * cosine**2 - 1)
    return speed, other, a + cosine * turn / 2, -turn


SYSTEMS = {
    "single_pendulum": System(
        pendulum,
        period=0.05,
        lower=(1, 0),
        upper=(1.175, 0.2),
        requirements=between([0], [1], 0.5, 1.0),
        drawn={0: "angle", 1: "angular speed"},
    ),
    "acc": System(
        cars,
        period=0.1,
        lower=(90, 32, 0, 10, 30, 0),
        upper=(110, 32.2, 0, 11, 30.2, 0),
        requirements=(Requirement(lambda x: [x[0] - x[3] - 10 - 1.4 * x[4]], 0.0, 5.0),),
        drawn={1: "speed in front", 4: "own speed"},
        reads=lambda x: [30.0, 1.4, x[4], x[0] - x[3], x[1] - x[4]],
    ),
    "unicycle": System(
        unicycle,
        period=0.2,
        lower=(9.5, -4.5, 2.1, 1.5),
        upper=(9.55, -4.45, 2.11, 1.51),
        requirements=between([-0.6, -0.2, -0.06, -0.3], [0.6, 0.2, 0.06, 0.3], 10.0, 10.0),
        drawn={0: "x", 1: "y", 2: "heading", 3: "speed"},
    ),
    "double_pendulum": System(
        double_pendulum,
        period=0.05,
        lower=(1, 1, 1, 1),
        upper=(1.3, 1.3, 1.3, 1.3),
        requirements=between([-1.7] * 4, [2.0] * 4, 0.0, 1.0),
        drawn={0: "angle 1", 1: "angle 2", 2: "angular speed 1", 3: "angular speed 2"},
    ),
}


def main() -> None:
    """Ask, print, keep, and draw."""
    parser = options(__doc__)
    parser.add_argument("networks", type=Path, help="folder with the four controllers")
    parser.add_argument("--seconds", type=float, default=600.0, help="wall time for each question")
    parser.add_argument("--picture", type=Path, help="PNG of the tubes")
    given = parser.parse_args()
    rows, verdicts = {}, {}
    for name, system in SYSTEMS.items():
        for exact in (False, True):
            loop = system.loop(given.networks / f"{name}.onnx", exact=exact)
            started = time.process_time()
            verdict = verify_loop(loop, system.box, system.requirements, seconds=given.seconds)
            cpu = time.process_time() - started
            verdicts.setdefault(name, (loop, verdict))
            key = f"{name}, {'real numbers' if exact else 'float32'}"
            rows[key] = {**row(loop, system, verdict), "cpu_seconds": cpu}
            print(key, rows[key], flush=True)
        if given.dry_run:
            break
    if given.picture:
        draw(given.picture, verdicts)
    keep_part(given.out, "closed_loop", {"systems": rows})


def row(loop: ClosedLoop, system: System, verdict: LoopVerdict) -> dict[str, Any]:
    """What is kept of a verdict, beside the least margin that simulation found."""
    _, simulated = worst_start(loop, system.box, system.requirements)
    witness = None if verdict.witness is None else verdict.witness.tolist()
    return {
        "answer": verdict.answer,
        "reason": verdict.reason,
        "share": verdict.share,
        "reached": verdict.reached,
        "margin": verdict.margin if math.isfinite(verdict.margin) else None,
        "simulated_margin": simulated,
        "witness": witness,
        "boxes": verdict.boxes,
        "parts": len(verdict.lower),
        "seconds": verdict.seconds,
    }


def draw(path: Path, verdicts: dict[str, tuple[ClosedLoop, LoopVerdict]]) -> None:
    """The tubes of all systems, over trajectories from random initial states and corners."""
    panels = [(name, state) for name in verdicts for state in SYSTEMS[name].drawn]
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(11, 2.3 * math.ceil(len(panels) / 4)), layout="constrained", dpi=130)
        axes = figure.subplots(math.ceil(len(panels) / 4), 4, squeeze=False).flatten()
        for one, (name, state) in zip(axes, panels, strict=False):
            (loop, verdict), system = verdicts[name], SYSTEMS[name]
            rng = np.random.default_rng(seeds.FIXED)
            starts = rng.uniform(system.lower, system.upper, (TRAJECTORIES, len(system.lower)))
            draw_tube([one], verdict, simulate(loop, starts, system.periods), [state])
            one.set_title(f"{name.replace('_', ' ')}: {system.drawn[state]}", loc="left", fontsize=9)
        for one in axes[len(panels) :]:
            one.set_axis_off()
        figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(main())
