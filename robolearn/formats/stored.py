"""What a store gives to those who write another format, and what they note of it for reading it back."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.config import parse_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.columns import Blocks
from robolearn.formats.format import REWARD, TASK, ExportOptions
from robolearn.types import Array, Episode

BLOCK_BYTES = 16 << 20  # of a key that are read at once
NOTE = "robolearn"  # under which a note is kept: a data set, a file, a field


@dataclass(frozen=True)
class Note:
    """What a file of another format says of the store that it was made of.

    Attributes:
        attrs: Of the store.
        made: What the format asks for and the store did not have: it is left out on the way back.
        renamed: Name in the file -> key in the store.
    """

    attrs: StoreAttrs = field(default_factory=StoreAttrs)
    made: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        attrs = {name: value for name, value in asdict(self.attrs).items() if value is not None}
        return {"attrs": attrs, "made": sorted(self.made), "renamed": dict(self.renamed)}

    @classmethod
    def from_json(cls, raw: Any, where: str) -> Note:
        """Read a note.

        Raises:
            UserError: It is none.
        """
        made, renamed = (raw.get("made"), raw.get("renamed")) if isinstance(raw, dict) else (None, None)
        if not (isinstance(made, list) and isinstance(renamed, dict) and isinstance(raw.get("attrs"), dict)) or not all(
            isinstance(text, str) for text in (*made, *renamed.values())
        ):
            raise UserError(f"{where}: its note of the store that it was made of is damaged; remove {NOTE} from it")
        try:
            attrs = StoreAttrs.from_json(raw["attrs"])
        except UserError as error:
            raise UserError(f"{where}: its note of the store that it was made of: {error}") from error
        return cls(attrs, frozenset(made), renamed)

    def text(self) -> str:
        """For a file."""
        return json.dumps(self.to_json())

    @classmethod
    def from_text(cls, text: object, where: str) -> Note | None:
        """Read a note; None where there is none.

        Raises:
            UserError: It is no text, or not that of a note.
        """
        note = parse_json(text, where) if isinstance(text, str | bytes) else text
        return None if note is None else cls.from_json(note, where)


class Demonstrations:
    """A store's episodes for a writer.

    Attributes:
        attrs: With what the options say instead.
        count: Number of episodes to write.
        obs: Keys of observations, images among them.
        others: Other keys, without the reward.
        has_reward: Whether there is a reward: one number per step. A key of that name with more is one of the others.
        lost: What cannot be read, a sentence each.
    """

    def __init__(self, store: DemoStore, options: ExportOptions) -> None:
        self._store, self._options = store, options
        self.count = min(store.num_episodes, options.episodes or store.num_episodes)
        readable = [key for key in store.keys if store.fault(key) is None]
        self.has_reward = REWARD in readable and math.prod(store.shapes[REWARD]) == 1
        others = [key for key in readable if key not in ("action", *((REWARD,) if self.has_reward else ()))]
        declared = store.attrs.obs_keys
        self.obs = tuple(key for key in others if (key != REWARD if declared is None else key in declared))
        self.others = tuple(key for key in others if key not in self.obs)
        self.shapes, self.dtypes = store.shapes, store.dtypes
        self.lost = tuple(f"{key} cannot be read" for key in store.keys if key not in readable)
        splits = {part: tuple(i for i in these if i < self.count) for part, these in store.attrs.splits.items()}
        self.attrs = replace(
            store.attrs,
            schema_version=1,
            videos=(),
            control_dt=1 / options.fps if options.fps else store.attrs.control_dt,
            tasks=(options.task,) if options.task else store.attrs.tasks,
            splits={part: these for part, these in splits.items() if these},
        )

    @property
    def attr_names(self) -> tuple[str, ...]:
        """Names of the numbers that each episode has."""
        names = tuple(self._store.episode_attrs)
        return names if not self._options.task or TASK in names else (*names, TASK)

    @property
    def made(self) -> set[str]:
        """What `task_of` and `reward_of` give beside what the store has."""
        return {name for name, there in ((REWARD, self.has_reward), (TASK, TASK in self.attr_names)) if not there}

    def task_of(self, episode: Episode) -> str:
        """What was to be done in an episode; empty where that is not known."""
        number, tasks = episode.attrs.get(TASK, 0), self.attrs.tasks
        return tasks[int(number)] if tasks and 0 <= number < len(tasks) else ""

    def overruled(self, names: Collection[str], text: str = "") -> tuple[str, ...]:
        """Sentences for the numbers of episodes under whose names the format has something else, or a task's text."""
        own = {*names, *((text,) if self.attrs.tasks else ())}
        return tuple(f"{name} is not kept; the format has its own" for name in self.attr_names if name in own)

    def other_names(self, reserved: Collection[str]) -> dict[str, str]:
        """Key that is no observation -> a name that is not reserved, with underscores behind it where need be."""
        names: dict[str, str] = {}
        for key in self.others:
            name = key
            while name in reserved or name in names.values() or (name != key and name in self.others):
                name += "_"
            names[key] = name
        return names

    def __iter__(self) -> Iterator[Episode]:
        store, numbers = self._store, self._store.episode_attrs
        keys = ("action", *((REWARD,) if self.has_reward else ()), *self.obs, *self.others)
        columns = {key: stored_column(store, key) for key in keys}
        ends = [0, *store.episode_ends[: self.count].tolist()]
        for i in range(self.count):
            rows = {key: column[ends[i] : ends[i + 1]] for key, column in columns.items()}
            attrs = {name: values[i].item() for name, values in numbers.items()}
            if self._options.task:
                attrs[TASK] = 0
            yield Episode(rows, rows.pop("action"), attrs)


def stored_column(store: DemoStore, key: str) -> Blocks:
    """A key of a store as a column."""
    shape, dtype, chunk = store.shapes[key], store.dtypes[key], store.chunk_rows(key)
    row = max(1, math.prod(shape) * dtype.itemsize)
    block = max(1, BLOCK_BYTES // (row * chunk)) * chunk
    return Blocks(lambda start, stop: store.rows(key, start, stop), (store.num_steps, *shape), dtype, block)


def reward_of(episode: Episode, dtype: type = np.float32) -> Array:
    """Rewards [time] of an episode; zeros where it has none."""
    rows = episode.obs.get(REWARD)
    if rows is None or math.prod(rows.shape[1:]) != 1:
        return np.zeros(len(episode), dtype)
    return rows.reshape(len(episode))


def read_note(path: Path) -> Note | None:
    """The note in a file of its own; None where there is none."""
    return Note.from_text(path.read_bytes(), str(path)) if path.is_file() else None
