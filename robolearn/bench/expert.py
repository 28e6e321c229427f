"""What the scripted expert does from the initial states of the measurement: the coverage that can be asked for.

Where the start does not tell the mode, that is the distribution of the demonstrations' modes. Elsewhere it is less: on
Insert many starts lead straight in, and no way is chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.bench.kept import NOTHING, Kept, find
from robolearn.bench.rows import Task
from robolearn.bench.summary import Measured
from robolearn.config import write_json
from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.locks import turn
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.known import check_known
from robolearn.rollout.making import facts_of, opened_envs
from robolearn.types import Array

FILE = "expert.json"
ROUNDS = 8  # each of as many episodes as a policy has


def count_modes(env: EnvConfig, demos: Demos) -> list[int] | None:
    """Demonstrations per mode of the task; None where the task has no modes, or no demonstration tells its own.

    Raises:
        UserError: A mode is none of the environment's.
    """
    count, modes = facts_of(env).num_modes, demos.episode_attr("mode")
    if count is None or modes is None:
        return None
    known = modes.dtype.kind in "biuf" and np.isin(modes, np.arange(-1, count))
    if not np.all(known):
        other = np.asarray(modes)[~known].ravel()[0].item()
        raise UserError(
            f"{demos.name}: the mode of an episode is {other!r}; {env.id} has 0 .. {count - 1}, and -1 stands for "
            "one that is not known"
        )
    told = modes[modes >= 0].astype(int)
    return np.bincount(told, minlength=count).tolist() if len(told) else None


def expert_rounds(task: Task, runs: Path, kept: Kept = NOTHING) -> list[Measured]:
    """What was written down: each round is like what was measured of a policy; empty without an expert."""
    rounds = find(f"{task.name}/{FILE}", runs, kept) or []
    shapes = {name: np.shape(rounds[0][name]["mode"]) for name in rounds[0]} if rounds else {}
    wanted = {part: (len(states), task.num_repeats) for part, states in task.parts.items()}
    return rounds if shapes == wanted else []


def ask_expert(task: Task, data: Path, runs: Path, kept: Kept = NOTHING) -> None:
    """Let the expert go from every initial state as often as a policy does, and write down how: RUNS/TASK/expert.json.

    Nothing happens where that is known, where the environment has no expert and where every state is met once.

    Args:
        task: Says how many initial states and repetitions.
        data: Folder that holds the demonstrations, which name the environment.
        runs: Root of all units.
        kept: What is known elsewhere.

    Raises:
        UserError: The demonstrations are missing.
    """
    if task.num_repeats < 2 or expert_rounds(task, runs, kept):
        return
    attrs = Demos.open([data / path for path in task.train.dataset.paths]).attrs
    env = task.train.env.with_defaults(EnvConfig(attrs.env_id, attrs.env_kwargs))
    if task.train.env.id is None:
        check_known(env, data, task.train.env)
    path = runs / task.name / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with turn(path):  # several processes may share the work; who comes second finds it done
        if not expert_rounds(task, runs, kept):
            _write_rounds(task, env, path)


def _write_rounds(task: Task, env: EnvConfig, path: Path) -> None:
    """Ask, and write down what there is; nothing where the environment has no expert."""
    parts = {part: _episodes(env, np.array(states), task.num_repeats) for part, states in task.parts.items()}
    rounds = [dict(zip(parts, ones, strict=True)) for ones in zip(*parts.values(), strict=True)]
    if rounds:
        write_json(path, rounds, compact=True)


def _episodes(env: EnvConfig, starts: Array, num_repeats: int) -> list[dict[str, Any]]:
    """Success and mode of every round, [c][n]: it starts like a policy's episodes and decides anew in each."""
    shape = ROUNDS, len(starts), num_repeats
    starts = np.broadcast_to(starts[:, None], shape).ravel()
    with opened_envs(env, len(starts), (), num_frames=0) as envs:  # an expert needs no images
        if not envs.facts.has_expert:
            return []
        driver: Any = envs.demonstrator()
        decisions = seeds.DECISIONS.start + np.arange(len(starts))
        driver.reset(seed=decisions.tolist(), options={"start": driver.starts(starts.tolist())})
        ended, info = np.zeros(len(starts), bool), {}
        while not ended.all():
            _, _, terminated, truncated, info = driver.step(driver.expert_action()[1])
            ended = terminated | truncated
        success, mode = (info[name].astype(int).reshape(shape).tolist() for name in ("success", "mode"))
        return [{"success": s, "mode": m} for s, m in zip(success, mode, strict=True)]
