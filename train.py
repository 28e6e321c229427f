"""Train a policy from demonstrations: python train.py [FAMILY] [BACKBONE] [flags]; see --help."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Union

import torch
import tyro

from robolearn.data.demos import Demos
from robolearn.errors import user_errors
from robolearn.locks import hold
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.rollout.environments import EnvConfig, make_env
from robolearn.rollout.known import check_known
from robolearn.training.assemble import assemble
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, choose_device, num_processes
from robolearn.training.episodes import Kept
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


def parse(arguments: list[str]) -> tuple[Any, Any, TrainConfig, Path | None, bool]:
    """Family, backbone, options, the run to resume, which supplies the defaults, and whether its data may change."""
    resume = find_resume(arguments)
    options, family, backbone = TrainConfig(), FAMILIES["flow"](), BACKBONES["mlp"]()
    if resume is not None:
        options, (family, backbone) = Run.open(resume).config(), Run.open(resume).model()
    before = options
    resume_help = "Go on with this run; flags change its options."
    changed_help = "With --resume: go on although the demonstrations have changed since; data.json keeps both hashes."
    trust_help = "For rollouts and symmetry, make the environment that the data or the run name, whatever it imports."
    Arguments = dataclasses.make_dataclass(
        "Arguments",
        [
            ("family", subcommands(FAMILIES), family),
            ("backbone", subcommands(BACKBONES), backbone),
            ("options", Annotated[TrainConfig, tyro.conf.arg(name="")], options),
            ("resume", Annotated[Path | None, tyro.conf.arg(help=resume_help)], None),
            ("changed_data", Annotated[bool, tyro.conf.arg(help=changed_help)], False),
            ("trust", Annotated[bool, tyro.conf.arg(help=trust_help)], False),
        ],
        frozen=True,
    )
    args = tyro.cli(Arguments, args=arguments, description=__doc__, config=(tyro.conf.CascadeSubcommandArgs,))
    if resume is not None:
        if (args.family, args.backbone, args.options.vision) != (family, backbone, before.vision):
            raise ValueError(f"--resume {resume}: family, backbone and vision cannot change; start a new run")
        args.options.check_resumes(before)
    if args.options.num_members > 1 and num_processes() > 1:
        raise ValueError(f"--num-members {args.options.num_members} starts its own processes; run it without torchrun")
    given = {argument.partition("=")[0] for argument in arguments}
    check_environment(args.options, trusted=args.trust or "--env.id" in given)
    family = args.family
    if isinstance(family, MixtureConfig) and family.teacher_run is not None:
        family = dataclasses.replace(family, teacher_run=family.teacher_run.absolute())
    return family, args.backbone, args.options, args.resume, args.changed_data


def check_environment(options: TrainConfig, *, trusted: bool) -> None:
    """Refuse an environment that training makes and cannot be made, or that only files name, unknown."""
    if options.rollout_every or options.symmetry != "ignore":
        demos = Demos.open(options.dataset.path)
        env = options.env.over(EnvConfig(demos.attrs.env_id, demos.attrs.env_kwargs))
        if not trusted:
            check_known(env, demos.name)
        make_env(env).close()


def main(arguments: list[str]) -> None:
    """Parse, load the data, build the policy, fit it and say where it is."""
    family, backbone, options, resume, changed_data = parse(arguments)
    device = choose_device(options.device, threads=options.threads)
    processes = Processes(device)
    names = (type(part).__name__.removesuffix("Config").lower() for part in (family, backbone))
    directory = resume or options.out or Path("runs") / "-".join((time.strftime("%Y%m%d-%H%M%S"), *names))
    with hold(directory) if processes.is_first else nullcontext():
        if resume is None and processes.is_first:
            Run.check_free(directory, overwrite=options.overwrite)
        train(directory, family, backbone, options, device, processes, resume is not None, changed_data)
    processes.close()


def train(
    directory: Path,
    family: Any,
    backbone: Any,
    options: TrainConfig,
    device: torch.device,
    processes: Processes,
    resumes: bool,
    changed_data: bool,
) -> None:
    """Train a new run or go on with one, whose lock is held."""
    step = Run.open(directory).last_step() if resumes else None
    kept = Kept(Run.open(directory).data(), step or 0, changed_data) if resumes else None
    cfg, state, windows, validation, data = assemble(
        options, family, backbone, device, resumes=step is not None, kept=kept
    )
    if step is not None:
        Run.open(directory).restore(state)
    if not processes.is_first:
        fit(state, windows, validation, processes, Hooks())
        return
    cfg = dataclasses.replace(cfg, out=directory).anchored()
    if resumes:
        run = Run.open(directory)
        run.write(cfg, data)
    else:
        run = Run.create(directory, cfg, data, family, backbone)
    with Members(run, cfg, family, backbone, num_parallel(device), changed_data) as members:
        with Session(run, state, data) as session:
            complete = fit(state, windows, validation, processes, session)
        if not complete:
            members.stop()
        complete = members.finish() and complete
    print(f"{'trained' if complete else 'stopped'} at step {state.step:,}: {run.directory}")
    print(f"next: python eval.py {run.directory}" if complete else f"go on: python train.py --resume {run.directory}")


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
