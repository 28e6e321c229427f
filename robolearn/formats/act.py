"""ACT's and ALOHA's HDF5 (Zhao et al. 2023, arXiv:2304.13705): a folder with a file per episode.

    episode_0.hdf5      attribute sim: whether it was simulated
        action                      [T, a]
        observations/qpos, qvel     [T, d]
        observations/images/<cam>   [T, h, w, 3], or JPEGs as rows of bytes, padded to the longest
        compress_len                [cameras, T], their lengths

Mobile ALOHA, RDT and RoboTwin write the same with further arrays beside them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.columns import Column
from robolearn.formats.format import REWARD, TASK, ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.gather import Raw, Source, gather
from robolearn.formats.hdf5 import IMAGES, SUFFIXES, Reader, naturally, open_hdf5, top_names
from robolearn.formats.hdf5_array import Stored
from robolearn.formats.hdf5_writing import writing_hdf5
from robolearn.formats.stored import NOTE, Demonstrations, Note, read_note
from robolearn.formats.texts import TASK_NAMES, find_control_dt, find_task, rate_remarks
from robolearn.images import axes_of
from robolearn.types import Episode

NOTE_FILE = f"{NOTE}.json"
ACTIONS, OBSERVATIONS, REWARDS = ("action", "actions"), ("observations", "observation", "obs"), ("reward", "rewards")
LENGTHS, SIM, PACKED = "compress_len", "sim", ("compress", "compressed")
QPOS, QVEL = "qpos", "qvel"


def read_act(path: Path, options: ImportOptions) -> Recording:
    """Look at a folder of episodes, or at a single one.

    Raises:
        UserError: There is none, or one is damaged; which, and what to do.
    """
    files = _files(path)
    if not files:
        raise UserError(f"{path}: no episodes in it, files as episode_0.hdf5")
    note = read_note(path / NOTE_FILE) if path.is_dir() else None
    with open_hdf5(files[0]) as file:
        reader = Reader(file, files[0])
        facts = reader.attrs(file)
    attrs = note.attrs if note else StoreAttrs(source=f"{path.name}, ACT", control_dt=find_control_dt(facts))
    lost = () if note else tuple(rate_remarks(facts))
    return gather(Source(path, partial(_episodes, files, note or Note()), attrs, {}, lost), options)


def _files(path: Path) -> list[Path]:
    """Files of episodes in their order; a camera's or another file of the folder is none."""
    if path.is_file():
        return [path]
    files = [file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(".")]
    episodes = [file for file in files if "episode" in file.stem]
    return sorted(episodes or files, key=lambda file: naturally(file.name))


def _episodes(files: list[Path], note: Note, again: bool) -> Generator[Raw, None, None]:
    for path in files:
        with open_hdf5(path) as file:
            yield _raw(Reader(file, path, again), note)


def _raw(reader: Reader, note: Note) -> Raw:
    file, names = reader.file, reader.names(reader.file)
    groups = [name for name in names if name in OBSERVATIONS and reader.group(file, name) is not None]
    actions = next((name for name in names if name in ACTIONS), None)
    if not groups or actions is None:
        raise UserError(
            f"{reader.path}: ACT has action and a group observations; there is {', '.join(names) or 'nothing'}"
        )
    obs: dict[str, Column] = {}
    for key, column in reader.columns(reader.group(file, groups[0])).items():
        if key != QVEL or QVEL not in note.made:
            obs[note.renamed.get(key, key)] = column
    others, facts = {}, reader.attrs(file)
    for name in names:
        if name not in (actions, groups[0], LENGTHS):
            inner = reader.inside(file, name)
            if name in TASK_NAMES and name in inner:
                facts.setdefault(name, inner.pop(name).value())
            others.update(inner)
    return Raw(
        name=reader.path.name,
        actions={"action": _column(reader, actions)},
        obs=obs,
        others={_other(key, note.renamed): column for key, column in others.items()},
        attrs={name: value for name, value in facts.items() if name not in (*PACKED, *note.made)},
        task=None if TASK in note.made else find_task(facts),
    )


def _other(name: str, renamed: Mapping[str, str]) -> str:
    return REWARD if name in REWARDS else renamed.get(f"/{name}", name)


def _column(reader: Reader, name: str) -> Stored:
    column = reader.child(reader.file, name)
    if not isinstance(column, Stored):
        raise UserError(f"{reader.path}: {name} is a group, expected an array [T, a]")
    return column


def write_act(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store.

    Raises:
        UserError: It has no observations that are numbers, or a chunk of it is damaged.
    """
    demos = Demonstrations(store, options)
    datasets = _datasets(demos)
    state = next(key for key, dataset in datasets.items() if dataset == f"observations/{QPOS}")
    made = demos.made - {REWARD}
    if f"observations/{QVEL}" not in datasets.values():
        made.add(QVEL)
    if SIM not in demos.attr_names:
        made.add(SIM)
    out.mkdir()
    for i, episode in enumerate(demos):
        with writing_hdf5(out / f"episode_{i}.hdf5") as (file, _):
            _write_episode(file, demos, episode, datasets)
            if QVEL in made:
                file[f"observations/{QVEL}"] = np.zeros_like(episode.obs[state])
    (out / NOTE_FILE).write_text(Note(demos.attrs, frozenset(made), _renamed(datasets)).text(), encoding="utf-8")
    zeros = ("qvel is zeros, as the store has no velocities",) if QVEL in made else ()
    return (*demos.lost, *demos.overruled(PACKED, "language_instruction"), *zeros)


def _datasets(demos: Demonstrations) -> dict[str, str]:
    """Key -> data set; ACT looks for qpos, so that one takes its place where there is none of that name."""
    images = [key for key in demos.obs if axes_of(demos.shapes[key]) is not None]
    numbers = [key for key in demos.obs if key not in images and len(demos.shapes[key]) == 1]
    if not numbers:
        raise UserError("ACT's format has positions beside images; the store has no observations that are numbers")
    state = next((key for key in (QPOS, "state", "agent_pos") if key in numbers), numbers[0])
    names = {state: QPOS} | ({QVEL: QVEL} if QVEL in numbers and state != QVEL else {})
    for key in (key for key in demos.obs if key not in names):
        name = key  # readers see no group images, so that no two may differ by it alone
        while name in (QPOS, QVEL, IMAGES, *names.values()) or (name != key and name in demos.obs):
            name += "_"
        names[key] = name
    datasets = {key: f"observations/{f'{IMAGES}/' if key in images else ''}{names[key]}" for key in demos.obs}
    datasets |= demos.other_names((*ACTIONS, *OBSERVATIONS, *REWARDS, *TASK_NAMES, LENGTHS))
    if demos.has_reward:
        datasets[REWARD] = REWARD
    return datasets


def _renamed(datasets: Mapping[str, str]) -> dict[str, str]:
    """What a reader calls otherwise -> key; names beside the observations begin with a slash."""
    keys = {}
    for key, dataset in datasets.items():
        inside = dataset.startswith("observations/")
        name = dataset.removeprefix("observations/").removeprefix(f"{IMAGES}/") if inside else f"/{dataset}"
        if name.removeprefix("/") != key:
            keys[name] = key
    return keys


def _write_episode(file: Any, demos: Demonstrations, episode: Episode, datasets: Mapping[str, str]) -> None:
    file.attrs[SIM] = False
    for name, value in episode.attrs.items():
        file.attrs[name] = value
    if task := demos.task_of(episode):
        file.attrs["language_instruction"] = task
    file["action"] = episode.actions
    for key, dataset in datasets.items():
        file[dataset] = episode.obs[key]


def _is_act(path: Path) -> bool:
    files = _files(path) if path.is_dir() else [path] if path.is_file() else []
    names = top_names(files[0]) if files else {}
    if {"terminals", "timeouts"} & set(names):  # D4RL's, whose observations may be a group as well
        return False
    return any(names.get(name) for name in OBSERVATIONS) and any(names.get(name) is False for name in ACTIONS)


ACT = Format(
    "episodes of ACT, ALOHA, Mobile ALOHA and RoboTwin, an HDF5 file each",
    read=read_act,
    write=write_act,
    recognize=_is_act,
    packages=("h5py",),
)
