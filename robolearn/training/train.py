"""Train a policy: what `train.py` does, as a function."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch

from robolearn.config import checked
from robolearn.data.demos import Demos
from robolearn.errors import UserError, one_line, remark, warn
from robolearn.locks import hold
from robolearn.mapper import Mapper
from robolearn.modules import MissingError, beside_you
from robolearn.policies.registry import REGISTRY, name_of
from robolearn.rollout.clip_remarks import clip_problem
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.known import check_known
from robolearn.rollout.trial import opened_trial
from robolearn.training.assemble import assemble, mapped_env, observed_keys, open_demos, policy_shapes
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, choose_device, num_processes, rank
from robolearn.training.drawn import draw_members
from robolearn.training.episodes import Kept
from robolearn.training.fit import Hooks, fit
from robolearn.training.member_jobs import MemberJobs
from robolearn.training.members import Members, num_parallel
from robolearn.training.run import Run
from robolearn.training.session import Session
from robolearn.types import is_image


def train(
    cfg: TrainConfig,
    *,
    resume: bool = False,
    changed_data: bool = False,
    trust: bool = False,
    env_given: bool = False,
    mapper: Mapper | None = None,
) -> Run:
    """Train a policy from demonstrations, or go on with a run that was stopped.

        run = train(TrainConfig(dataset=DatasetConfig((Path("datasets/avoid.zarr"),)), steps=2_000))
        run = train(dataclasses.replace(run.config(), steps=4_000), resume=True)

    Everything is written into the run's directory, checkpoints among it. SIGINT and SIGTERM save and end the training;
    then the run is not complete.

    Args:
        cfg: What is trained, on what, and where the run goes.
        resume: Go on with the run in ``cfg.out``; options that decide what is learned cannot change.
        changed_data: Go on although the demonstrations have changed since; data.json keeps both hashes.
        trust: Make the environment that the demonstrations name, whatever module it is from.
        env_given: Whether ``cfg.env`` is the caller's own choice, so that its module may run, and not read from a run.
        mapper: Where members but the first are trained, see `open_cluster`; by default in processes here.

    Raises:
        UserError: An option, the demonstrations or the environment do not fit, or the directory is taken.
        UnfinishedError: The disk refuses, or a member failed; with `resume` it goes on from the last checkpoint.
    """
    cfg = _checked(cfg, resume)
    device, demos = choose_device(cfg.device, threads=cfg.threads), open_demos(cfg)
    cfg, films = prepare_env(cfg, demos, trust=trust, env_given=env_given)
    processes, directory = Processes(device), _directory(cfg)
    cfg = dataclasses.replace(cfg, out=directory)
    with hold(directory) if processes.is_first else nullcontext():
        if not resume and processes.is_first:
            Run.check_free(directory, overwrite=cfg.overwrite)
        _train(cfg, demos, device, processes, films, mapper, resume=resume, changed_data=changed_data)
    processes.close()
    return Run(directory)


def _directory(cfg: TrainConfig) -> Path:
    names = name_of(cfg.family), name_of(cfg.backbone)
    return Path(cfg.out) if cfg.out else Path("runs") / "-".join((time.strftime("%Y%m%d-%H%M%S"), *names))


def _checked(cfg: TrainConfig, resume: bool) -> TrainConfig:
    for part in (cfg.family, cfg.backbone):
        name_of(part)  # what has none is refused
    cfg = checked(cfg, REGISTRY)
    if cfg.num_trained > 1 and num_processes() > 1:
        raise UserError(f"`num_members` {cfg.num_members} starts its own processes; run it without torchrun")
    return _going_on(cfg) if resume else cfg


def _going_on(cfg: TrainConfig) -> TrainConfig:
    """The options with what the run has found out for itself, where they leave it open."""
    if cfg.out is None:
        raise UserError("`out` names the run that is to go on; give it")
    before = Run.open(cfg.out).config()
    keys = before.dataset.obs_keys if cfg.dataset.obs_keys is None else cfg.dataset.obs_keys
    dataset, wandb_id = dataclasses.replace(cfg.dataset, obs_keys=keys), cfg.wandb_id or before.wandb_id
    cfg = dataclasses.replace(cfg, dataset=dataset, wandb_id=wandb_id)
    cfg.check_resumes(before)
    return cfg


def _train(
    cfg: TrainConfig,
    demos: Demos,
    device: torch.device,
    processes: Processes,
    films: bool,
    mapper: Mapper | None,
    *,
    resume: bool,
    changed_data: bool,
) -> None:
    """Train in a directory whose lock is held."""
    assert cfg.out is not None
    run = Run(cfg.out)
    step = run.last_step() if resume else None
    kept = Kept(run.data(), step or 0, changed_data) if resume else None
    images = None if step is None else run.policy_config().images
    cfg, state, windows, validation, data = assemble(
        cfg, demos, device, resumes=step is not None, kept=kept, images=images
    )
    if step is not None:
        run.restore(state)
    if cfg.rollout_every and (problem := clip_problem(cfg.env, data.action_low, data.action_high)):
        _say(problem)
    if not processes.is_first:
        fit(state, windows, validation, processes, Hooks())
        return
    cfg = cfg.anchored()
    if resume:
        run.write(cfg, data)
    else:
        Run.create(run.directory, cfg, data)
    with _members(cfg, device, mapper, changed_data) as members:
        with Session(run, state, data, films=films) as session:
            complete = fit(state, windows, validation, processes, session)
        if not complete:
            members.stop()
        members.finish()
    if complete and state.swag is not None:
        draw_members(run, state)


def _members(cfg: TrainConfig, device: torch.device, mapper: Mapper | None, changed_data: bool) -> Members | MemberJobs:
    if mapper is None:
        return Members(cfg, num_parallel(device), changed_data)
    return MemberJobs(cfg, device, mapper, changed_data)


def prepare_env(cfg: TrainConfig, demos: Demos, *, trust: bool, env_given: bool = False) -> tuple[TrainConfig, bool]:
    """Find out what training needs of the environment, and say what it sees, before anything is read for it.

    Data alone are enough to train: where nothing else was asked for, what is missing is a line and no more.

    Returns:
        The configuration, without rollouts where the environment is not installed; and whether rollouts can be filmed.

    Raises:
        UserError: Rollouts or a symmetry are asked for in an environment that does not fit, or that only files name
            and is unknown.
    """
    if rank() == 0 and (seen := obs_remark(cfg, demos)):
        remark(seen)
    env = mapped_env(cfg, demos)
    if not (cfg.rollout_every or cfg.symmetry != "ignore"):
        if lacking := env_remark(env):
            _say(f"{lacking}; training goes on without it")
        return cfg, False
    try:
        if env.id is not None and (lacking := env_remark(env)):
            raise MissingError(lacking)
        if not trust:
            source = demos.name if cfg.env.id is None else "the configuration"  # which may be that of a run
            check_known(env, source, cfg.env if env_given else None)
        problem = _try_out(env, *policy_shapes(cfg, demos)) if cfg.rollout_every else None
    except MissingError as error:
        if cfg.symmetry != "ignore":
            raise
        _say(f"{one_line(error)}; training goes on without rollouts")
        return dataclasses.replace(cfg, rollout_every=0), False
    if problem:
        _say(f"no video of rollouts can be made ({problem}); training goes on without videos")
    return cfg, problem is None


def _try_out(env: EnvConfig, shapes: Mapping[str, tuple[int, ...]], action_dim: int) -> str | None:
    """Refuse an environment that a policy of these shapes cannot act in; say why rollouts cannot be filmed."""
    plain = {key: shape for key, shape in shapes.items() if not is_image(shape)}  # images: not yet looked at
    with opened_trial(env, tuple(plain), films=True) as trial:
        trial.fit(plain, action_dim, {})
        return trial.film_problem()


def obs_remark(cfg: TrainConfig, demos: Demos) -> str | None:
    """Say which keys a policy sees where nobody has chosen them; None where somebody has, or there are no others."""
    if cfg.dataset.obs_keys is not None or demos.attrs.obs_keys is not None:
        return None
    seen = observed_keys(cfg, demos)
    others = [key for key in demos.keys if key not in (*seen, "action")]
    if not others:
        return None
    here, there = ", ".join(seen), ", ".join(others)
    return f"{demos.name} declares no observations: the policy sees {here} and not {there}; `dataset.obs_keys` chooses"


def env_remark(env: EnvConfig) -> str | None:
    """Say that an environment is unknown or not installed, without importing anything; None if it may be there."""
    if env.id is None:
        return "the demonstrations name no environment, which an evaluation needs: give `env.id` then, or now"
    package = env.id.rpartition(":")[0].partition(".")[0]
    if package and package not in sys.modules and importlib.util.find_spec(package) is None:
        why = beside_you(package) or f"the module {package} is not installed"
        return f"environment {env.id}, which an evaluation needs: {why}"
    return None


def _say(line: str) -> None:
    """Warn once, however many processes train."""
    if rank() == 0:
        warn(line)
