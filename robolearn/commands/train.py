"""Train a policy from demonstrations: train.py [FAMILY] [BACKBONE] [flags]."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import (
    Cluster,
    Plugins,
    build,
    flag_group,
    import_plugins,
    known,
    mirror,
    next_step,
    registered,
    repeated,
    values,
)
from robolearn.errors import UnfinishedError, UserError
from robolearn.paths import url_of
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.known import check_known
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES, find_recipe

GROUPS = {
    "run": ("steps", "seed", "num_members", "out", "overwrite", "device", "threads"),
    "chunk": (
        "obs_horizon",
        "action_horizon",
        "exec_horizon",
        "prefix_horizon",
        "obs_noise",
        "chunk_frame",
        "symmetry",
    ),
    "optimizer": (
        "batch_size",
        "lr",
        "weight_decay",
        "warmup_steps",
        "grad_clip",
        "ema_decay",
        "amp",
        "compile",
        "capture",
    ),
    "log": (
        "log_every",
        "checkpoint_every",
        "keep_every",
        "rollout_every",
        "rollout_episodes",
        "wandb",
        "project",
        "wandb_id",
    ),
}
DOCS = {
    "run": "How long, on what, and where the result goes.",
    "chunk": "What the policy sees and plans, in steps.",
    "optimizer": "How the weights are found.",
    "log": "What is written while it trains.",
}


def main(arguments: Sequence[str], prog: str) -> None:
    """Train a new run or go on with one, and say where it is."""
    cfg, resume, changed_data, trust, env_given, cluster = parse(arguments, prog)
    from robolearn.cluster import open_cluster
    from robolearn.training.device import rank
    from robolearn.training.signals import stopped
    from robolearn.training.train import train

    how = {"resume": resume, "changed_data": changed_data, "trust": trust, "env_given": env_given}
    try:
        with open_cluster(cluster) as mapper:
            run = train(cfg, **how, mapper=mapper)
    except UnfinishedError as error:
        raise UserError(f"{error}; go on with `resume` {shlex.quote(url_of(error.run))}") from error
    if rank():
        return
    complete = run.is_complete()
    where = url_of(run.directory)
    print(f"{'trained' if complete else 'stopped'} at step {run.last_step() or 0:,}: {where}")
    same = [*named_environment(run.config().env), *repeated(arguments, {"plugin"})]
    after = next_step(prog, "eval", run.directory, *same)
    print(after if complete else f"go on: {prog} --resume {shlex.quote(where)}")
    if not complete:
        raise stopped()


def named_environment(env: EnvConfig) -> list[str]:
    """The flag that eval needs beside a run whose environment it does not know, or would not import unasked."""
    if env.id is None:
        return ["--env.id", "MODULE:ID"]
    try:
        check_known(env, "")
    except UserError:
        return ["--env.id", env.id]
    return []


def parse(arguments: Sequence[str], prog: str) -> tuple[TrainConfig, bool, bool, bool, bool, str | None]:
    """What to train; whether that is going on, with changed data, in an environment that is trusted, or was given; and
    on which cluster the members are trained.
    """
    import_plugins(arguments)
    defaults, resume = read_defaults(arguments)
    choices = {"--family.": FAMILIES, "--backbone.": BACKBONES}
    given: Any = read_flags(make_options(defaults), arguments, prog, __doc__, cascade=True, choices=choices)
    flat = values(*(getattr(given, name) for name in GROUPS))
    nested = {name: build(getattr(given, name)) for name in ("family", "backbone", "dataset", "env", "vision", "swag")}
    cfg = TrainConfig(**flat, **nested)
    if resume is not None:
        cfg = dataclasses.replace(cfg, out=resume)
    names_environment = any(argument.partition("=")[0] == "--env.id" for argument in arguments)
    if given.code.cluster is not None and cfg.num_trained == 1:
        raise UserError("`cluster` is for the members of an ensemble, `num_members` of 2 or more; torchrun trains one")
    return cfg, resume is not None, given.begin.changed_data, given.code.trust, names_environment, given.code.cluster


def read_defaults(arguments: Sequence[str]) -> tuple[TrainConfig, Path | None]:
    """Options that the flags change: those of the run to resume, which comes with it, of a recipe, or the defaults.

    Raises:
        UserError: Both are named, or there is no such run or recipe.
    """
    begun = known(arguments)
    if begun.resume is not None and begun.recipe is not None:
        raise UserError("`resume` goes on with the options of the run, `recipe` begins with its own; give one of them")
    if begun.resume is not None:
        from robolearn.training.run import Run

        return Run.open(begun.resume).config(), begun.resume
    return TrainConfig() if begun.recipe is None else find_recipe(begun.recipe), None


@dataclasses.dataclass(frozen=True)
class Begin:
    """Where the options come from, which other flags change."""

    recipe: Annotated[str | None, arg(metavar=f"{{{','.join(RECIPES)}}}")] = None
    """Start from settings that results were published with."""
    resume: Path | None = None
    """Go on with this run."""
    changed_data: bool = False
    """With --resume: go on although the demonstrations have changed since; data.json keeps both hashes."""


@dataclasses.dataclass(frozen=True)
class Code:
    """Code of others that may run, and where members are trained."""

    cluster: Cluster = None
    plugin: Plugins = ()
    trust: bool = False
    """For rollouts and symmetry, make the environment that the data or the run name, whatever it imports."""


def make_options(defaults: TrainConfig) -> type:
    """The class of the flags: what is registered as subcommands, and the fields of TrainConfig in groups."""
    registries = {"family": FAMILIES, "backbone": BACKBONES}
    fields: list[Any] = [registered(name, registry, defaults) for name, registry in registries.items()]
    groups = {name: mirror(TrainConfig, names, default=defaults, doc=DOCS[name]) for name, names in GROUPS.items()}
    nested = {
        name: mirror(type(value := getattr(defaults, name)), default=value)
        for name in ("dataset", "env", "vision", "swag")
    }
    order = ("begin", "run", "dataset", "env", "chunk", "optimizer", "log", "vision", "swag", "code")
    mirrors = {"begin": Begin, "code": Code} | groups | nested
    fields += [flag_group(name, mirrors[name], prefixed=name in nested) for name in order]
    return dataclasses.make_dataclass("Options", fields, frozen=True)
