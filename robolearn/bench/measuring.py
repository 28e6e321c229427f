"""Measure a trained unit in one sampler setting: raw numbers per episode and per held-out episode."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import torch

from robolearn.bench.beforehand import check_comparable
from robolearn.bench.expert import count_modes
from robolearn.bench.heldout import HeldOut
from robolearn.bench.rows import Setting, Task
from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.nets.tape import Touched
from robolearn.nets.unet_rows import whole_convolutions
from robolearn.policies.policy import Policy
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import measure_latency, planning
from robolearn.rollout.metrics import has_scores
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run
from robolearn.types import Trajectory

LATENCY_REPEATS = 200


def measure(task: Task, run: Run, setting: Setting, held_out: HeldOut, device: torch.device) -> dict[str, Any]:
    """Roll the last checkpoint out and compare its chunks with the expert's.

    Episodes are arrays [c][n]: initial states, repetitions. Initial states and noise are the same for every row and
    training seed. `selection` is for choosing a setting, `evaluation` for reporting it.

    Raises:
        UserError: An episode broke, or the environment has neither success nor a score.
    """
    policy = Policy.load(run.checkpoint("last"), device=device, **setting.runtime)
    repeats, horizon = task.num_repeats, task.train.exec_horizon
    rollouts = {part: roll_out_from(states, policy, run, repeats, horizon) for part, states in task.parts.items()}
    everything, example = list(chain(*rollouts.values())), rollouts["evaluation"][0]
    told, scored = any(t.tells_success for t in everything), has_scores(everything)
    check_comparable(run.config().env, told=told, scored=scored)
    return {
        "runtime": setting.runtime,
        "exec_horizon": horizon,
        **measure_latency(policy, example, LATENCY_REPEATS),
        "parameters_used": used_parameters(policy, example),
        **{part: raw_episodes(some, repeats, told=told, scored=scored) for part, some in rollouts.items()},
        "reasons": dict(Counter(t.reason for t in rollouts["evaluation"]).most_common()),
        **held_out.compare(policy),
    }


def demonstrated_modes(run: Run) -> list[int] | None:
    """Demonstrations per mode of the task, in all of the data; see `count_modes`."""
    cfg = run.config()
    return count_modes(cfg.env, Demos.open(cfg.dataset.path, cfg.dataset.keymap))


def used_parameters(policy: Policy, trajectory: Trajectory) -> int:
    """Parameters that sampling uses: without a teacher, a critic or an encoder of actions."""
    with torch.no_grad(), whole_convolutions(), Touched() as touched:
        planning(policy, trajectory)()
    return sum(parameter.numel() for parameter in policy.parameters() if parameter in touched)


def roll_out_from(states: range, policy: Policy, run: Run, num_repeats: int, exec_horizon: int) -> list[Trajectory]:
    """Episodes of a run's policy from initial states, each repeated with other noise.

    Args:
        states: Seeds of the initial states.
        policy: In one of its settings.
        run: Where it comes from, which says in which environment.
        num_repeats: Episodes from each state.
        exec_horizon: Steps of a chunk that are executed.

    Raises:
        UserError: An episode broke.
    """
    cfg, episodes, execution = run.config(), range(len(states) * num_repeats), Execution(exec_horizon)
    trajectories = roll_out(policy, cfg.env, episodes, execution=execution, seed=states.start, repeats=num_repeats)
    for t in trajectories:
        if t.broken:
            raise UserError(f"{run.directory}: episode {t.episode} is {t.reason}; a comparison needs all of them")
    return trajectories


def raw_episodes(
    trajectories: list[Trajectory], num_repeats: int, *, told: bool = True, scored: bool = True
) -> dict[str, list[list[Any]]]:
    """What is kept of episodes: success, score and mode, as lists [c][n] of initial states and repetitions.

    Args:
        trajectories: Of all initial states.
        num_repeats: Episodes from each.
        told: Whether the environment tells of success; it is None of all episodes otherwise.
        scored: Whether what stands for a score is one; likewise.
    """
    numbers = {
        "success": [int(t.success) if told else None for t in trajectories],
        "score": [round(t.max_score, 6) if scored else None for t in trajectories],
        "mode": [t.mode for t in trajectories],
    }
    return {name: np.reshape(values, (-1, num_repeats)).tolist() for name, values in numbers.items()}
