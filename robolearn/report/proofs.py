"""What was proved of a policy, as the page shows it: shares of the observations, and a histogram of proved errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from robolearn.report.plots import BAD, GOOD, svg


@dataclass(frozen=True)
class Proof:
    """A certificate, for people.

    Attributes:
        claim: What is claimed, in words.
        assumptions: Under which conditions.
        precision: Of which arithmetic it is proved.
        shares: proved, falsified and open -> share of the observations.
        count: Observations.
        proved_radii: Of robustness: the largest error that is proved, as a share of the range.
        falsified_radii: The least error that was violated, where one was found.
    """

    claim: str
    assumptions: tuple[str, ...]
    precision: str
    shares: dict[str, float]
    count: int
    proved_radii: tuple[float, ...] = ()
    falsified_radii: tuple[float, ...] = ()


def radii_histogram(proof: Proof) -> str | None:
    """Errors that are proved and errors that are violated, on a log axis; None where there are none."""
    proved, falsified = np.array(proof.proved_radii), np.array(proof.falsified_radii)
    proved = 100 * proved[proved > 0]
    both = np.concatenate([proved, 100 * falsified])
    if not len(both):
        return None
    low, high = both.min() / 1.2, both.max() * 1.2
    edges = list(np.geomspace(low, high, 26))

    def draw(axes: list[Axes]) -> None:
        axes[0].hist(100 * falsified, bins=edges, color=BAD, alpha=0.6, lw=0, label="least error violated")
        axes[0].hist(proved, bins=edges, color=GOOD, alpha=0.8, lw=0, label="largest error proved")
        axes[0].set(xscale="log", xlabel="sensor error [% of each number's range]", ylabel="observations")
        for write in (axes[0].xaxis.set_major_formatter, axes[0].xaxis.set_minor_formatter):
            write("{x:g}")
        axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].grid(axis="x", visible=False)
        axes[0].legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))

    return svg("radii", draw)


def drawn(proofs: Sequence[Proof]) -> list[tuple[str, str, str]]:
    """Heading, drawing and note of each proof that has radii."""
    pairs = [(proof, radii_histogram(proof)) for proof in proofs]
    note = "An observation counts once in green, and once in red where an error was found."
    return [("Sensor errors", drawing, note) for _, drawing in pairs if drawing is not None]
