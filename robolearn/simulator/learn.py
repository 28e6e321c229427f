"""Learn a simulator: states from the families by the training of policies, endings by a small classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.config import checked, first_difference, from_json, read_json, to_json, write_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.writer import is_unbegun
from robolearn.errors import UserError
from robolearn.locks import hold
from robolearn.nets.descent import FitConfig
from robolearn.nets.weights import save_weights
from robolearn.policies.registry import REGISTRY
from robolearn.simulator.config import SimulatorConfig
from robolearn.simulator.ending import fit_ending
from robolearn.simulator.model import (
    CONFIG_FILE,
    ENDING_FILE,
    FACTS_FILE,
    RECORDINGS_FILE,
    RUN,
    STORE,
    Facts,
    LearnedSimulator,
)
from robolearn.simulator.transitions import (
    BEFORE,
    PLAN,
    STATE,
    Recording,
    hash_recordings,
    read_recordings,
    state_keys,
    write_transitions,
)
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.run import Run
from robolearn.training.signals import passed_on
from robolearn.training.train import train
from robolearn.unused import is_begun

VERSION_FIELD, VERSION = "simulator_version", 1
ENDING_BATCH, ENDING_LR = 256, 1e-3
FREE = ("out", "device", "threads")  # what may change when a training goes on


def learn_simulator(cfg: SimulatorConfig) -> LearnedSimulator:
    """Learn a simulator from recordings, or go on where that was stopped.

        simulator = learn_simulator(SimulatorConfig(("demos.zarr", "rollouts.zarr"), "simulators/push"))

    Raises:
        UserError: A store lacks what is needed, something else is in `cfg.out`, or what was learned there is from
            other episodes than the stores hold now.
        KeyboardInterrupt: Ctrl-C or a termination; the training was saved.
    """
    cfg = checked(cfg, REGISTRY)
    demos = Demos.open(cfg.paths)
    keys = state_keys(demos, cfg.obs_keys)
    recordings = read_recordings(demos, keys, assume_success=cfg.assume_success)
    if cfg.held_out * len(recordings) < 1:
        raise UserError(f"`held_out` {cfg.held_out} of {len(recordings)} episodes is no episode; record more")
    cfg, out = replace(cfg, obs_keys=keys), Path(cfg.out)
    with hold(out):
        _begin_or_go_on(cfg, out)
        _check_unchanged(recordings, demos, out)
        if not (out / FACTS_FILE).exists():
            _write_store(cfg, recordings, demos, out / STORE)
            with passed_on():
                run = _train(cfg, out)
            part = [recordings[i] for i in run.data().training_episodes]
            fit = FitConfig(cfg.ending_steps, ENDING_BATCH, ENDING_LR)
            save_weights(fit_ending(part, cfg.history, fit, seed=cfg.seed), out / ENDING_FILE)
            write_json(out / FACTS_FILE, to_json(_facts(cfg, demos, recordings), {}))
    return LearnedSimulator.open(out)


def _begin_or_go_on(cfg: SimulatorConfig, out: Path) -> None:
    """Note what is learned, or refuse a directory that holds something else."""
    path, content = out / CONFIG_FILE, {VERSION_FIELD: VERSION, **to_json(cfg, REGISTRY)}
    if not is_begun(out, CONFIG_FILE, "no learned simulator"):
        write_json(path, content)
        return
    there: Any = read_json(path)
    if not isinstance(there, dict) or there.pop(VERSION_FIELD, None) != VERSION:
        raise UserError(f"{out} is no learned simulator: its {CONFIG_FILE} has no known {VERSION_FIELD}")
    before = from_json(SimulatorConfig, there, REGISTRY, str(path))
    if differs := first_difference(cfg, before, REGISTRY, FREE):
        raise UserError(f"{out}: {differs}; choose another `out`")


def _check_unchanged(recordings: list[Recording], demos: Demos, out: Path) -> None:
    """Note what is learned from before anything is made of it, or refuse to go on with other episodes.

    What is there was made of those of then, and its held-out episodes go by their numbers.
    """
    path, now = out / RECORDINGS_FILE, {"sha256": hash_recordings(recordings)}
    if path.exists():
        if read_json(path) != now:
            raise UserError(f"{out}: {demos.name} changed since this simulator was begun; choose another `out`")
    elif is_unbegun(out / STORE):  # otherwise it was begun when nothing was noted
        write_json(path, now)


def _write_store(cfg: SimulatorConfig, recordings: list[Recording], demos: Demos, path: Path) -> None:
    """Write what the states are learned from, unless all of it is there."""
    if not is_unbegun(path):  # all episodes are written at once
        return
    said = demos.attrs
    keys = (STATE, PLAN, *((BEFORE,) if cfg.history > 1 else ()))
    attrs = StoreAttrs(env_id=said.env_id, env_kwargs=said.env_kwargs, control_dt=said.control_dt, obs_keys=keys)
    write_transitions(path, recordings, attrs, cfg.horizon, cfg.history)


def _train(cfg: SimulatorConfig, out: Path) -> Run:
    """Train the family on changes of the state, as if they were actions."""
    same = {name: getattr(cfg, name) for name in ("family", "backbone", "steps", "batch_size", "lr", "seed")}
    whole = TrainConfig(
        **same,
        dataset=DatasetConfig((out / STORE,), short_episodes="pad", validation_fraction=cfg.held_out),
        obs_horizon=1,
        action_horizon=cfg.horizon,
        exec_horizon=cfg.horizon,
        chunk_frame="scaled",
        out=out / RUN,
        device=cfg.device,
        threads=cfg.threads,
        amp="off",  # changes are small beside states, and bfloat16 has three digits
        wandb=False,
    )
    run = Run(out / RUN)
    run.clear_unfinished()
    if run.exists() and run.is_complete():
        return run
    return train(whole, resume=run.exists())


def _facts(cfg: SimulatorConfig, demos: Demos, recordings: list[Recording]) -> Facts:
    actions = np.concatenate([recording.actions for recording in recordings])
    return Facts(
        obs_shapes={key: demos.shape(key) for key in cfg.obs_keys or ()},
        action_dim=actions.shape[1],
        horizon=cfg.horizon,
        history=cfg.history,
        max_steps=max(map(len, recordings)),
        action_low=tuple(actions.min(0).tolist()),
        action_high=tuple(actions.max(0).tolist()),
    )
