"""Finished episodes in files, so that what was rolled out before a kill is not rolled out again.

PARTS/0000064.safetensors    the trajectories of a group, named after the first; of what, as a hash, in its header
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from robolearn.files import replacing
from robolearn.types import Array, Trajectory

PARTS = "parts"
"""Folder of the episodes that were rolled out, until what is made of them is written."""
ARRAYS, GROUPS = ("actions", "rewards", "scores", "clipped"), ("obs", "signals")
NUMBERS = ("episode", "seed", "success", "mode", "reason", "start", "broken", "tells_success", "ended")


class KeptEpisodes:
    """A folder of finished episodes.

    Args:
        directory: Whoever writes results beside it holds the lock.
        fingerprint: What they depend on beside their index, as a hash; others are none of these.

    Attributes:
        info_keys: What info held.
    """

    def __init__(self, directory: Path, fingerprint: str):
        self.directory, self.fingerprint, self.info_keys = directory, fingerprint, ()

    def load(self) -> list[Trajectory]:
        """Those that are there; a file of something else, or a damaged one, is taken away."""
        trajectories: list[Trajectory] = []
        for path in sorted(self.directory.glob("*.safetensors")):
            try:
                trajectories += self._read(path)
            except (SafetensorError, KeyError, ValueError):
                path.unlink()
        return trajectories

    def add(self, trajectories: Sequence[Trajectory], info_keys: Sequence[str]) -> None:
        """Keep a group, but for broken ones: what broke them may be mended before they are asked for again."""
        trajectories = [trajectory for trajectory in trajectories if not trajectory.broken]
        if not trajectories:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Array] = {}
        for number, trajectory in enumerate(trajectories):
            arrays |= {f"{number}/{name}": np.ascontiguousarray(value) for name, value in arrays_of(trajectory).items()}
        rows = [{name: plain(getattr(trajectory, name)) for name in NUMBERS} for trajectory in trajectories]
        header = {"of": self.fingerprint, "episodes": json.dumps(rows), "info_keys": json.dumps(list(info_keys))}
        with replacing(self.directory / f"{trajectories[0].episode:07}.safetensors") as path:
            path.write_bytes(save(arrays, header))

    def _read(self, path: Path) -> list[Trajectory]:
        with safe_open(path, "np") as file:
            header = file.metadata()
            if header["of"] != self.fingerprint:
                raise ValueError("of something else")
            fields: list[dict[str, Any]] = json.loads(header["episodes"])
            for row in fields:
                row.update({group: {} for group in GROUPS})
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                number, field, *key = name.split("/", 2)
                row = fields[int(number)]
                (row[field] if key else row)[key[0] if key else field] = file.get_tensor(name)
        self.info_keys = tuple(dict.fromkeys((*self.info_keys, *json.loads(header["info_keys"]))))
        return [Trajectory(**row) for row in fields]


def arrays_of(trajectory: Trajectory) -> dict[str, Array]:
    """Field, or field/key -> array."""
    grouped = {f"{group}/{key}": value for group in GROUPS for key, value in getattr(trajectory, group).items()}
    return {name: getattr(trajectory, name) for name in ARRAYS} | grouped


def plain(value: Any) -> Any:
    """A number as JSON has it."""
    return value.item() if isinstance(value, np.generic) else value


assert {*ARRAYS, *GROUPS, *NUMBERS} == {f.name for f in dataclasses.fields(Trajectory)}  # nothing is left behind
