"""Train recipes with several seeds each, evaluate every run from the same starts, and compare.

A recipe is one of train.py --recipe, or a run, whose options then are the recipe. Ctrl-C keeps what is finished; the
same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Cluster, Plugins, Trust, import_plugins, mirror, values
from robolearn.commands.stopping import goes_on
from robolearn.evaluation.sweep_config import SweepConfig
from robolearn.paths import url_of

if TYPE_CHECKING:
    from robolearn.evaluation.sweep import SweepRow

Swept = mirror(
    SweepConfig,
    ("seeds", "steps", "episodes", "out", "device", "threads"),
    default=SweepConfig(("-",)),
    doc="How often, how long, and where the results go.",
)


@dataclass(frozen=True)
class Options:
    """Options of a sweep."""

    recipes: Annotated[Positional[tuple[str, ...]], arg(metavar="RECIPE|RUN")]
    """Names of recipes, or run directories."""
    swept: OmitArgPrefixes[Swept] = field(default_factory=Swept)
    cluster: Cluster = None
    plugin: Plugins = ()
    trust: Trust = False


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, train and evaluate, and print a line per recipe."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = SweepConfig(given.recipes, **values(given.swept))
    from robolearn.cluster import open_cluster
    from robolearn.evaluation.sweep import FILE, sweep

    total, done = len(cfg.recipes) * len(cfg.seeds), list[str]()

    def say(run: str) -> None:
        done.append(run)
        print(f"{len(done)}/{total} {run}", flush=True)

    with goes_on(cfg.out, "runs"), open_cluster(given.cluster) as mapper:
        rows = sweep(cfg, trust=given.trust, mapper=mapper, on_done=say)
    print("\n".join(lines(rows)))
    print(f"all numbers are in {url_of(cfg.out)}/{FILE}")


def lines(rows: Sequence[SweepRow]) -> list[str]:
    """A line per recipe: its numbers, each with its interval over trainings and starts."""
    width = max(len(row.recipe) for row in rows)
    return [
        "  ".join(
            [
                f"{row.recipe:<{width}}  {row.trainings} trainings",
                *(f"{name} {one:.3f}" for name, one in row.numbers.items()),
            ]
        )
        for row in rows
    ]
