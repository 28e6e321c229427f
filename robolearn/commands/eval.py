"""Evaluate a trained policy: eval.py RUN [flags]."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from robolearn.commands.copies import command_line
from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Cluster, Plugins, Trust, build, import_plugins, mirror, values
from robolearn.evaluation.config import CHOICES, EvalConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution

Rollout = mirror(
    EvalConfig,
    (
        "episodes",
        "checkpoint",
        *CHOICES,
        "translator",
        "translate_to",
        "seed",
        "num_envs",
        "out",
        "videos",
        "record_episodes",
        "device",
        "threads",
    ),
    doc="What is rolled out.",
)
Watch = mirror(
    EvalConfig,
    ("gate", "safety_set", "fallback", "budget", "budgets", "record_interventions"),
    doc="What watches over the policy, and what is done where it is not trusted.",
)
Env, Chunks = mirror(EnvConfig), mirror(Execution)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an evaluation."""

    run: Positional[Path]
    """Run directory that train.py wrote."""
    rollout: OmitArgPrefixes[Rollout] = dataclasses.field(default_factory=Rollout)
    execution: OmitArgPrefixes[Chunks] = dataclasses.field(default_factory=Chunks)
    watch: OmitArgPrefixes[Watch] = dataclasses.field(default_factory=Watch)
    env: Env = dataclasses.field(default_factory=Env)
    cluster: Cluster = None
    plugin: Plugins = ()
    trust: Trust = False


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, evaluate, and show what came out."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = EvalConfig(**values(given.rollout, given.watch), execution=build(given.execution), env=build(given.env))
    from rich.console import Console

    from robolearn.cluster import open_cluster
    from robolearn.evaluation.evaluate import evaluate

    command = command_line(prog, arguments)
    with open_cluster(given.cluster) as mapper:
        evaluate(given.run, cfg, trust=given.trust, command=command, console=Console(), mapper=mapper)
