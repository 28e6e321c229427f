"""What would be known too late after a training: it is looked at before the first one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robolearn import seeds
from robolearn.bench.expert import count_modes
from robolearn.bench.training import prepare
from robolearn.bench.unit import Unit
from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.rollout.chunked import reset_some
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import opened_envs, takes_chunks
from robolearn.rollout.metrics import are_scores
from robolearn.training.assemble import mapped_env, observed_keys, open_demos
from robolearn.training.begun import check_begun_with
from robolearn.training.config import TrainConfig
from robolearn.training.episodes import choose_episodes, find_usable
from robolearn.training.run import Run
from robolearn.types import Array

TRIED_STEPS = 1000  # after which an episode that goes on is left, and nothing is known


def check_before(units: Sequence[Unit], data: Path) -> None:
    """Refuse tasks whose rows could not be compared once they are trained; each is looked at once.

    Args:
        units: Those that are to be worked on.
        data: Folder that holds the demonstrations.

    Raises:
        UserError: The demonstrations are missing or too few, their modes are none of the environment's, or that has
            neither success nor a score.
    """
    for unit in {unit.task.name: unit for unit in units}.values():
        cfg = prepare(unit.request(), data)
        demos = open_demos(cfg)
        _check_held_out(cfg, demos)
        env = mapped_env(cfg, demos)
        count_modes(env, demos)
        _check_environment(env, observed_keys(cfg, demos), demos)


def check_same_data(units: Sequence[Unit], data: Path) -> None:
    """Refuse to show rows that were trained on other demonstrations beside, or as, those of what is there now.

    Units go by the name of their store alone; see check_begun_with.

    Args:
        units: Of the tasks that are worked on; all that were begun of these are looked at.
        data: Folder that holds the demonstrations.

    Raises:
        UserError: A training was begun with others.
    """
    for unit in {(unit.task.name, unit.runs): unit for unit in units}.values():
        paths = tuple(data / path for path in unit.task.train.dataset.paths)
        folder = unit.runs / unit.task.name
        runs = [Run(path) for path in sorted(folder.glob("*/*/*/run"))]
        instead = f"choose other `runs`, or remove {folder} to train all rows on these"
        check_begun_with([(run, paths) for run in runs], instead)


def check_comparable(env: EnvConfig, *, told: bool, scored: bool, info_keys: Sequence[str] = ()) -> None:
    """Refuse an environment in which nothing says how good an episode was.

    Args:
        env: Which.
        told: Whether info told of success.
        scored: Whether what stands for a score, as the reward does, lies in [0, 1].
        info_keys: What info held; empty where that is not known.

    Raises:
        UserError: Neither.
    """
    if told or scored:
        return
    held = f"; info holds {', '.join(info_keys)}" if info_keys else ""
    raise UserError(
        f"environment {env.id} tells of no success ({env.success_key or 'success or is_success'} in info), and its "
        f"rewards leave [0, 1], so that there is nothing to compare by{held}; name the key that tells of success with "
        "`env.success_key`, or let info hold success, true or false, by the end of every episode"
    )


def _check_held_out(cfg: TrainConfig, demos: Demos) -> None:
    if "validation" in choose_episodes(demos, cfg):
        return
    share, count = cfg.dataset.validation_fraction, len(find_usable(demos, cfg))
    enough = f"give at least {math.ceil(1 / share)} episodes" if share else "none are held out at all"
    raise UserError(
        f"{demos.name}: chunks are compared at held-out observations, and a share of {share:g} of {count} episodes is "
        f"none; {enough}"
    )


def _check_environment(env: EnvConfig, obs_keys: tuple[str, ...], demos: Demos) -> None:
    """Play one demonstration's actions up to the first word of success, or to the end of the episode.

    Where the episode breaks or goes on, the first evaluation has to tell.
    """
    if takes_chunks(env):  # such a driver always tells of success
        return
    with opened_envs(env, 1, obs_keys) as envs:
        rewards, seed = [], seeds.FIXED
        reset_some(envs, {0: seed})
        for action in _demonstrated(demos):
            chunk = envs.step_chunk(action[None, None], np.ones(1, bool))
            if envs.faults[0] is not None or envs.tells_success:
                return
            rewards.append(chunk.info["score"][0, 0])
            ended = bool(chunk.terminated[0, 0] or chunk.truncated[0, 0])
            if ended or len(rewards) == env.max_episode_steps:
                check_comparable(env, told=False, scored=are_scores(np.array(rewards)), info_keys=envs.info_keys)
                return


def _demonstrated(demos: Demos) -> Array:
    """Actions of the first demonstration, the last of which is repeated up to TRIED_STEPS."""
    store = demos.stores[0]
    actions = store.rows("action", 0, min(int(store.episode_ends[0]), TRIED_STEPS))
    return np.concatenate([actions, np.repeat(actions[-1:], TRIED_STEPS - len(actions), axis=0)])
