"""From the columns of a data set to the keys of a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from robolearn.data.keys import store_key
from robolearn.errors import UserError
from robolearn.formats.lerobot.info import Info
from robolearn.formats.lerobot.tables import is_picture, number_type, value_type

ACTION = "action"
NEXT_REWARD, NEXT_SUCCESS, NEXT_DONE = "next.reward", "next.success", "next.done"
TIMES, TASK_INDEX = "timestamp", "task_index"
POSITIONS = (TIMES, "frame_index", "episode_index", "index", TASK_INDEX)  # say where a row is
PREFIXES = ("observation.images.", "observation/images/", "observation.", "observation/", "next.")


@dataclass(frozen=True)
class Keys:
    """Which columns and videos become which keys.

    Attributes:
        action: Column of the actions.
        numbers: Column of numbers -> key, without the actions.
        pictures: Column of encoded images -> key.
        videos: Camera -> key.
        dtypes: Column of numbers -> the type that holds those of all tables.
        facts: Columns that say something of steps and episodes: times, tasks, success.
        dropped: Columns that no key can hold, and why, a sentence each.
    """

    action: str
    numbers: dict[str, str]
    pictures: dict[str, str]
    videos: dict[str, str]
    dtypes: dict[str, np.dtype]
    facts: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the tables that are read."""
        return (self.action, *self.numbers, *self.pictures, *self.facts)

    @property
    def cameras(self) -> dict[str, str]:
        """Name in the source -> key, of all that gives images."""
        return {**self.pictures, **self.videos}

    def with_cameras(self, chosen: Collection[str]) -> Keys:
        """The same with these cameras alone."""
        pictures, videos = (
            {camera: key for camera, key in cameras.items() if camera in chosen}
            for cameras in (self.pictures, self.videos)
        )
        return replace(self, pictures=pictures, videos=videos)

    def without(self, dropped: Mapping[str, str]) -> Keys:
        """The same without some columns of numbers, and the sentences that say why."""
        numbers = {column: key for column, key in self.numbers.items() if column not in dropped}
        return replace(self, numbers=numbers, dropped=(*self.dropped, *dropped.values()))


def choose_keys(info: Info, schemas: Sequence[pa.Schema]) -> Keys:
    """Name the keys of a data set.

    Raises:
        UserError: There are no actions.
    """
    common = [name for name in schemas[0].names if all(name in schema.names for schema in schemas)]
    kinds = {name: [schema.field(name).type for schema in schemas] for name in common}
    numbers = [name for name in common if all(number_type(kind) is not None for kind in kinds[name])]
    pictures = [name for name in common if all(is_picture(kind) for kind in kinds[name])]
    videos = [name for name in info.cameras if info.features[name].dtype == "video" and name not in pictures]
    action = _action(numbers, common)
    rows = [name for name in numbers if name not in (action, *POSITIONS, NEXT_SUCCESS, NEXT_DONE)]
    names = store_names([*rows, *pictures, *videos], {} if info.note is None else info.note.renamed)
    dtypes = {name: np.result_type(*map(_type, kinds[name])) for name in (action, *rows)}
    facts = tuple(name for name in (TIMES, TASK_INDEX, NEXT_SUCCESS) if name in numbers)
    others = [name for name in common if name not in (*numbers, *pictures, *videos, *POSITIONS)]
    dropped = [f"{name} is not kept; it holds {_not_numbers(kinds[name])}, not numbers" for name in others]
    partial = sorted({name for schema in schemas for name in schema.names} - set(common))
    dropped += [f"{name} is not kept; it is in some of the tables only" for name in partial]
    absent = [name for name in info.features if name not in (*common, *partial, *videos, *POSITIONS)]
    dropped += [f"{name} is named in info.json, but in none of the tables" for name in absent]
    key_of = [{column: names[column] for column in columns} for columns in (rows, pictures, videos)]
    return Keys(action, *key_of, dtypes=dtypes, facts=facts, dropped=tuple(dropped))


def _not_numbers(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """What a column holds in the first table in which that is no number."""
    return value_type(next((kind for kind in kinds if number_type(kind) is None), kinds[0]))


def _type(kind: pa.DataType) -> np.dtype:
    dtype = number_type(kind)
    assert dtype is not None
    return dtype


def _action(numbers: Sequence[str], columns: Sequence[str]) -> str:
    for name in (ACTION, "actions"):
        if name in numbers:
            return name
    alike = [name for name in numbers if name.startswith(ACTION)]
    if len(alike) == 1:
        return alike[0]
    which = f"the actions could be {' or '.join(alike)}" if alike else f"there is no column {ACTION}"
    raise UserError(f"{which} (columns: {', '.join(columns)}); one column of numbers has to be called {ACTION}")


def store_names(columns: Sequence[str], noted: Mapping[str, str] | None = None) -> dict[str, str]:
    """Column -> key: without the prefix that says what kind it is; those that would share a key keep their full name.

    A key is the name of a folder: slashes become dots, and what a store could not hold gets another beginning.

    Args:
        columns: Names in the source.
        noted: Column -> key, of those that were noted when the data set was made of a store.
    """
    names = {column: noted[column] for column in columns if noted and column in noted}
    claims: dict[str, list[str]] = {}
    for column in (column for column in columns if column not in names):
        claims.setdefault(store_key(_stripped(column)), []).append(column)
    for key, claiming in claims.items():
        if (owner := _owner(key, claiming)) is not None and key not in names.values():
            names[owner] = key
    for column in (column for claiming in claims.values() for column in claiming if column not in names):
        name = store_key(column)
        while name in (ACTION, *names.values()):
            name += "_"
        names[column] = name
    return names


def _owner(key: str, columns: Sequence[str]) -> str | None:
    """Which of the columns that a short key fits has it."""
    if key == ACTION:
        return None
    preferred = key if key in columns else NEXT_REWARD
    return preferred if preferred in columns else columns[0] if len(columns) == 1 else None


def _stripped(column: str) -> str:
    return next((column.removeprefix(prefix) for prefix in PREFIXES if column.startswith(prefix)), column)


def observed(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Keys that are observations: those whose columns say so; where none does, all that are no outcome."""
    said = [key for column, key in columns.items() if column.startswith("observation")]
    return tuple(said or [key for column, key in columns.items() if not column.startswith("next.")])
