"""Where episodes leave what was demonstrated, as the page shows it: a sentence, two drawings and a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from robolearn.report.plots import BAD, GOOD, INK, MUTED, svg
from robolearn.stats.value import Estimate
from robolearn.trust.departures import WITHIN, Course, Departures

MAX_LINES, MAX_ROWS, MAX_POINTS = 40, 12, 1500  # episodes drawn, failures listed, observations on the map
ENDS = {False: ("failures", BAD), True: ("successes", GOOD), None: ("episodes", GOOD)}


@dataclass(frozen=True)
class Failure:
    """An episode of the table.

    Attributes:
        episode: Its index.
        left: When it left [s]; None where it never did.
        nearest: The demonstrations that were nearest there, or at its end.
    """

    episode: int
    left: float | None
    nearest: list[int]


def sentence(departures: Departures) -> str:
    """How many failures, how many successes and how many demonstrations left what was demonstrated."""
    parts = [_counted(share, name) for end, (name, _) in ENDS.items() if (share := departures.left(end)) is not None]
    own = _counted(departures.demonstrators, "demonstrations")
    return (
        f"{' and '.join(parts)} left what was demonstrated, and did not come back. So do {own}, seen from the others."
    )


def _counted(share: Estimate, name: str) -> str:
    return f"{round(share.value * share.n)} of {share.n} {name}"


def failures(departures: Departures, control_dt: float) -> list[Failure]:
    """The failures, or the episodes of unknown end; those that left first of all in front."""
    failed = [course for course in departures.courses if not course.success]
    listed = [Failure(course.episode, _time(course, control_dt), list(course.neighbors)) for course in failed]
    return sorted(listed, key=lambda row: (row.left is None, row.left or 0.0))[:MAX_ROWS]


def _time(course: Course, control_dt: float) -> float | None:
    return None if course.departure is None else float(course.steps[course.departure]) * control_dt


def drawings(departures: Departures, control_dt: float) -> Iterator[tuple[str, str, str]]:
    """Title, drawing and what to know when reading it."""
    yield (
        "Distance to the demonstrations",
        _over_time(departures, control_dt),
        "Of each observation to the nearest demonstrated one, in normalized units.",
    )
    if any(course.departure is not None for course in departures.courses if not course.success):
        shares = [f"component {i + 1}, {100 * share:.0f} %" for i, share in enumerate(departures.explained)]
        note = "Demonstrated observations in gray, by what varies most; where failures left them in color."
        yield ("Where failures left", _plane(departures, (shares[0], shares[1])), note)


def _over_time(departures: Departures, control_dt: float) -> str:
    def draw(axes: list[Axes]) -> None:
        for end, (name, color) in ENDS.items():
            courses = [course for course in departures.courses if course.success is end]
            for course in _some(courses):
                axes[0].plot(course.steps * control_dt, course.distance, color=color, lw=0.8, alpha=0.45)
            if courses:
                axes[0].plot([], [], color=color, lw=1.4, label=name)
        axes[0].axhline(
            departures.limit,
            color=INK,
            lw=1.2,
            ls=(0, (4, 3)),
            label=f"{100 * WITHIN:.0f} % of the demonstrations' own",
        )
        axes[0].set(xlabel="time [s]", ylabel="distance", ylim=(0, None))
        axes[0].legend(loc="best")

    return svg("distance to demonstrations", draw)


def _plane(departures: Departures, labels: tuple[str, str]) -> str:
    points = departures.plane[:: math.ceil(len(departures.plane) / MAX_POINTS)]

    def draw(axes: list[Axes]) -> None:
        axes[0].plot(*points.T, "o", color=MUTED, ms=2.2, alpha=0.4, mew=0)
        for course in departures.courses:
            if not course.success and course.departure is not None:
                axes[0].plot(*course.plane[course.departure], "o", color=BAD, ms=4.5, alpha=0.7)
        axes[0].set(xlabel=labels[0], ylabel=labels[1])

    return svg("where failures left", draw, height=4.0)


def _some(courses: Sequence[Course]) -> list[Course]:
    return [courses[i] for i in np.unique(np.linspace(0, len(courses) - 1, min(len(courses), MAX_LINES)).astype(int))]
