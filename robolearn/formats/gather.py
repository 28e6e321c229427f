"""From the episodes of a source, as they are, to those of a store: the same keys in all, of the same shapes.

A source is gone through twice: first to see which keys all episodes have, then to read them. A key keeps the name of
its data set without the group of observations around it; groups within become dots: images.top, object.pose.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.keys import store_attr, store_key
from robolearn.errors import UserError, printable
from robolearn.formats.columns import Column, num_rows
from robolearn.formats.finite import describe_places, places_not_finite
from robolearn.formats.format import REWARD, TASK, ImportOptions, Recording
from robolearn.formats.frames import Kind, kind_of
from robolearn.types import Episode, Scalar

ACTION = "action"


@dataclass(frozen=True)
class Raw:
    """One episode of a source.

    Attributes:
        name: As the source has it.
        actions: Joined in this order to one vector.
        obs: Observations, as many rows as actions or one more.
        others: What else there is for each step, such as rewards; left out where it does not fit.
        flags: Episode attribute -> rows of truth values; the attribute is whether one of them is true.
        attrs: Numbers of the episode.
        task: What was to be done, in words.
    """

    name: str
    actions: Mapping[str, Column]
    obs: Mapping[str, Column]
    others: Mapping[str, Column] = field(default_factory=dict)
    flags: Mapping[str, Column] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None


@dataclass(frozen=True)
class Source:
    """What a format found.

    Attributes:
        path: File or folder.
        episodes: Gives all episodes, in order; told whether they have been gone through before, since then what was
            checked is not checked again, and `attrs` and `task` are not asked for.
        attrs: Facts for the store; keys and tasks are added here.
        splits: Name of a part -> names of its episodes.
        lost: What a store cannot hold, a sentence each.
    """

    path: Path
    episodes: Callable[[bool], Generator[Raw, None, None]]
    attrs: StoreAttrs
    splits: Mapping[str, Iterable[str]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def gather(source: Source, options: ImportOptions) -> Recording:
    """Look through a source and say what it holds.

    Raises:
        UserError: Its episodes do not fit together, and which does not.
    """
    survey = _Survey(source)
    with closing(source.episodes(False)) as episodes:
        for raw in episodes:
            if len(survey.names) == options.episodes:
                break
            survey.see(raw)
    kinds = survey.kinds
    cameras = {_short(key): key for key, kind in kinds.items() if kind.axes is not None}
    chosen = [cameras[name] for name in options.choose_cameras(cameras)]
    kinds = {key: kind for key, kind in kinds.items() if kind.axes is None or key in chosen}
    obs_keys = tuple(key for key in kinds if key in survey.obs)
    if survey.names and not obs_keys:
        why = "; ".join(survey.left_out.values()) or "it has none"
        raise UserError(f"{source.path}: there are no observations to train on: {why}")
    attrs = replace(
        source.attrs,
        obs_keys=tuple(key for key in source.attrs.obs_keys or obs_keys if key in kinds) or obs_keys or None,
        tasks=survey.tasks or source.attrs.tasks,
        splits=survey.splits(),
    )
    reader = _Reader(source, kinds, survey, options.image_size)
    lost = (*source.lost, *survey.lost())
    return Recording(attrs, reader.episodes(), lost, len(survey.names), tuple(survey.names))


class _Survey:
    """What all episodes have in common.

    Attributes:
        kinds: Key -> how it is read, of those that all episodes have.
        obs: Keys that are observations.
        names: Episodes that have steps.
        left_out: Key -> why it is.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.kinds: dict[str, Kind] = {}
        self.obs: set[str] = set()
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        self.parts: tuple[str, ...] = ()
        self.empty: list[str] = []
        self._texts: list[str] = []
        self._attrs: list[dict[str, Any]] = []
        self._longer = False

    def see(self, raw: Raw) -> None:
        """Look at one more episode."""
        where = f"{self.source.path}: {raw.name}"
        steps = _steps(raw, where)
        if steps == 0:
            longest = max(map(num_rows, raw.obs.values()), default=0)
            if longest > 1:
                raise UserError(f"{where} has no actions for {longest} observations; mend the file, or leave it out")
            self.empty.append(raw.name)
            return
        columns = _named(raw)
        if not self.names:
            self.obs, self.parts = set(_obs_keys(raw.obs).values()), tuple(raw.actions)
        elif tuple(raw.actions) != self.parts:
            raise UserError(f"{where} has the actions {', '.join(raw.actions)}, the first one {', '.join(self.parts)}")
        for key, column in columns.items():
            self._see(key, column, steps, raw.name)
        for key in [key for key in self.kinds if key not in columns]:
            self._leave_out(key, f"{key} is not in all episodes, for one not in {raw.name}")
        self.names.append(raw.name)
        self._texts.append(raw.task or "")
        flags = {name: False for name, rows in raw.flags.items() if len(rows.shape) and rows.dtype.kind in "biuf"}
        for name in raw.flags.keys() - flags.keys():  # keys have no slash, so it hides none
            self.left_out[f"flag/{name}"] = f"{name} is no truth value for each step, for one in {raw.name}"
        self._attrs.append(
            {**{store_attr(n): v for n, v in raw.attrs.items() if isinstance(v, bool | int | float)}, **flags}
        )

    def _see(self, key: str, column: Column, steps: int, name: str) -> None:
        where, rows = f"{self.source.path}: {name}: {key}", num_rows(column)
        needed = key in self.obs or key.startswith(ACTION_PART)
        if key in self.left_out:
            return
        if rows not in (steps, steps + 1):
            if needed:
                raise UserError(f"{where} has {rows} rows for {steps} actions; mend the file, or leave the episode out")
            self._leave_out(key, f"{key} has {rows} rows for {steps} actions in {name}")
        elif not self.names and (kind := kind_of(key, column, where)) is not None:
            self.kinds[key] = kind
        elif not self.names:
            self._leave_out(key, f"{key} is no array of numbers ({column.dtype}, {column.shape})")
        elif key not in self.kinds:
            self._leave_out(key, f"{key} is not in all episodes, for one not in {self.names[0]}")
        elif not (kind := self.kinds[key]).fits(column):
            self._leave_out(key, f"{key} has rows {column.shape[1:]} of {column.dtype} in {name}, {kind.step} before")
        elif not kind.packed and column.dtype != kind.dtype:
            self.kinds[key] = replace(kind, dtype=np.result_type(kind.dtype, column.dtype))
        self._longer |= rows > steps and needed

    def _leave_out(self, key: str, why: str) -> None:
        if key.startswith(ACTION_PART):
            raise UserError(f"{self.source.path}: {why.removeprefix(ACTION_PART)}; actions of all episodes must agree")
        self.kinds.pop(key, None)
        self.left_out[key] = why

    @property
    def tasks(self) -> tuple[str, ...]:
        """The texts of the episodes, each once; in the order that the source states, where it knows them all."""
        if set(self._texts) <= set(self.source.attrs.tasks):
            return self.source.attrs.tasks
        return tuple(dict.fromkeys(self._texts)) if any(self._texts) else ()

    def splits(self) -> dict[str, tuple[int, ...]]:
        """Parts by the numbers of their episodes."""
        number = {name: i for i, name in enumerate(self.names)}
        parts = {part: tuple(number[n] for n in names if n in number) for part, names in self.source.splits.items()}
        noted = self.source.attrs.splits.items()
        parts = parts or {part: tuple(i for i in these if i < len(number)) for part, these in noted}
        return {part: episodes for part, episodes in parts.items() if episodes}

    def attrs(self) -> list[dict[str, Scalar]]:
        """Attributes that all episodes have, each of one type."""
        common = [name for name in self._attrs[0] if all(name in attrs for attrs in self._attrs)] if self._attrs else []
        kinds = {name: {type(attrs[name]) for attrs in self._attrs} for name in common}
        casts = {name: next(iter(kind)) if len(kind) == 1 else float for name, kind in kinds.items()}
        rows = [{name: casts[name](attrs[name]) for name in common} for attrs in self._attrs]
        if self.tasks:
            rows = [{**row, TASK: self.tasks.index(text)} for row, text in zip(rows, self._texts, strict=True)]
        return rows

    def lost(self) -> list[str]:
        """What was left out, a sentence each."""
        lost = list(self.left_out.values())
        if self.empty:
            lost.append(f"{len(self.empty)} episodes without steps are left out: {', '.join(self.empty[:5])}")
        if self._longer:
            lost.append("the observation after the last action is not kept")
        partial = sorted(
            {name for attrs in self._attrs for name in attrs} - set(self.attrs()[0] if self._attrs else ())
        )
        if partial:
            lost.append(f"attributes that not all episodes have are not kept: {', '.join(partial)}")
        return [printable(sentence) for sentence in lost]


ACTION_PART = "action/"  # before the names of what actions are made of: no key of a store has a slash


@dataclass(frozen=True)
class _Reader:
    """Reads the episodes that a survey found."""

    source: Source
    kinds: Mapping[str, Kind]
    survey: _Survey
    size: tuple[int, int] | None

    def episodes(self) -> Iterator[Episode]:
        """One after the other."""
        attrs, wanted = self.survey.attrs(), set(self.survey.names)
        with closing(self.source.episodes(True)) as episodes:
            there = (raw for raw in episodes if raw.name in wanted)
            for raw, numbers in zip(islice(there, len(attrs)), attrs, strict=True):
                yield self._episode(raw, numbers)

    def _episode(self, raw: Raw, numbers: dict[str, Scalar]) -> Episode:
        where, columns = f"{self.source.path}: {raw.name}", _named(raw)
        steps = _steps(raw, where)
        rows = {}
        for key, kind in self.kinds.items():
            rows[key] = kind.read(columns[key], steps, self.size, f"{where}: {key}")
        parts = [rows.pop(ACTION_PART + name).reshape(steps, -1) for name in self.survey.parts]
        for name in numbers:
            if name in raw.flags:
                flag = raw.flags[name][0 : raw.flags[name].shape[0]]
                if (places := places_not_finite(flag)) is not None:
                    raise UserError(f"{where}: {describe_places(name, flag, places)}; mend the file")
                numbers = {**numbers, name: bool(np.any(flag))}
        return Episode(rows, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1), numbers)


def _steps(raw: Raw, where: str) -> int:
    """Rows of all actions."""
    lengths = {name: num_rows(column) for name, column in raw.actions.items()}
    if len(set(lengths.values())) != 1:
        what = "no actions" if not lengths else f"actions of different lengths, {lengths}"
        raise UserError(f"{where} has {what}")
    return next(iter(lengths.values()))


def _named(raw: Raw) -> dict[str, Column]:
    """All columns by their keys in a store; a name that is taken gets the group before it."""
    columns = {ACTION_PART + name: column for name, column in raw.actions.items()}
    columns |= {key: raw.obs[name] for name, key in _obs_keys(raw.obs).items()}
    for name, column in raw.others.items():
        key = store_key(name)
        while key in columns or key == ACTION:
            key = f"other.{key}"
        columns[key] = column
    return columns


def _obs_keys(names: Iterable[str]) -> dict[str, str]:
    """Name of an observation -> its key, no key twice."""
    keys: dict[str, str] = {}
    for name in names:
        key = store_key(f"obs.{name}" if name in (ACTION, REWARD) else name)
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys


def _short(key: str) -> str:
    """What a camera is called beside its key: agentview for agentview_image."""
    ends = [end for end in ("_image", "_rgb") if key.endswith(end) and key != end]
    return key.removesuffix(ends[0]) if ends else key
