"""Train a policy from demonstrations: python train.py [FAMILY] [BACKBONE] [flags]; see --help."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from robolearn.commands.first import PLUGIN_HELP, import_plugins, read_defaults
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.training.config import TrainConfig
from robolearn.training.device import rank
from robolearn.training.recipes import RECIPES
from robolearn.training.train import train


def main(arguments: list[str]) -> None:
    """Train a new run or go on with one, and say where it is."""
    cfg, resume, changed_data, trust = parse(arguments)
    run = train(cfg, resume=resume, changed_data=changed_data, trust=trust)
    if rank():
        return
    complete = run.is_complete()
    print(f"{'trained' if complete else 'stopped'} at step {run.last_step() or 0:,}: {run.directory}")
    print(f"next: python eval.py {run.directory}" if complete else f"go on: python train.py --resume {run.directory}")


def parse(arguments: list[str]) -> tuple[TrainConfig, bool, bool, bool]:
    """What to train, whether that is going on, with changed data, in an environment that was given or is trusted."""
    import_plugins(arguments)
    defaults, resume = read_defaults(arguments)
    Options = make_options()
    default = Options(**{f.name: getattr(defaults, f.name) for f in dataclasses.fields(TrainConfig)})
    given = tyro.cli(
        Options, args=arguments, default=default, description=__doc__, config=(tyro.conf.CascadeSubcommandArgs,)
    )
    cfg = TrainConfig(**{f.name: getattr(given, f.name) for f in dataclasses.fields(TrainConfig)})
    if resume is not None:
        cfg = dataclasses.replace(cfg, out=resume)
    names_environment = any(argument.partition("=")[0] == "--env.id" for argument in arguments)
    return cfg, resume is not None, given.changed_data, given.trust or names_environment


def make_options() -> Any:
    """The class of the flags: those of TrainConfig, with what is registered as subcommands, and the command's own."""
    recipe_help = "Start from settings that results were published with, which flags change:"
    resume_help = "Go on with this run; flags change its options."
    changed_help = "With --resume: go on although the demonstrations have changed since; data.json keeps both hashes."
    trust_help = "For rollouts and symmetry, make the environment that the data or the run name, whatever it imports."
    return dataclasses.make_dataclass(
        "Options",
        [
            ("family", subcommands(FAMILIES), dataclasses.field(default_factory=FlowConfig)),
            ("backbone", subcommands(BACKBONES), dataclasses.field(default_factory=MLPConfig)),
            ("recipe", Annotated[str | None, tyro.conf.arg(help=f"{recipe_help} {', '.join(RECIPES)}.")], None),
            ("resume", Annotated[Path | None, tyro.conf.arg(help=resume_help)], None),
            ("changed_data", Annotated[bool, tyro.conf.arg(help=changed_help)], False),
            ("plugin", Annotated[tuple[str, ...], tyro.conf.arg(help=PLUGIN_HELP), tyro.conf.UseAppendAction], ()),
            ("trust", Annotated[bool, tyro.conf.arg(help=trust_help)], False),
        ],
        bases=(TrainConfig,),
        frozen=True,
    )


def subcommands(registry: Any) -> Any:
    """The registry as a choice on the command line."""
    members = (Annotated[cls, tyro.conf.subcommand(name, prefix_name=False)] for name, cls in registry.items())
    return Union[tuple(members)]  # noqa: UP007 (the members are only known here)
