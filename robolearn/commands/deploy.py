"""Write a trained policy as a directory that acts without torch, and check that it acts alike.

    deploy RUN --out DIR      write it, with a runtime of one file beside it
    deploy --check DIR        compare it again with the run, or with what the run did when it was deployed

The exit status is 1 if an action differs by more than the tolerance.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, import_plugins, mirror, values
from robolearn.errors import UserError
from robolearn.evaluation.config import CHOICES, DeployConfig
from robolearn.rollout.execution import Execution

What = mirror(
    DeployConfig,
    (
        "format",
        "samples",
        "checkpoint",
        *CHOICES,
        "seed",
        "out",
        "gate",
        "safety_set",
    ),
    doc="What is written.",
)
Chunks = mirror(Execution)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a deployment."""

    run: Annotated[Positional[Path | None], arg(metavar="RUN")] = None
    """Run directory that train.py wrote."""
    what: OmitArgPrefixes[What] = dataclasses.field(default_factory=What)
    execution: OmitArgPrefixes[Chunks] = dataclasses.field(default_factory=Chunks)
    check: Path | None = None
    """Write nothing but check.json: compare this directory, which was deployed before."""
    tolerance: float = 1e-5
    """Most that an action may differ, in units of the normalized action."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, write and check."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = DeployConfig(**values(given.what), execution=build(given.execution))
    if not 0 < given.tolerance < 1:
        raise UserError(f"`tolerance` {given.tolerance} must be above 0 and below 1, half of what actions reach over")
    from robolearn.evaluation.deploy import check_deployed, deploy_run

    if given.check is not None:
        directory, check = given.check, check_deployed(given.check, given.run, tolerance=given.tolerance)
    elif given.run is None:
        raise UserError("give the run to deploy, or `check` and a directory that was deployed")
    else:
        directory, check = deploy_run(given.run, cfg, tolerance=given.tolerance)
    times = _time(check.runtime_ms, check.runtime_cpu_ms)
    if check.torch_ms is not None:
        times += f", with torch {_time(check.torch_ms, check.torch_cpu_ms)}"
    print(f"{directory}: a plan takes {times} on one thread")
    if check.busy_remark is not None:
        print(check.busy_remark)
    print(
        f"largest difference of {check.actions} actions on {check.observed}, beside {check.compared_with}: "
        f"{check.largest_difference:.2g} of the normalized action"
    )
    if not check.is_equal:
        print(f"error: {check.actions_above} actions differ by more than {check.tolerance:g}", file=sys.stderr)
        sys.exit(1)


def _time(wall: float, cpu: float | None) -> str:
    """By the clock and of the processor."""
    return f"{wall:.3f} ms" + ("" if cpu is None else f" ({cpu:.3f} ms of CPU time)")
