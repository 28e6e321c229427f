"""Spaces and environments of gymnasium as Minari writes them: JSON in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

FIRST_PARTY = "gymnasium"


def space_of(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """A Box that holds every number of a type; truth values are 0 and 1."""
    if dtype.kind == "f":
        low, high = -np.inf, np.inf
    elif dtype.kind == "b":
        low, high = False, True
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    lows, highs = (np.full(shape, end, dtype).tolist() for end in (low, high))
    return {"type": "Box", "dtype": str(dtype), "shape": list(shape), "low": lows, "high": highs}


def env_of_spec(spec: Mapping[str, Any]) -> tuple[str | None, dict[str, Any], list[str]]:
    """What gymnasium's EnvSpec says.

    Args:
        spec: From JSON; empty where there is none.

    Returns:
        The environment with the module that registers it, as in gymnasium:Pendulum-v1; its keyword arguments; and
        what of it is lost, a sentence each.
    """
    name, entry, kwargs = spec.get("id"), spec.get("entry_point"), spec.get("kwargs")
    if not isinstance(name, str) or not name:
        return None, {}, []
    module = entry.split(":")[0].split(".")[0] if isinstance(entry, str) else FIRST_PARTY
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    plain = {key: value for key, value in kwargs.items() if isinstance(value, bool | int | float | str)}
    lost = [f"the environment's argument {key} is not kept" for key in kwargs if key not in plain]
    wrappers = spec.get("additional_wrappers")
    for wrapper in wrappers if isinstance(wrappers, list) else []:
        kind = wrapper.get("name") if isinstance(wrapper, dict) else wrapper
        lost.append(f"the environment's wrapper {kind} is not kept")
    return name if ":" in name else f"{module}:{name}", plain, lost


def spec_of_env(env_id: str, kwargs: Mapping[str, Any]) -> str:
    """An EnvSpec as JSON, for an environment with its module; no module is imported for it."""
    from gymnasium.envs.registration import EnvSpec, registry

    module, _, name = env_id.rpartition(":")
    known = registry.get(name) if module in ("", FIRST_PARTY) else None
    if known is not None:
        return json.dumps({**json.loads(known.to_json()), "kwargs": {**known.kwargs, **kwargs}})
    return EnvSpec(id=env_id, kwargs=dict(kwargs)).to_json()
