"""Roll a policy out in an environment: the one way in which train.py, eval.py and the benchmarks roll out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from robolearn.errors import UserError, remark, warn
from robolearn.policies.policy import Policy
from robolearn.rollout.actor import Actor
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import opened_envs
from robolearn.rollout.seeding import find_seed_fault
from robolearn.rollout.spent import TimeSpent
from robolearn.starts import judged, num_starts
from robolearn.types import Trajectory, is_image


def roll_out(
    policy: Policy,
    env: EnvConfig,
    episodes: Sequence[int],
    *,
    execution: Execution,
    seed: int,
    repeats: int = 1,
    num_envs: int = 32,
    on_done: Callable[[Trajectory], Any] | None = None,
    make_controller: Callable[..., Controller] = Controller,
    needs_seeds: bool = False,
    spent: TimeSpent | None = None,
) -> list[Trajectory]:
    """Roll out episodes; see run_episodes and Controller.

    The environment is checked first, and what is odd is said on stderr. Episodes in which it fails come back as broken.

    Args:
        policy: In evaluation mode.
        env: Where.
        episodes: Indices.
        execution: How chunks are executed, with an exec_horizon.
        seed: Episode i starts from ``reset(seed=seed + i // repeats)``.
        repeats: Episodes that share an initial state; each has its own noise, which depends on (seed, i) only.
        num_envs: Environments side by side; does not change the result.
        on_done: Called with every finished trajectory.
        make_controller: Takes what Controller takes; one with a gate, for example.
        needs_seeds: Whether to refuse an environment that ignores seeds, as its episodes may be the same again.
        spent: See run_episodes.

    Raises:
        UserError: The environment is not one for this policy, or every episode broke.
    """
    num_envs, limit = max(1, min(num_envs, len(episodes))), env.max_episode_steps
    controller = make_controller(policy, num_envs, execution, seed=seed)
    with attached_envs(env, num_envs, controller, needs_seeds) as envs:
        done = run_episodes(envs, controller, episodes, repeats=repeats, max_steps=limit, on_done=on_done, spent=spent)
    check_after(env, envs, done)
    return done


@contextmanager
def attached_envs(
    env: EnvConfig, num_envs: int, controller: Actor, needs_seeds: bool, *, checked: bool = False
) -> Iterator[ChunkedEnvs]:
    """Environments that fit what acts in them, checked before it drives them, and closed in the end.

    Args:
        env: Which.
        num_envs: How many.
        controller: Drives them.
        needs_seeds: See roll_out.
        checked: Whether the environment has been checked for another controller.

    Raises:
        UserError: They do not fit, lack what the controller needs, or ignore seeds that are needed.
    """
    cfg = controller.cfg
    sees = any(map(is_image, cfg.obs_shapes.values()))
    with opened_envs(env, num_envs, tuple(cfg.obs_shapes), cfg.obs_horizon if sees else 0) as envs:
        envs.fit(cfg.obs_shapes, cfg.action_dim, cfg.images)
        for line in envs.interface.observations.remarks:
            remark(f"environment {env.id}: {line}")
        controller.attach(envs)
        if not checked:
            check_before(env, envs, controller.seed, needs_seeds)
        yield envs


def check_before(env: EnvConfig, envs: ChunkedEnvs, seed: int, needs_seeds: bool) -> None:
    """Say what is odd about an environment before episodes are rolled out in it.

    Raises:
        UserError: It ignores seeds, and seeds are needed.
    """
    fault, oddity = find_seed_fault(env, envs, seed)
    if fault:
        envs.renew()  # the check has moved what it draws its starts from
    if fault and needs_seeds:
        raise UserError(fault)
    for line in filter(None, (fault, oddity)):
        warn(line)
    if envs.clips_itself and not env.clips:
        warn(f"environment {env.id} takes actions as they come, and clips them itself: `env.no_clip` changes nothing")
    if envs.limit is not None:
        warn(
            f"environment {env.id} states no time limit: episodes are cut at {envs.limit} steps; "
            "`env.max_episode_steps` sets another"
        )


def check_after(env: EnvConfig, envs: ChunkedEnvs, trajectories: Sequence[Trajectory]) -> None:
    """Say what is odd about the episodes that were rolled out.

    Raises:
        UserError: All of them are broken.
    """
    counted, broken = judged(trajectories), [t for t in trajectories if t.broken]
    if broken and not counted:
        raise UserError(f"environment {env.id}: all {len(broken)} episodes are broken; the first: {_fault(broken[0])}")
    if broken:
        warn(
            f"{len(broken)} of {len(trajectories)} episodes are broken and count for nothing; "
            f"the first, episode {broken[0].episode}: {_fault(broken[0])}"
        )
    if num_starts(counted) < len({t.seed for t in counted}):
        warn(
            f"{len(counted)} episodes began from {num_starts(counted)} distinct starts: "
            "intervals are over these, not over episodes"
        )
    if not envs.tells_success and env.success_key is not None:
        held = ", ".join(envs.info_keys) or "nothing"
        warn(f"environment {env.id}: info never holds {env.success_key} (`env.success_key`); it holds {held}")
    elif not envs.tells_success:
        warn(f"environment {env.id} tells of no success (success or is_success in info): none is counted")


def _fault(trajectory: Trajectory) -> str:
    return trajectory.reason.removeprefix("broken: ")
