"""Puts a training run together: data, policy, state, run directory, loggers and the hooks of the loop."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robolearn.config import from_json, to_json
from robolearn.data.normalizer import Mode, Normalizer
from robolearn.data.splits import split_episodes, usable_episodes
from robolearn.data.store import DemoStore, default_obs_keys
from robolearn.data.symmetry import Symmetry
from robolearn.data.windows import Windows
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import REGISTRY, BackboneConfig, FamilyConfig
from robolearn.rollout.environments import EnvConfig, declared_symmetry
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.replay import replay
from robolearn.rollout.video import write_mp4
from robolearn.training.config import TrainConfig
from robolearn.training.fit import Hooks, Record
from robolearn.training.logger import MetricsFile, WandbLogger, read_lines
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState

DEFAULT_CONTROL_DT = 0.1  # [s], the 10 Hz of the human Push-T set, which does not say
ROLLOUT_SEED = 500_000  # apart from the seeds of demonstrations (0 ...) and of evaluations (100,000 ...)


def load_data(cfg: TrainConfig, device: Any) -> tuple[TrainConfig, Windows, Windows | None, DataFacts]:
    """Open the demonstrations and split them.

    Returns:
        The configuration with the store's environment and keys filled in, training and held-out windows,
        and facts.
    """
    store = DemoStore.open(cfg.dataset.path)
    keys = cfg.dataset.obs_keys or default_obs_keys(store)
    env = cfg.env.over(EnvConfig(store.attrs.env_id, store.attrs.env_kwargs))
    cfg = dataclasses.replace(cfg, env=env, dataset=dataclasses.replace(cfg.dataset, obs_keys=tuple(keys)))
    parts = choose_episodes(store, cfg)
    train = Windows.from_store(
        store, keys, cfg.obs_horizon, cfg.action_horizon, parts["train"], device, cfg.dataset.cache_dir
    )
    validation = train.of(parts["validation"]) if "validation" in parts else None
    facts = DataFacts(
        path=str(cfg.dataset.path),
        content_hash=store.content_hash([*keys, "action"]),
        control_dt=store.attrs.control_dt or DEFAULT_CONTROL_DT,
        num_episodes=len(parts["train"]),
        num_steps=len(train),
        validation_episodes=tuple(int(i) for i in parts.get("validation", ())),
    )
    return cfg, train, validation, facts


def choose_episodes(store: DemoStore, cfg: TrainConfig) -> dict[str, np.ndarray]:
    """Episodes to train on and, where the share makes at least one, to validate on."""
    lengths = np.diff(store.episode_ends, prepend=0)
    window = cfg.obs_horizon - 1 + cfg.action_horizon
    try:
        usable = usable_episodes(lengths, window, cfg.dataset.short_episodes)
    except ValueError as error:
        raise ValueError(f"{store.path}: {error}") from None
    wanted, held_out = cfg.dataset.num_episodes, cfg.dataset.validation_fraction
    wanted = len(usable) if wanted is None else wanted
    if not 1 <= wanted <= len(usable):
        raise ValueError(f"--dataset.num-episodes {wanted}: {store.path} has {len(usable)} episodes")
    has_validation = held_out * wanted >= 1
    fractions = {"train": (1 - held_out * has_validation) * wanted / len(usable)}
    if has_validation:
        fractions["validation"] = held_out * wanted / len(usable)
    return {name: usable[part] for name, part in split_episodes(len(usable), fractions, cfg.seed).items()}


def make_policy(cfg: TrainConfig, family: FamilyConfig, backbone: BackboneConfig, windows: Windows) -> Policy:
    """Build a policy for the shapes of the data, normalised on the training episodes."""
    arrays = windows.arrays()
    modes: dict[str, Mode] = {key: "minmax" if key == "action" else cfg.dataset.normalization for key in arrays}
    policy_cfg = PolicyConfig(
        family,
        backbone,
        windows.obs_shapes,
        arrays["action"].shape[1],
        cfg.obs_horizon,
        cfg.action_horizon,
        parse_angles(cfg.dataset.angles),
        cfg.vision,
        cfg.prefix_horizon,
        None if cfg.symmetry == "ignore" else find_symmetry(cfg.env, tuple(windows.obs_shapes)),
        cfg.symmetry,
    )
    return Policy(policy_cfg, Normalizer.fit(arrays, modes)).to(windows.device)


def find_symmetry(env: EnvConfig, obs_keys: tuple[str, ...]) -> Symmetry:
    """The symmetry that the environment declares of these observations and its actions.

    Raises:
        ValueError: It declares none, or none of these observations.
    """
    declared = declared_symmetry(env)
    if declared is None:
        raise ValueError(f"environment {env.id} declares no symmetry; choose --symmetry ignore")
    symmetry = from_json(Symmetry, declared, {}, f"symmetry of {env.id}")
    if not any(key in symmetry.maps for key in obs_keys):
        named = [key for key in symmetry.maps if key != "action"]
        raise ValueError(f"the symmetry of {env.id} is one of {named}, the policy sees {list(obs_keys)}")
    return symmetry


def parse_angles(angles: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Turn ("state:4", "state:5") into {"state": (4, 5)}.

    Raises:
        ValueError: An entry is not KEY:DIMENSION.
    """
    parsed: dict[str, tuple[int, ...]] = {}
    for entry in angles:
        key, _, dim = entry.rpartition(":")
        if not key or not dim.isdigit():
            raise ValueError(f"--dataset.angles {entry}: expected KEY:DIMENSION, such as state:4")
        parsed[key] = (*parsed.get(key, ()), int(dim))
    return parsed


class Session(Hooks):
    """The hooks of one run: progress bar, metrics, checkpoints and rollouts.

    Args:
        run: Where everything goes.
        state: What is trained, at the step from which it goes on.
        data: Facts about the demonstrations.
    """

    def __init__(self, run: Run, state: TrainState, data: DataFacts):
        self.run, self.cfg, self.data = run, state.cfg, data
        self.metrics = MetricsFile(run.directory / "metrics.jsonl", state.step)
        self.wandb = self._start_wandb(state) if self.cfg.wandb else None
        self.best = float("inf")
        self.newest: Record = {}
        best_step = run.best_step()
        for line in read_lines(run.directory / "metrics.jsonl"):
            self.newest |= json.loads(line)
            if self.newest["step"] == best_step:
                self.best = self._merit()
        self.console = Console()
        self.bar = Progress(
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.0f} steps/s "),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("train", total=self.cfg.steps, completed=state.step, loss=float("nan"), rate=0.0)
        self.printed = time.monotonic()

    def __enter__(self) -> Session:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.metrics.close()
        if self.wandb is not None:
            self.wandb.close()

    def record(self, record: Record) -> None:
        """Write the numbers and move the bar; where there is no terminal, print a line now and then."""
        self.newest |= record
        self._log(record)
        if "steps_per_s" not in record:
            return
        loss = next(value for name, value in record.items() if name.endswith("loss"))
        rate = record["steps_per_s"]
        self.bar.update(self.task, completed=record["step"], loss=loss, rate=rate)
        if not self.console.is_terminal and time.monotonic() - self.printed > 20:
            self.printed = time.monotonic()
            self.console.print(f"step {record['step']:,.0f}/{self.cfg.steps:,}  loss {loss:.4f}  {rate:.0f} steps/s")

    def checkpoint(self, state: TrainState) -> None:
        """Save; best is the highest rollout score or, without rollouts, the lowest held-out loss."""
        merit = self._merit()
        self.run.save(state, best=merit < self.best)
        self.best = min(self.best, merit)

    def last_good(self) -> str:
        """The last checkpoint, if there is one."""
        last = self.run.checkpoints / "last"
        return f"last good checkpoint: {last.resolve()}" if last.exists() else super().last_good()

    def rollout(self, state: TrainState) -> None:
        """Roll the current policy out; log success and a video of the first episode."""
        policy, cfg = state.ema.module, self.cfg
        trajectories = evaluate(
            policy, cfg.env, range(cfg.rollout_episodes), execution=Execution(cfg.exec_horizon), seed=ROLLOUT_SEED
        )
        summary = summarize(trajectories, num_modes=None, control_dt=self.data.control_dt)
        record = {
            "step": state.step,
            "rollout/success": summary.success.value,
            "rollout/score": summary.max_score.value,
        }
        self.newest |= record
        video = self.run.directory / "videos" / f"step_{state.step:08d}.mp4"
        video.parent.mkdir(exist_ok=True)
        write_mp4(video, replay(cfg.env, trajectories[0]), 1 / self.data.control_dt)
        self._log(record, video)
        self.console.print(
            f"step {state.step:,}: success {summary.success.value:.2f} over {len(trajectories)} episodes"
        )

    def _merit(self) -> float:
        """The lower the better; infinite where there is nothing to judge by."""
        if "rollout/score" in self.newest:
            return -self.newest["rollout/score"]
        return self.newest.get("validation_loss", float("inf"))

    def _log(self, record: Record, video: Path | None = None) -> None:
        self.metrics.log(record)
        if self.wandb is not None:
            self.wandb.log(dict(record), video=video)

    def _start_wandb(self, state: TrainState) -> WandbLogger:
        config = {"train": to_json(self.cfg, REGISTRY), "policy": to_json(state.policy.cfg, REGISTRY)}
        directory = self.run.directory
        return WandbLogger(directory, project=self.cfg.project, name=directory.name, config=config)
