"""Minari's data sets (Farama Foundation, v0.4 and v0.5): HDF5 and a file of facts.

    data/metadata.json          spaces and env_spec, as JSON in JSON; v0.4 has them as attributes of the HDF5 file
    data/main_data.hdf5
        episode_0               attributes id, total_steps, seed
            observations        [T + 1, ...], or a group per Dict, with _index_0 ... per Tuple
            actions             [T, a], or a group
            rewards, terminations, truncations      [T]
            infos/<name>        [T + 1, ...]

A space of images is kept as JPEGs, unless jpeg_encoding is false.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.config import parse_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.columns import Column
from robolearn.formats.format import REWARD, TASK, ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.frames import kind_of
from robolearn.formats.gather import Raw, Source, gather
from robolearn.formats.hdf5 import Group, Reader, is_hdf5, open_hdf5
from robolearn.formats.hdf5_array import Stored
from robolearn.formats.hdf5_writing import writing_hdf5
from robolearn.formats.spaces import env_of_spec, space_of, spec_of_env
from robolearn.formats.stored import NOTE, Demonstrations, Note, reward_of
from robolearn.formats.texts import find_task, parse_object
from robolearn.types import Array, Episode

MAIN, FACTS, VERSION = "main_data.hdf5", "metadata.json", "0.5.4"
STATE, IMAGE, INFOS = "state", "image", "infos."
FLAGS = {"terminated": "terminations", "truncated": "truncations"}
SUCCESS = ("success", "is_success")  # in infos
LANGUAGE = "language_instruction"
OWN = ("id", "total_steps")  # attributes of an episode that say nothing of it


def read_minari(path: Path, options: ImportOptions) -> Recording:
    """Look at a data set.

    Args:
        path: Its folder, as minari names it, the folder data in it, or main_data.hdf5.
        options: What to read.

    Raises:
        UserError: It is none or damaged, and where.
    """
    folder = _folder(path)
    if folder is None:
        arrow = path.is_dir() and any(path.rglob("*.arrow"))
        hint = "it is in arrow's format; write it again by minari with data_format='hdf5'" if arrow else f"no {MAIN}"
        raise UserError(f"{path}: no data set of Minari in HDF5: {hint}")
    facts = _facts(folder)
    with open_hdf5(folder / MAIN) as file:
        reader = Reader(file, folder / MAIN)
        facts = {**reader.attrs(file), **facts}
        names = tuple(name for name in reader.names(file) if name.startswith("episode"))
    if not names:
        raise UserError(f"{folder / MAIN}: there are no episodes in it")
    note = Note.from_json(facts[NOTE], str(folder / FACTS)) if NOTE in facts else None
    attrs, lost = (note.attrs, []) if note else _attrs(path, facts)
    return gather(
        Source(path, partial(_episodes, folder / MAIN, names, note or Note()), attrs, {}, tuple(lost)), options
    )


def _folder(path: Path) -> Path | None:
    """Where main_data.hdf5 is."""
    folders = [path / "data", path] if path.is_dir() else [path.parent] if path.name == MAIN else []
    return next((folder for folder in folders if (folder / MAIN).is_file()), None)


def _facts(folder: Path) -> dict[str, Any]:
    file = folder / FACTS
    facts = parse_json(file.read_bytes(), str(file)) if file.is_file() else {}
    if not isinstance(facts, dict):
        raise UserError(f"{file}: is no object of facts")
    return facts


def _attrs(path: Path, facts: Mapping[str, Any]) -> tuple[StoreAttrs, list[str]]:
    env_id, kwargs, lost = env_of_spec(parse_object(facts.get("env_spec")) or {})
    authors = facts.get("author")
    who = [*authors] if isinstance(authors, list) else [authors]
    expert = facts.get("algorithm_name") or ", ".join(str(one) for one in who if one)
    name, link = facts.get("dataset_id") or path.name, facts.get("code_permalink")
    source = f"{name}, Minari" + (f", {link}" if link else "")
    return StoreAttrs(env_id=env_id, env_kwargs=kwargs, source=source, expert=str(expert)), lost


def _episodes(path: Path, names: tuple[str, ...], note: Note, again: bool) -> Generator[Raw, None, None]:
    with open_hdf5(path) as file:
        reader = Reader(file, path, again)
        for name in names:
            episode = reader.group(file, name)
            if episode is None:
                raise UserError(f"{path}: {name} is no group, as an episode is; remove it from the file")
            yield _raw(reader, episode, name, note)


def _raw(reader: Reader, episode: Group, name: str, note: Note) -> Raw:
    where = f"{reader.path}: {name}"
    obs, actions = (_leaves(reader, episode, part) for part in ("observations", "actions"))
    if obs is None or actions is None:
        there = ", ".join(reader.names(episode)) or "nothing"
        raise UserError(f"{where} has no {'actions' if obs else 'observations'}; there is {there}")
    if "" in obs:  # a single space
        kind = kind_of("", obs[""], where)
        obs = {IMAGE if kind is not None and kind.axes is not None else STATE: obs[""]}
    infos = _leaves(reader, episode, "infos") or {}
    others: dict[str, Column] = {INFOS + key: column for key, column in infos.items() if key not in SUCCESS}
    rewards = reader.child(episode, "rewards")
    if isinstance(rewards, Stored) and REWARD not in note.made:
        others[REWARD] = rewards
    flags = {flag: reader.child(episode, rows) for flag, rows in FLAGS.items() if flag not in note.made}
    flags["success"] = next((infos[key] for key in SUCCESS if key in infos), None)
    attrs = {} if reader.again else reader.attrs(episode)
    return Raw(
        name=name,
        actions={key or "actions": column for key, column in actions.items()},
        obs={note.renamed.get(key, key): column for key, column in obs.items()},
        others={note.renamed.get(key, key): column for key, column in others.items()},
        flags={flag: rows for flag, rows in flags.items() if isinstance(rows, Stored)},
        attrs={key: value for key, value in attrs.items() if key not in OWN},
        task=None if TASK in note.made else find_task(attrs),
    )


def _leaves(reader: Reader, episode: Group, name: str) -> dict[str, Column] | None:
    """Data sets of a space: by "" where it is no Dict and no Tuple; None where there is none."""
    child = reader.child(episode, name)
    if child is None or isinstance(child, Stored):
        return None if child is None else {"": child}
    return {re.sub(r"_index_(\d+)", r"\1", key): column for key, column in reader.columns(child).items()}


def write_minari(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store; a folder that minari finds under its name in MINARI_DATASETS_PATH.

    Raises:
        UserError: A chunk of the store is damaged.
    """
    demos = Demonstrations(store, options)
    names = {key: key.removeprefix(INFOS) for key in demos.others if key.startswith(INFOS)}
    names |= {key: name for key, name in demos.other_names((*names.values(), *SUCCESS)).items() if key not in names}
    made = demos.made | {flag for flag in FLAGS if flag not in demos.attr_names}
    single = demos.obs[0] if len(demos.obs) == 1 and demos.obs[0] in (STATE, IMAGE) else None
    folder = out / "data"
    folder.mkdir(parents=True)
    with writing_hdf5(folder / MAIN) as (file, check):
        for i, episode in enumerate(demos):
            group = file.create_group(f"episode_{i}")
            group.attrs.update({**episode.attrs, "id": i, "total_steps": len(episode)})
            _write_episode(group, demos, episode, names, single)
            check()
    spaces = {key: space_of(demos.shapes[key], demos.dtypes[key]) for key in (*demos.obs, "action")}
    observed = spaces[single] if single else {"type": "Dict", "subspaces": {key: spaces[key] for key in demos.obs}}
    renamed = {INFOS + name: key for key, name in names.items() if INFOS + name != key}
    facts: dict[str, Any] = {
        "dataset_id": "robolearn/demonstrations-v0",
        "total_episodes": demos.count,
        "total_steps": int(store.episode_ends[demos.count - 1]),
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "minari_version": VERSION,
        "observation_space": json.dumps(observed),
        "action_space": json.dumps(spaces["action"]),
        NOTE: Note(demos.attrs, frozenset(made), renamed).to_json(),
    }
    if demos.attrs.env_id:
        facts["env_spec"] = spec_of_env(demos.attrs.env_id, demos.attrs.env_kwargs)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    zeros = ("rewards are zeros, as the store has none",) if REWARD in made else ()
    last = "the observation after the last action is not known: the last one stands there again"
    return (*demos.lost, *demos.overruled(OWN, LANGUAGE), last, *zeros)


def _write_episode(
    group: Group, demos: Demonstrations, episode: Episode, names: Mapping[str, str], single: str | None
) -> None:
    for key in demos.obs:
        group["observations" if single else f"observations/{key}"] = _with_last(episode.obs[key])
    for key, name in names.items():
        group[f"infos/{name}"] = _with_last(episode.obs[key])
    group["actions"], group["rewards"] = episode.actions, reward_of(episode, np.float64)
    ends = {flag: np.zeros(len(episode), bool) for flag in FLAGS}
    ends["terminated"][-1] = episode.attrs.get("terminated", False)
    ends["truncated"][-1] = episode.attrs.get("truncated", not ends["terminated"][-1])
    for flag, rows in FLAGS.items():
        group[rows] = ends[flag]
    if task := demos.task_of(episode):
        group.attrs[LANGUAGE] = task


def _with_last(rows: Array) -> Array:
    """Rows with the last one once more, where the observation after the last action belongs."""
    return np.concatenate([rows, rows[-1:]])


def _is_minari(path: Path) -> bool:
    folder = _folder(path)
    return folder is not None and is_hdf5(folder / MAIN)


MINARI = Format(
    "data sets of Minari, the folder of one",
    read=read_minari,
    write=write_minari,
    recognize=_is_minari,
    packages=("h5py",),
)
