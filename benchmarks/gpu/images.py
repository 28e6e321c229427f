"""The whole way from images: demonstrations, training, rollouts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.gpu.study import Report, Size, train
from robolearn import seeds
from robolearn.data.collect import collect
from robolearn.nets.vision import VisionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import DatasetConfig, TrainConfig

TASK = "envs:robolearn/AvoidPixels-v0"


def images(device: torch.device, size: Size) -> Report:
    """Train on AvoidPixels from its scripted expert's demonstrations, and roll the policy out."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "avoid_pixels.zarr"
        collect(TASK, size.image_episodes, data)
        dataset = DatasetConfig((data,), obs_keys=("image", "state"), validation_fraction=0.0)
        cfg = TrainConfig(
            dataset=dataset,
            obs_horizon=1,
            steps=size.image_steps,
            batch_size=64,
            vision=VisionConfig(shift=0),
            log_every=max(1, size.image_steps // 10),
        )
        cfg, state, windows, _, facts = assemble(cfg, open_demos(cfg), device)
    clock = train(state, windows)
    started = time.perf_counter()
    trajectories = roll_out(
        state.ema.module,
        EnvConfig(TASK),
        range(size.rollouts),
        execution=Execution(cfg.exec_horizon),
        seed=seeds.ROLLOUTS.start,
    )
    seconds = time.perf_counter() - started
    summary = summarize(trajectories, num_modes=None, control_dt=facts.control_dt)
    return {
        "demonstrations": facts.num_episodes,
        "steps_per_s": clock.steps_per_s(),
        "losses": [clock.records[0]["loss"], clock.records[-1]["loss"]],
        "rollout_steps_per_s": sum(len(t.actions) for t in trajectories) / seconds,
        "success": None if summary.success is None else summary.success.value,
        "episodes": len(trajectories),
        "passed": clock.records[-1]["loss"] < clock.records[0]["loss"],
    }
