"""robomimic's HDF5 (Mandlekar et al. 2021, arXiv:2108.03298); MimicGen, RoboCasa, LIBERO and Isaac Lab write it too.

data                attribute env_args: which environment, as JSON
data/demo_0         attribute num_samples, and others
    actions         [T, a]
    rewards, dones  [T]
    states          [T, s] of the simulator
    obs/<key>       [T, ...]
mask/<part>         names of the demonstrations of a part
"""

from __future__ import annotations

import json
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import REWARD, TASK, ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.gather import Raw, Source, gather
from robolearn.formats.hdf5 import Group, Reader, open_hdf5, top_names
from robolearn.formats.hdf5_array import Stored
from robolearn.formats.hdf5_writing import writing_hdf5
from robolearn.formats.stored import NOTE, Demonstrations, Note, reward_of
from robolearn.formats.texts import find_control_dt, find_task, parse_object, rate_remarks
from robolearn.types import Episode

GYM, ROBOSUITE = 2, 1  # robomimic.envs.env_base.EnvType
DONE, STEPS, LANG = "done", "num_samples", "lang"
OWN = ("actions", "obs", "next_obs", "rewards", "dones")  # names in a demonstration


def read_robomimic(path: Path, options: ImportOptions) -> Recording:
    """Look at a file and say what is in it.

    Raises:
        UserError: It is no such file or damaged, and where.
    """
    with open_hdf5(path) as file:
        reader = Reader(file, path)
        data = _data(reader)
        note = _note(reader)
        there = reader.names(data)
        names = [name for name in there if reader.group(data, name) is not None]
        facts = reader.attrs(data)
        first = reader.group(data, names[0]) if names else None
        lost = _lost(reader, first) if first is not None else []
        lost += [f"data/{name} is no group, as a demonstration is" for name in there if name not in names]
        attrs, unread = (note.attrs, []) if note else _attrs(path, facts)
        splits = _masks(reader)
    task = find_task(facts)
    episodes = partial(_episodes, path, tuple(names), note or Note(), task if note is None else None)
    source = Source(path, episodes, attrs, splits, (*lost, *unread))
    return gather(source, options)


def _data(reader: Reader) -> Group:
    data = reader.group(reader.file, "data")
    if data is None:
        there = ", ".join(reader.names(reader.file)) or "nothing"
        raise UserError(f"{reader.path}: no group data with demonstrations in it; there is {there}")
    return data


def _note(reader: Reader) -> Note | None:
    child = reader.child(reader.file, NOTE)
    return Note.from_text(child.value(), str(reader.path)) if isinstance(child, Stored) else None


def _episodes(
    path: Path, names: tuple[str, ...], note: Note, task: str | None, again: bool
) -> Generator[Raw, None, None]:
    with open_hdf5(path) as file:
        reader = Reader(file, path, again)
        data = _data(reader)
        for name in names:
            yield _raw(reader, data, name, note, task)


def _raw(reader: Reader, data: Group, name: str, note: Note, task: str | None) -> Raw:
    demo = reader.group(data, name)
    where = f"{reader.path}: data/{name}"
    actions = None if demo is None else reader.child(demo, "actions")
    if demo is None or not isinstance(actions, Stored):
        raise UserError(f"{where} has no actions; remove it from the file")
    obs = reader.group(demo, "obs")
    if obs is None:
        raise UserError(
            f"{where} has no observations; make them from its states with robomimic's script dataset_states_to_obs.py"
        )
    others: dict[str, Any] = {}
    for other in [other for other in reader.names(demo) if other not in OWN]:
        others.update(reader.inside(demo, other))
    rewards, dones = (reader.child(demo, other) for other in ("rewards", "dones"))
    if isinstance(rewards, Stored) and REWARD not in note.made:
        others[REWARD] = rewards
    flags = {DONE: dones} if isinstance(dones, Stored) and DONE not in note.made else {}
    attrs = {} if reader.again else reader.attrs(demo)
    return Raw(
        name=name,
        actions={"actions": actions},
        obs={note.renamed.get(key, key): column for key, column in reader.columns(obs).items()},
        others={note.renamed.get(key, key): column for key, column in others.items()},
        flags=flags,
        attrs={key: value for key, value in attrs.items() if key != STEPS and key not in note.made},
        task=None if TASK in note.made else find_task(attrs) or task,
    )


def _attrs(path: Path, facts: dict[str, Any]) -> tuple[StoreAttrs, list[str]]:
    """Facts of the store, and what of them could not be understood, a sentence each."""
    text = facts.get("env_args")
    env = parse_object(text)
    source = f"{path.name}, robomimic"
    if env is None:
        lost = rate_remarks(facts)
        if text is not None:
            lost.append("env_args, which say what the environment was, are no JSON")
        return StoreAttrs(source=source, control_dt=find_control_dt(facts)), lost
    stated = env.get("env_kwargs")
    kwargs: dict[str, Any] = stated if isinstance(stated, dict) else {}
    control_dt = find_control_dt(kwargs) or find_control_dt(env) or find_control_dt(facts)
    lost = [remark for told in (kwargs, env, facts) for remark in rate_remarks(told)]
    name, robots = env.get("env_name"), kwargs.get("robots")
    robot = robots if isinstance(robots, str) else ", ".join(map(str, robots)) if isinstance(robots, list) else ""
    if env.get("type") == GYM and isinstance(name, str):
        plain = {key: value for key, value in kwargs.items() if isinstance(value, bool | int | float | str)}
        env_id = name if ":" in name else f"gymnasium:{name}"
        return StoreAttrs(source=source, control_dt=control_dt, env_id=env_id, env_kwargs=plain, robot=robot), lost
    source += f", recorded in {json.dumps(env)[:4000]}"
    return StoreAttrs(source=source, control_dt=control_dt, robot=robot), lost


def _masks(reader: Reader) -> dict[str, list[str]]:
    masks = reader.group(reader.file, "mask")
    parts = {}
    for part, names in (reader.columns(masks) if masks is not None else {}).items():
        if names.dtype.kind in "OS" and len(names.shape) == 1:
            texts = names[0 : names.shape[0]].tolist()
            parts[part] = [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in texts]
    return parts


def _lost(reader: Reader, demo: Group) -> list[str]:
    lost = []
    if reader.group(demo, "next_obs") is not None:
        lost.append("next_obs is not kept: it is the observation of the next step, but for the last")
    if "model_file" in demo.attrs:
        lost.append("the simulator's models (model_file) are not kept")
    return lost


def write_robomimic(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store.

    Raises:
        UserError: A chunk of the store is damaged.
    """
    demos = Demonstrations(store, options)
    made, names = demos.made, demos.other_names(OWN)
    with writing_hdf5(out) as (file, check):
        data = file.create_group("data")
        for i, episode in enumerate(demos):
            made |= _write_episode(data.create_group(f"demo_{i}"), demos, episode, names)
            check()
        data.attrs["total"] = int(store.episode_ends[demos.count - 1])
        attrs = demos.attrs
        env = {"env_name": attrs.env_id or "unknown", "type": GYM, "env_kwargs": attrs.env_kwargs}
        data.attrs["env_args"] = json.dumps(env)
        for part, these in attrs.splits.items():
            file[f"mask/{part}"] = np.array([f"demo_{i}".encode() for i in these])
        note = Note(attrs, frozenset(made), {name: key for key, name in names.items() if name != key})
        file[NOTE] = note.text()
    zeros = ("rewards are zeros, as the store has none",) if REWARD in made else ()
    return (*demos.lost, *demos.overruled((STEPS,), LANG), *zeros)


def _write_episode(demo: Group, demos: Demonstrations, episode: Episode, names: dict[str, str]) -> set[str]:
    """Write one demonstration; returns what was made up for it."""
    made = set()
    demo["actions"] = episode.actions
    for key in demos.obs:
        demo[f"obs/{key}"] = episode.obs[key]
    for key, name in names.items():
        demo[name] = episode.obs[key]
    demo["rewards"] = reward_of(episode)
    if not demos.has_reward:
        made.add(REWARD)
    dones = np.zeros(len(episode), np.int64)
    dones[-1] = episode.attrs.get(DONE, True)
    demo["dones"] = dones
    if DONE not in episode.attrs:
        made.add(DONE)
    for name, value in episode.attrs.items():
        demo.attrs[name] = value
    demo.attrs[STEPS] = len(episode)
    if task := demos.task_of(episode):
        demo.attrs[LANG] = task
    return made


def _is_robomimic(path: Path) -> bool:
    return top_names(path).get("data", False)


ROBOMIMIC = Format(
    "demonstrations of robomimic, MimicGen, RoboCasa, LIBERO and Isaac Lab, one HDF5 file",
    read=read_robomimic,
    write=write_robomimic,
    recognize=_is_robomimic,
    packages=("h5py",),
)
