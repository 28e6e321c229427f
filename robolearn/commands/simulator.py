"""Learn a simulator, see how good it is, and rank policies in it:

simulator learn [FAMILY] [BACKBONE] --stores STORE... --out DIRECTORY
simulator accuracy DIRECTORY
simulator rank DIRECTORY RUN...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, flag_group, import_plugins, mirror, next_step, registered, values
from robolearn.commands.stopping import goes_on
from robolearn.config import finite, write_json
from robolearn.errors import UserError
from robolearn.files import check_writable
from robolearn.paths import url_of
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.simulator.config import AccuracyConfig, RankConfig, SimulatorConfig

if TYPE_CHECKING:
    from robolearn.simulator.accuracy import Accuracy
    from robolearn.simulator.rank import Ranking

TOO_LONG = "no episode is that long"
Learned = mirror(
    SimulatorConfig,
    tuple(f.name for f in dataclasses.fields(SimulatorConfig) if f.name not in ("family", "backbone")),
    doc="From what, how long, and where the result goes.",
)
Measured = mirror(AccuracyConfig, doc="What is compared.")
Ranks = mirror(RankConfig, doc="What is rolled out.")
Directory = Annotated[Positional[Path], arg(metavar="DIRECTORY", help="The simulator, from simulator learn.")]


def learn_options() -> type:
    """The class of the flags of learning: the registered families and backbones, and those of the configuration."""
    default, registries = SimulatorConfig(("-",), "-"), {"family": FAMILIES, "backbone": BACKBONES}
    fields: list[Any] = [registered(name, registry, default) for name, registry in registries.items()]
    fields += [flag_group("learned", Learned), ("plugin", Plugins, ())]
    return dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)


@dataclass(frozen=True)
class AccuracyOptions:
    """Options of a comparison with recorded episodes."""

    directory: Directory
    measured: OmitArgPrefixes[Measured] = field(default_factory=Measured)
    plugin: Plugins = ()


@dataclass(frozen=True)
class RankOptions:
    """Options of a ranking."""

    directory: Directory
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")]
    """Run directories that train.py wrote."""
    ranks: OmitArgPrefixes[Ranks] = field(default_factory=Ranks)
    out: Path | None = None
    """JSON file for the ranking."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Do what the first argument says."""
    what = next(iter(arguments), "--help")
    if what in ("-h", "--help"):
        print(f"usage: {prog} {{{','.join(ACTIONS)}}} [flags]\n\n{__doc__}")
    elif what not in ACTIONS:
        raise UserError(f"{prog} knows no {what!r}; choose from {', '.join(ACTIONS)}")
    else:
        import_plugins(arguments)
        ACTIONS[what](arguments[1:], f"{prog} {what}")


def learn(arguments: Sequence[str], prog: str) -> None:
    """Learn a simulator, and say where it is."""
    choices = {"--family.": FAMILIES, "--backbone.": BACKBONES}
    given: Any = read_flags(learn_options(), arguments, prog, "Learn a simulator.", cascade=True, choices=choices)
    cfg = SimulatorConfig(**values(given.learned), family=build(given.family), backbone=build(given.backbone))
    from robolearn.simulator.learn import learn_simulator

    with goes_on(cfg.out, "steps"):
        learn_simulator(cfg)
    print(f"learned: {url_of(cfg.out)}")
    print(next_step(prog, "accuracy", cfg.out))


def accuracy(arguments: Sequence[str], prog: str) -> None:
    """Compare a simulator with recorded episodes, and print a line per horizon."""
    given: Any = read_flags(AccuracyOptions, arguments, prog, "Compare it with recorded episodes.")
    from robolearn.simulator.accuracy import FILE, measure_accuracy

    comparison = measure_accuracy(given.directory, build(given.measured))
    print("energy score of the state so many steps ahead, in standard deviations of the states; less is better:")
    for line in accuracy_lines(comparison):
        print(line)
    print(f"all numbers are in {given.directory / FILE}")


def rank(arguments: Sequence[str], prog: str) -> None:
    """Rank policies, and print a line for each."""
    given: Any = read_flags(RankOptions, arguments, prog, "Rank policies without simulation.")
    if not given.runs:
        raise UserError("name the RUNs that are to be ranked, behind the learned simulator")
    from robolearn.simulator.rank import rank_runs

    if given.out is not None:
        check_writable(given.out)
    ranking = rank_runs(given.directory, given.runs, build(given.ranks))
    for line in rank_lines(ranking):
        print(line)
    if given.out is not None:
        write_json(given.out, finite(ranking.to_json()))


def accuracy_lines(comparison: Accuracy) -> list[str]:
    """A table, a line per horizon, with a word where there is no number."""
    lines = ["  ".join([f"{'steps':>6}", *(f"{who:<24}" for who in comparison.scores)])]
    for horizon in comparison.horizons:
        cells = [accuracy_cell(comparison, who, horizon) for who in comparison.scores]
        if set(cells) == {TOO_LONG}:
            cells = [TOO_LONG]
        lines.append("  ".join([f"{horizon:>6}", *(f"{cell:<24}" for cell in cells)]).rstrip())
    return lines


def accuracy_cell(comparison: Accuracy, who: str, horizon: int) -> str:
    """A number with its interval, or why there is none."""
    if (score := comparison.score(who, horizon)) is not None:
        return f"{score:.3f}"
    diverged = comparison.diverged(who, horizon)
    return f"diverged at {diverged} starts" if diverged else TOO_LONG


def rank_lines(ranking: Ranking) -> list[str]:
    """A table, a line per policy, best first, and how the order agrees with evaluations."""
    width = max(len("policy"), *(len(one.name) for one in ranking.entries))
    lines = [f"{'policy':<{width}}  {'predicted success':<22}  evaluated"]
    for one in ranking.entries:
        real = "" if one.real is None else f"{one.real:.3f}"
        lines.append(f"{one.name:<{width}}  {f'{one.predicted:.3f}':<22}  {real}".rstrip())
    if ranking.tau is not None:
        lines.append(f"Kendall's tau over {ranking.tau.n} evaluated policies: {ranking.tau:.2f}")
    return lines


ACTIONS: dict[str, Callable[[Sequence[str], str], None]] = {"learn": learn, "accuracy": accuracy, "rank": rank}
