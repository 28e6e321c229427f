"""Compare a policy with the demonstrations that its training held out; no environment is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, import_plugins, mirror
from robolearn.evaluation.config import CHOICES, PolicyChoice

Choose = mirror(PolicyChoice, ("checkpoint", *CHOICES, "device", "threads"))


@dataclass(frozen=True)
class Options:
    """Options of a comparison."""

    run: Positional[Path]
    """Run directory that train.py wrote, with a share of the episodes held out."""
    choice: OmitArgPrefixes[Choose] = field(default_factory=Choose)
    """Which policy, and where it runs."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, compare, and print the errors beside those of holding the last action."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    from robolearn.evaluation.heldout import FILE, compare_with_heldout

    comparison = compare_with_heldout(given.run, build(given.choice))
    print(f"{given.run}: {len(comparison.episodes)} held-out episodes, loss {comparison.mean_loss():.4f}")
    print("mean absolute error of the next action over steps and episodes, and of who repeats what is there:")
    print("  ".join([f"  {'':<28}", *(f"{who:<28}" for who in comparison.errors)]))
    for dim, name in [*enumerate(comparison.names), (None, "all")]:
        cells = (f"{comparison.mean_error(who, dim):.4g}" for who in comparison.errors)
        print("  ".join([f"  {name:<28}", *(f"{cell:<28}" for cell in cells)]))
    print(f"policy less last action: {comparison.difference():.4g}; all numbers are in {given.run / FILE}")
