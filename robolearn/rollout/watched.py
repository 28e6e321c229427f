"""One third-party environment, in a thread of its own: what it raises, and what takes too long, is its fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from robolearn.contract import Facts
from robolearn.errors import UserError
from robolearn.modules import explained
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.readings import FaultError
from robolearn.rollout.watchdog import HungError, Worker


class WatchedEnv:
    """An environment that is made, reset and stepped in one thread.

    Args:
        cfg: Which environment, and how long a call may take.
        render_mode: As gymnasium has it; None for what ``cfg`` says.

    Attributes:
        env: The environment; None where it has yet to be made.
        hung: Whether the last call did not come back in time.

    Raises:
        UserError: It cannot be made.
    """

    def __init__(self, cfg: EnvConfig, render_mode: str | None = None):
        self.cfg, self.hung = cfg, False
        self.rendering = {} if render_mode is None else {"render_mode": render_mode}
        self.worker = Worker(cfg.seconds)
        self.env: gym.Env | None = None
        try:
            self._make()
        except FaultError as fault:
            if isinstance(fault.__cause__, UserError):  # of make_env, which says all there is to say
                raise fault.__cause__ from None
            raise UserError(f"environment {cfg.id}: {fault}") from fault

    def reset(self, seed: int | None) -> Any:
        """What reset returns.

        Raises:
            FaultError: It raised or hung.
        """
        env = self.env or self._make()
        return self._call("reset", _reset, env, seed)

    def step(self, action: Any) -> Any:
        """What step returns.

        Raises:
            FaultError: It raised or hung.
        """
        assert self.env is not None, "step before reset"
        return self._call("step", self.env.step, action)

    def render(self) -> Any:
        """What render returns, of an environment that was reset.

        Raises:
            FaultError: It raised or hung.
        """
        assert self.env is not None, "render before reset"
        return self._call("render", self.env.render)

    def attribute(self, name: str) -> Any:
        """An attribute of the environment; None where it has none.

        Raises:
            UserError: It raised or hung.
        """
        return self._ask(name, lambda env: getattr(env, name, None))

    def facts(self) -> Facts:
        """What the environment declares, behind its wrappers.

        Raises:
            UserError: It raised or hung.
        """
        return self._ask("what it declares", lambda env: Facts.declared_by(env.unwrapped))

    def _ask(self, what: str, question: Callable[[Any], Any]) -> Any:
        try:
            return self._call(what, question, self.env)
        except FaultError as fault:
            raise UserError(f"environment {self.cfg.id}: {fault}") from fault

    def discard(self) -> None:
        """Give up an environment that is at fault; the next reset makes another."""
        if self.worker.lost:
            self.worker, self.env = Worker(self.cfg.seconds), None
        else:
            self.close()

    def close(self) -> str | None:
        """Close the environment; return what went wrong, which no result depends on, or None."""
        env, self.env = self.env, None
        if env is not None and not self.worker.lost:
            try:
                self._call("close", env.close)
            except FaultError as fault:
                return f"environment {self.cfg.id}: {fault}"
        return None

    def stop(self) -> None:
        """Let the thread end."""
        self.worker.stop()

    def _make(self) -> gym.Env:
        self.env = self._call("make", make_env, self.cfg, **self.rendering)
        assert self.env is not None
        return self.env

    def _call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what is not ours; everything that comes of it but a result is its fault."""
        self.hung = False
        try:
            return self.worker.call(function, *args, **kwargs)
        except HungError:
            self.hung = True
            raise FaultError(f"{name} took longer than {self.cfg.seconds:g} s") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: an environment must not end the evaluation
            raise FaultError(f"{name} raised {explained(error, self.cfg.id)}") from error


def _reset(env: gym.Env, seed: int | None) -> Any:
    """Reset, and seed as was usual before gymnasium: some, such as Meta-World's, obey that call alone."""
    older = getattr(env.unwrapped, "seed", None)
    if seed is not None and callable(older):
        older(seed)
    return env.reset(seed=seed)
