"""The environment as its own model: plans are carried out in copies of it that are set to where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError, warned
from robolearn.modules import making, reason_of
from robolearn.planning.states import access_to
from robolearn.rollout.chunked import ChunkedEnvs, NativeEnvs
from robolearn.rollout.env_config import require_id
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.readings import FaultError, read_flag, read_number, shown
from robolearn.rollout.watched import WatchedEnv
from robolearn.types import Array

TRIED = 2, 3  # steps before a state is taken, and those that its copy has to repeat
WIDTH = 64  # plans side by side


class SimulatorReturns(ABC):
    """The sum of rewards of plans, from where an environment stands; a plan ends where its episode does."""

    def __call__(self, state: Float[Tensor, " s"], plans: Float[Tensor, "n t a"]) -> Float[Tensor, " n"]:
        """See Returns; the environment itself is looked at, so that it does not matter how much it shows.

        Raises:
            UserError: A copy fails.
        """
        return torch.from_numpy(self.rewards(plans.numpy()).sum(1)).float()

    def begin(self, seed: int) -> None:  # noqa: B027 (nothing to do where a state is all there is)
        """Prepare the copies for an episode of the environment.

        Raises:
            UserError: A copy fails.
        """

    @abstractmethod
    def rewards(self, plans: Array) -> Array:
        """Rewards [n, t] of plans [n, t, a]; 0 after an end."""

    @abstractmethod
    def close(self) -> None:
        """Free resources."""


class LoopReturns(SimulatorReturns):
    """Of any environment whose state can be set: plans are carried out one after the other, without time limit.

    Args:
        acting: The one environment that acts.

    Raises:
        UserError: Its state cannot be set.
    """

    def __init__(self, acting: LoopEnvs):
        self.acting, self.copy = acting, WatchedEnv(acting.cfg)
        try:
            self.access = access_to(_bare(self.copy), acting.cfg.id)
        except UserError:
            self.close()
            raise

    def begin(self, seed: int) -> None:
        """See SimulatorReturns; what an episode draws when it begins, the copy draws too."""
        try:
            self.copy.reset(seed)
        except FaultError as fault:
            raise self._failed(fault) from fault

    def rewards(self, plans: Array) -> Array:
        """See SimulatorReturns."""
        state = self._state()
        return np.stack([self.follow(state, plan)[0] for plan in plans])

    def follow(self, state: Any, plan: Array) -> tuple[Array, Any]:
        """Carry out a plan [t, a] from a state.

        Returns:
            Rewards [t], 0 after an end that is no time limit, and the last observation as the environment has it.

        Raises:
            UserError: The copy fails.
        """
        env, rewards, obs = _bare(self.copy), np.zeros(len(plan)), None
        try:
            self.access.set(env, state)
            for t, action in enumerate(plan):
                obs, reward, terminated, _, info = env.step(self.acting.interface.actuate(action))
                rewards[t] = read_number("the reward", reward)
                # A time limit is none of the state: one that is counted in the copy counts the steps of all plans.
                if read_flag("terminated", terminated) or self._is_over(info):
                    break
        except Exception as error:  # whatever an environment of others raises
            raise self._failed(error) from error
        return rewards, obs

    def _state(self) -> Any:
        """Of the environment that acts."""
        try:
            return self.access.get(_bare(self.acting.copies[0]))
        except Exception as error:  # whatever an environment of others raises
            raise UserError(
                f"environment {self.acting.cfg.id}: its state cannot be taken ({reason_of(error)}); plan with `model` "
                "ensemble"
            ) from error

    def _is_over(self, info: Any) -> bool:
        """Whether the episode ends here though the environment goes on: it is unstable, or stops at its success."""
        acting, unstable = self.acting, read_flag("unstable", info.get("unstable", False))
        return unstable or (acting.cfg.stops and acting.interface.read_success(info) is True)

    def check(self, seed: int) -> None:
        """Refuse an environment of which a copy goes elsewhere from the state that it is set to.

        Raises:
            UserError: It does, or fails.
        """
        envs, (before, after) = self.acting, TRIED
        space, everywhere = envs.interface.action_space, np.ones(1, bool)
        draw = np.random.default_rng(seed).uniform
        actions = draw(space.low, space.high, (before + after, *space.shape)).reshape(1, before + after, -1)
        envs.reset(seed=[seed], options={"reset_mask": everywhere})
        self.begin(seed)
        first = envs.step_chunk(actions[:, :before], everywhere)
        if envs.faults[0] is not None or first.terminated.any() or first.truncated.any():
            return  # the episodes will tell
        state = self._state()
        chunk = envs.step_chunk(actions[:, before:], everywhere)
        steps = int(chunk.num_steps[0])
        if envs.cfg.stops and (success := chunk.info["success"][0, :steps]).any():
            steps = int(success.argmax()) + 1  # the copy goes no further
        rewards, obs = self.follow(state, actions[0, before : before + steps])
        seen = self._seen(obs) if steps else {}
        same = all(np.array_equal(seen[key], chunk.obs[key][0, steps - 1]) for key in seen)
        if not (same and np.array_equal(rewards, chunk.rewards[0, :steps])):
            raise UserError(
                f"environment {envs.cfg.id}: a copy that is set to its state goes on otherwise, so that it cannot be "
                f"its own model (rewards {shown(chunk.rewards[0].tolist())}, in the copy {shown(rewards.tolist())}); "
                "plan with `model` ensemble"
            )

    def _seen(self, obs: Any) -> dict[str, Array]:
        try:
            return self.acting.interface.observations.read(obs)
        except FaultError as fault:
            raise UserError(
                f"environment {self.acting.cfg.id}: without its wrappers, as plans are carried out in it, it shows "
                f"something else ({fault}); plan with `model` ensemble"
            ) from fault

    def close(self) -> None:
        """See SimulatorReturns."""
        with warned("closing the copy of the environment"):
            self.copy.close()
            self.copy.stop()

    def _failed(self, error: Exception) -> UserError:
        return UserError(f"environment {self.acting.cfg.id}: its copy failed ({reason_of(error)})")


class NativeReturns(SimulatorReturns):
    """Of a driver that takes chunks: many plans in one call.

    Args:
        acting: The one environment that acts.

    Raises:
        UserError: Its driver has no get_state() and set_state(state) of arrays [n, ...] in a dataclass.
    """

    def __init__(self, acting: NativeEnvs):
        self.source, self.stops = acting.driver, acting.cfg.stops
        reached = all(callable(getattr(self.source, name, None)) for name in ("get_state", "set_state"))
        if not (reached and is_dataclass(self.source.get_state())):
            raise UserError(
                f"environment {acting.cfg.id}: its driver has no get_state() and set_state(state) of a dataclass of "
                "arrays, so that it cannot be its own model; plan with `model` ensemble"
            )
        kwargs: dict[str, Any] = {"num_frames": 0, **acting.cfg.kwargs}
        with making(require_id(acting.cfg)):
            self.copies: Any = gym.make_vec(require_id(acting.cfg), num_envs=WIDTH, **kwargs)

    def rewards(self, plans: Array) -> Array:
        """See SimulatorReturns."""
        return np.concatenate([self._block(plans[i : i + WIDTH]) for i in range(0, len(plans), WIDTH)])

    def _block(self, plans: Array) -> Array:
        state, slots = self.source.get_state(), np.arange(WIDTH)
        rows = {f.name: np.repeat(getattr(state, f.name), WIDTH, axis=0) for f in fields(state)}
        self.copies.set_state(type(state)(**rows))
        actions = plans[np.minimum(slots, len(plans) - 1)]
        chunk = self.copies.step_chunk(actions, slots < len(plans))
        valid = np.arange(plans.shape[1]) < chunk.num_steps[:, None]
        if self.stops:
            success = chunk.info["success"]
            valid &= success.cumsum(1) - success == 0  # the step that brings it still counts
        return np.where(valid, chunk.rewards, 0.0)[: len(plans)]

    def close(self) -> None:
        """See SimulatorReturns."""
        with warned("closing the copies of the environment"):
            self.copies.close()


@contextmanager
def simulator_of(acting: ChunkedEnvs, seed: int) -> Iterator[SimulatorReturns]:
    """The copies of an environment, tried and closed in the end.

    Args:
        acting: The one environment that acts; an episode of it is begun.
        seed: Of that episode.

    Raises:
        UserError: It cannot be its own model.
    """
    if isinstance(acting, NativeEnvs):
        acting.reset(seed=[seed], options={"reset_mask": np.ones(1, bool)})
        returns: SimulatorReturns = NativeReturns(acting)
    else:
        assert isinstance(acting, LoopEnvs)
        returns = LoopReturns(acting)
    try:
        if isinstance(returns, LoopReturns):
            returns.check(seed)
        yield returns
    finally:
        returns.close()


def _bare(env: WatchedEnv) -> Any:
    """The environment without wrappers, which is not watched."""
    assert env.env is not None, "asked of an environment that was given up"
    return env.env.unwrapped
