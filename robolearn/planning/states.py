"""The whole state of an environment, taken out and put into another copy of it, after which both go on alike.

    get_state() and set_state(state)     its own, as our tasks have them
    MuJoCo                               all of the simulation's data, what the solver starts from among it
    gymnasium's classic control          the attribute `state`

Whether that is really all there is, `simulator.py` finds out by trying.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robolearn.errors import UserError

CLASSIC = "gymnasium.envs.classic_control."


@dataclass(frozen=True)
class StateAccess:
    """How the state of one kind of environment is taken out and put in.

    Attributes:
        get: Environment -> a state that it does not change any more.
        set: Puts a state into an environment, and leaves the state as it is.
    """

    get: Callable[[Any], Any]
    set: Callable[[Any, Any], None]


def access_to(env: Any, env_id: str | None) -> StateAccess:
    """Find out how the state of an unwrapped environment is reached.

    Raises:
        UserError: It cannot be.
    """
    if callable(getattr(env, "get_state", None)) and callable(getattr(env, "set_state", None)):
        return StateAccess(lambda env: env.get_state(), lambda env, state: env.set_state(state))
    if type(getattr(env, "data", None)).__name__ == "MjData" and hasattr(env, "model"):
        return StateAccess(lambda env: copy.copy(env.data), _set_data)
    if type(env).__module__.startswith(CLASSIC):
        return StateAccess(lambda env: copy.deepcopy(env.state), _set_attribute)
    raise UserError(
        f"environment {env_id}: its state cannot be set, so that it cannot be its own model; plan with `model` "
        "ensemble, or give it get_state() and set_state(state), which MuJoCo's and gymnasium's classic ones do without"
    )


def _set_data(env: Any, state: Any) -> None:
    import mujoco  # late: it is there where an environment has its data

    mujoco.mj_copyData(env.data, env.model, state)  # pyright: ignore[reportAttributeAccessIssue] (not in its stubs)


def _set_attribute(env: Any, state: Any) -> None:
    env.state = copy.deepcopy(state)
