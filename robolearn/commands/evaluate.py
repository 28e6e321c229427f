"""Evaluate a trained policy: python eval.py RUN [flags]; see --help."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from robolearn.commands.first import PLUGIN_HELP, import_plugins
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.rollout.execution import Execution


@dataclasses.dataclass(frozen=True)
class Options(EvalConfig):
    """Options of an evaluation."""

    execution: Annotated[Execution, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Execution)
    run: tyro.conf.Positional[Path] = dataclasses.field(kw_only=True)
    """Run directory that train.py wrote."""
    plugin: Annotated[tuple[str, ...], tyro.conf.arg(help=PLUGIN_HELP), tyro.conf.UseAppendAction] = ()
    trust: bool = False
    """Make the environment that the run names also where that imports a module other than the known ones."""


def main(arguments: list[str]) -> None:
    """Parse, evaluate, and show what came out."""
    import_plugins(arguments)
    given = tyro.cli(Options, args=arguments, description=__doc__)
    cfg = EvalConfig(**{f.name: getattr(given, f.name) for f in dataclasses.fields(EvalConfig)})
    evaluate(
        given.run, cfg, trust=given.trust, command=shlex.join(["python", "eval.py", *arguments]), console=Console()
    )
