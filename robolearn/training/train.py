"""Train a policy: what `train.py` does, as a function."""

from __future__ import annotations

import dataclasses
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.locks import hold
from robolearn.policies.registry import name_of
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.known import check_known
from robolearn.training.assemble import assemble
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, choose_device, num_processes
from robolearn.training.episodes import Kept
from robolearn.training.fit import Hooks, fit
from robolearn.training.members import Members, num_parallel
from robolearn.training.run import Run
from robolearn.training.session import Session


def train(
    cfg: TrainConfig, *, resume: bool = False, changed_data: bool = False, trust: bool = False, env_given: bool = False
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
        env_given: Whether ``cfg.env`` was chosen by whoever asks, so that its module may run; not read from a file.

    Returns:
        The run.

    Raises:
        UserError: An option, the demonstrations or the environment do not fit, or the directory is taken.
        OSError: The disk refuses; the last checkpoint stays.
    """
    _check_options(cfg, resume)
    check_training_env(cfg, trust=trust, env_given=env_given)
    device = choose_device(cfg.device, threads=cfg.threads)
    processes = Processes(device)
    names = name_of(cfg.family), name_of(cfg.backbone)
    directory = Path(cfg.out) if cfg.out else Path("runs") / "-".join((time.strftime("%Y%m%d-%H%M%S"), *names))
    cfg = dataclasses.replace(cfg, out=directory)
    with hold(directory) if processes.is_first else nullcontext():
        if not resume and processes.is_first:
            Run.check_free(directory, overwrite=cfg.overwrite)
        _train(cfg, device, processes, resume=resume, changed_data=changed_data)
    processes.close()
    return Run(directory)


def _check_options(cfg: TrainConfig, resume: bool) -> None:
    if resume:
        assert cfg.out is not None, "a run that goes on is somewhere"
        cfg.check_resumes(Run.open(cfg.out).config())
    if cfg.num_members > 1 and num_processes() > 1:
        raise UserError(f"`num_members` {cfg.num_members} starts its own processes; run it without torchrun")


def _train(cfg: TrainConfig, device: torch.device, processes: Processes, *, resume: bool, changed_data: bool) -> None:
    """Train in a directory whose lock is held."""
    assert cfg.out is not None
    run = Run(cfg.out)
    step = run.last_step() if resume else None
    kept = Kept(run.data(), step or 0, changed_data) if resume else None
    cfg, state, windows, validation, data = assemble(cfg, device, resumes=step is not None, kept=kept)
    if step is not None:
        run.restore(state)
    if not processes.is_first:
        fit(state, windows, validation, processes, Hooks())
        return
    cfg = cfg.anchored()
    if resume:
        run.write(cfg, data)
    else:
        Run.create(run.directory, cfg, data)
    with Members(cfg, num_parallel(device), changed_data) as members:
        with Session(run, state, data) as session:
            complete = fit(state, windows, validation, processes, session)
        if not complete:
            members.stop()
        members.finish()


def check_training_env(cfg: TrainConfig, *, trust: bool, env_given: bool) -> None:
    """Refuse an environment that training makes and cannot be made, or that only files name, unknown."""
    if cfg.rollout_every or cfg.symmetry != "ignore":
        demos = Demos.open(cfg.dataset.path, cfg.dataset.keymap)
        env = cfg.env.with_defaults(EnvConfig(demos.attrs.env_id, demos.attrs.env_kwargs))
        if not trust:
            check_known(env, demos.name, cfg.env if env_given else None)
        make_env(env).close()
