"""Roll a policy out in an environment: the one way in which train.py, eval.py and the benchmarks roll out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from robolearn.errors import UserError, remark, warn
from robolearn.mapper import Needs
from robolearn.nets.threads import needs_of
from robolearn.policies.policy import Policy
from robolearn.rollout.actor import Actor
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import opened_envs
from robolearn.rollout.seeding import NUM_SEEDS, find_seed_fault
from robolearn.rollout.spent import TimeSpent
from robolearn.rollout.spread import Spread
from robolearn.starts import SPEAKS, judged, num_starts
from robolearn.types import Trajectory, fault_in, is_image


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
    spread: Spread | None = None,
    spent: TimeSpent | None = None,
) -> list[Trajectory]:
    """Roll out episodes in an environment that is checked first; where it fails they come back as broken.

    Args:
        policy: In evaluation mode; see Controller.
        env: Where; what is odd about it is said on stderr.
        episodes: Indices.
        execution: How chunks are executed, with an exec_horizon.
        seed: Episode i starts from ``reset(seed=seed + i // repeats)``.
        repeats: Episodes that share an initial state; each has its own noise, which depends on (seed, i) only.
        num_envs: Environments side by side; does not change the result.
        on_done: Called with every finished trajectory.
        make_controller: Takes what Controller takes; one with a gate, for example.
        needs_seeds: Whether what is said of the episodes rests on their seeds as independent draws, so that an
            environment that ignores seeds is refused.
        spread: Where episodes are rolled out, and kept; None for here, and nowhere. Does not change the result.
        spent: See run_episodes; of what is rolled out elsewhere it takes nothing down.

    Raises:
        UserError: The environment is not one for this policy, or every episode broke.
    """
    rolled = Rolled(policy, env, execution, seed, repeats, max(1, min(num_envs, len(episodes))), make_controller)
    out = rolled.out if spread is None else partial(spread.out, rolled)
    trajectories, info_keys = out(episodes, on_done, needs_seeds=needs_seeds, spent=spent)
    check_after(env, trajectories, info_keys, needs_seeds)
    return agreeing(trajectories)


@dataclass(frozen=True)
class Rolled:
    """What is rolled out, but for the episodes; see roll_out. It can travel to another process."""

    policy: Policy
    env: EnvConfig
    execution: Execution
    seed: int
    repeats: int
    num_envs: int
    make_controller: Callable[..., Controller]

    @property
    def needs(self) -> Needs:
        """What a group of episodes takes."""
        return needs_of(self.policy.device)

    def out(
        self,
        episodes: Sequence[int],
        on_done: Callable[[Trajectory], Any] | None = None,
        *,
        needs_seeds: bool = False,
        checked: bool = False,
        spent: TimeSpent | None = None,
    ) -> tuple[list[Trajectory], tuple[str, ...]]:
        """Episodes, and what info held; see attached_envs."""
        num_envs = min(self.num_envs, len(episodes))
        controller = self.make_controller(self.policy, num_envs, self.execution, seed=self.seed)
        with attached_envs(self.env, num_envs, controller, needs_seeds, checked=checked) as envs:
            limit, repeats = self.env.max_episode_steps, self.repeats
            trajectories = run_episodes(
                envs, controller, episodes, repeats=repeats, max_steps=limit, on_done=on_done, spent=spent
            )
        return trajectories, envs.info_keys

    def check(self, needs_seeds: bool) -> None:
        """Say here what is odd about the environment that will be made elsewhere."""
        num_envs = min(self.num_envs, 2)  # which is what seeds are tried out with
        controller = self.make_controller(self.policy, num_envs, self.execution, seed=self.seed)
        with attached_envs(self.env, num_envs, controller, needs_seeds):
            pass


def agreeing(trajectories: list[Trajectory]) -> list[Trajectory]:
    """The same, with one word on whether the environment tells of success.

    Where it tells only now and then, an episode that ended before its first word, or on another machine, would else be
    called otherwise than one that ended after it.
    """
    if len({t.tells_success for t in trajectories}) < 2:
        return trajectories
    fails = {"terminated": "failure"}
    return [dataclasses.replace(t, tells_success=True, reason=fails.get(t.reason, t.reason)) for t in trajectories]


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
    fault, oddity = find_seed_fault(env, envs, seed, NUM_SEEDS if needs_seeds else 2)
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


def check_after(
    env: EnvConfig, trajectories: Sequence[Trajectory], info_keys: Sequence[str], needs_seeds: bool
) -> None:
    """Say what is odd about the episodes that were rolled out.

    Raises:
        UserError: All of them are broken.
    """
    counted, broken = judged(trajectories), [t for t in trajectories if t.broken]
    if broken and not counted:
        raise UserError(
            f"environment {env.id}: all {len(broken)} episodes are broken; the first: {fault_in(broken[0].reason)}"
        )
    if broken:
        warn(
            f"{len(broken)} of {len(trajectories)} episodes are broken and count for nothing; "
            f"the first, episode {broken[0].episode}: {fault_in(broken[0].reason)}"
        )
    if num_starts(counted) < len({t.seed for t in counted}):
        began = f"{len(counted)} episodes began from {num_starts(counted)} distinct starts"
        warn(f"{began}: {SPEAKS if needs_seeds else 'intervals are over these, not over episodes'}")
    tells_success = any(t.tells_success for t in trajectories)
    if not tells_success and env.success_key is not None:
        held = ", ".join(info_keys) or "nothing"
        warn(f"environment {env.id}: info never holds {env.success_key} (`env.success_key`); it holds {held}")
    elif not tells_success:
        warn(f"environment {env.id} tells of no success (success or is_success in info): none is counted")
