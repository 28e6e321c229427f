"""What a store of demonstrations says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StoreAttrs:
    """What travels with the data.

    Attributes:
        schema_version: Version of this layout; None for a store that declares nothing (Diffusion Policy).
        env_id: Environment the data was recorded in, as gymnasium names it.
        control_dt: Seconds per action.
        units: Key -> unit.
        obs_keys: Keys meant as observations; None where not declared.
        expert: Who demonstrated.
        source: Where the data comes from.
        licence: Under which terms.
        env_kwargs: Keyword arguments for making the environment; numbers, truth values and text.
    """

    schema_version: int | None = SCHEMA_VERSION
    env_id: str | None = None
    control_dt: float | None = None
    units: dict[str, str] = field(default_factory=dict)
    obs_keys: tuple[str, ...] | None = None
    expert: str = ""
    source: str = ""
    licence: str = ""
    env_kwargs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> StoreAttrs:
        """Read the root attributes; a store without a schema version declares nothing."""
        if "schema_version" not in raw:
            return cls(schema_version=None)
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        if known.get("obs_keys") is not None:
            known["obs_keys"] = tuple(known["obs_keys"])
        return cls(**known)
