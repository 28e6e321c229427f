"""Train a policy from demonstrations: python train.py [FAMILY] [BACKBONE] [flags]; see --help."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from robolearn.errors import user_errors
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.training.assemble import assemble
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, choose_device, num_processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.members import Members, num_parallel
from robolearn.training.run import Run
from robolearn.training.session import Session


def subcommands(registry: dict[str, type]) -> object:
    """The registry as a choice on the command line."""
    members = (Annotated[cls, tyro.conf.subcommand(name, prefix_name=False)] for name, cls in registry.items())
    return Union[tuple(members)]  # noqa: UP007 (the members are only known here)


def find_resume(arguments: list[str]) -> Path | None:
    """The run to resume, needed before the rest can be parsed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", type=Path, nargs="?")
    return parser.parse_known_args(arguments)[0].resume


def parse(arguments: list[str]) -> tuple[Any, Any, TrainConfig, Path | None]:
    """Family, backbone, options and the run to resume; a resumed run supplies the defaults."""
    resume = find_resume(arguments)
    options, family, backbone = TrainConfig(), FAMILIES["flow"](), BACKBONES["mlp"]()
    if resume is not None:
        options, policy = Run.open(resume).config(), Run.open(resume).policy_config()
        family, backbone = policy.family, policy.backbone
    Arguments = dataclasses.make_dataclass(
        "Arguments",
        [
            ("family", subcommands(FAMILIES), family),
            ("backbone", subcommands(BACKBONES), backbone),
            ("options", Annotated[TrainConfig, tyro.conf.arg(name="")], options),
            (
                "resume",
                Annotated[Path | None, tyro.conf.arg(help="Go on with this run; flags change its options.")],
                None,
            ),
        ],
        frozen=True,
    )
    args = tyro.cli(Arguments, args=arguments, description=__doc__, config=(tyro.conf.CascadeSubcommandArgs,))
    if resume is not None and (args.family, args.backbone, args.options.vision) != (family, backbone, options.vision):
        raise ValueError(f"--resume {resume}: family, backbone and vision cannot change; start a new run")
    if args.options.num_members > 1 and num_processes() > 1:
        raise ValueError(f"--num-members {args.options.num_members} starts its own processes; run it without torchrun")
    return args.family, args.backbone, args.options, args.resume


def main(arguments: list[str]) -> None:
    """Parse, load the data, build the policy, fit it and say where it is."""
    family, backbone, options, resume = parse(arguments)
    device = choose_device(options.device, threads=options.threads)
    processes = Processes(device)
    cfg, state, windows, validation, data = assemble(options, family, backbone, device, resumes=resume is not None)
    if resume is not None:
        Run.open(resume).restore(state)
    if processes.is_first:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{type(family).__name__}-{type(backbone).__name__}".replace(
            "Config", ""
        ).lower()
        run = Run.open(resume) if resume else Run.create(cfg.out or Path("runs") / name, cfg, data)
        run.write_config(cfg)
        with Members(run, cfg, family, backbone, num_parallel(device)) as members:
            with Session(run, state, data) as session:
                complete = fit(state, windows, validation, processes, session)
            if not complete:
                members.stop()
            complete = members.finish() and complete
        print(f"{'trained' if complete else 'stopped'} at step {state.step:,}: {run.directory}")
        print(
            f"next: python eval.py {run.directory}" if complete else f"go on: python train.py --resume {run.directory}"
        )
    else:
        fit(state, windows, validation, processes, Hooks())
    processes.close()


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
