"""What a store of demonstrations says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from robolearn.config import check_json, from_json
from robolearn.data.keys import key_problem
from robolearn.errors import UserError

SCHEMA_VERSION = 1
VIDEO_VERSION = 2  # of a store with keys that lie in videos: who does not know of them takes places for observations
MIN_DT, MAX_DT = 1e-6, 3600.0  # [s] what may be a control step


def check_control_dt(value: Any, where: str) -> None:
    """Raise a UserError unless `value` is a number of seconds that may lie between two actions."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not MIN_DT <= float(value) <= MAX_DT:  # NaN is in no range
        raise UserError(f"{where}: control_dt is {value!r:.60}, expected seconds, {MIN_DT:g} to {MAX_DT:g}")


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
        env_kwargs: Keyword arguments for making the environment; values as in JSON.
        tasks: What was asked for, in words; the number of an episode's text is its attribute "task".
        robot: Which robot it was.
        names: Key -> a name for each of its dimensions.
        splits: Name of a part -> its episodes.
        videos: Keys whose rows are places of frames in videos; see `videos.py`.
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
    tasks: tuple[str, ...] = ()
    robot: str = ""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    splits: dict[str, tuple[int, ...]] = field(default_factory=dict)
    videos: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.control_dt is not None:
            check_control_dt(self.control_dt, "attributes")
        if self.obs_keys == ():
            raise UserError("attributes: obs_keys is empty, expected the keys of the observations")
        if self.obs_keys is not None and len(set(self.obs_keys)) < len(self.obs_keys):
            raise UserError(f"attributes: obs_keys names a key twice: {', '.join(self.obs_keys)}")
        for problem in filter(None, map(key_problem, self.obs_keys or ())):
            raise UserError(f"attributes: obs_keys: {problem}")
        check_json(self.env_kwargs, "attributes: env_kwargs")

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> StoreAttrs:
        """Read the root attributes; a store without a schema version declares nothing.

        Raises:
            UserError: An attribute is of another kind than it should be.
        """
        if "schema_version" not in raw:
            return cls(schema_version=None)
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return from_json(cls, known, {}, "attributes")
