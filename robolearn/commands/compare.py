"""Compare two policies on the same episodes, and stop as soon as it is certain which is better.

Pair i is an episode of each policy from the same start with the same noise. One may look after every pair, and stop
whenever one likes: the probability of a wrong verdict is alpha at most. What is asked is whether B is better than A,
with --margin whether B is not worse than A by more than that.

Exit status: 0 where that is shown, 1 where the opposite is, 2 without a verdict: undecided after --max-episodes, or
the comparison could not be made, which a line on stderr says. Ctrl-C leaves the verdict so far on disk, and the same
command goes on.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.copies import command_line
from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, Trust, build, import_plugins, mirror, values
from robolearn.errors import DEFECT, UserError
from robolearn.evaluation.compare_config import CompareConfig, SideConfig
from robolearn.rollout.env_config import EnvConfig

Asked = mirror(
    CompareConfig,
    ("by", "margin", "alpha", "max_episodes", "seed", "num_envs", "device", "threads", "out"),
    doc="What is asked, and on which episodes.",
)
Side, Env = mirror(SideConfig), mirror(EnvConfig)
NO_VERDICT = 2


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a comparison."""

    run_a: Annotated[Positional[Path], arg(metavar="RUN_A")]
    """Run directory of A, which B is compared with: the one that is in use, for example."""
    run_b: Annotated[Positional[Path], arg(metavar="RUN_B")]
    """Run directory of B; the same as A's to compare two ways of acting."""
    asked: OmitArgPrefixes[Asked] = dataclasses.field(default_factory=Asked)
    """What is asked, and on which episodes."""
    a: Side = dataclasses.field(default_factory=Side)
    """How A acts."""
    b: Side = dataclasses.field(default_factory=Side)
    """How B acts."""
    env: Env = dataclasses.field(default_factory=Env)
    """Which environment; by default that of both runs."""
    plugin: Plugins = ()
    trust: Trust = False


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, compare, show the verdict, and end with its exit status."""
    try:
        status = _compare(arguments, prog)
    except (UserError, OSError):  # ends in one line, and with the same status
        raise
    except Exception as error:  # Python would end with 1, which is a verdict
        error.add_note(DEFECT)
        traceback.print_exception(error)
        status = NO_VERDICT
    sys.exit(status)


def _compare(arguments: Sequence[str], prog: str) -> int:
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = CompareConfig(**values(given.asked), a=build(given.a), b=build(given.b), env=build(given.env))
    from rich.console import Console

    from robolearn.evaluation.compare import compare

    command = command_line(prog, arguments)
    comparison = compare(given.run_a, given.run_b, cfg, trust=given.trust, command=command, console=Console())
    return comparison.verdict.exit_status
