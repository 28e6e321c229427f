"""numpy's files: a folder with a .npz per episode, one .npz with all of them, or a folder with a .npy per array.

episode_0.npz       action [T, a], and observations [T, ...] or [T + 1, ...] under any names
all.npz             the same of all episodes, one behind the other, with episode_ends [e] or lengths [e];
                    or action [e, T, a] and all else likewise
folder              action.npy, state.npy, episode_ends.npy
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.errors import UserError
from robolearn.formats.columns import Blocks, Column, Entry, num_rows
from robolearn.formats.flat import FLAGS, check_counts, check_ends, cut_by_flags, parts
from robolearn.formats.format import REWARD, Format, ImportOptions, Recording
from robolearn.formats.gather import Raw, Source, gather
from robolearn.formats.hdf5 import naturally
from robolearn.formats.hdf5_array import plain
from robolearn.formats.minari import STATE
from robolearn.formats.npy import open_arrays
from robolearn.formats.texts import RATE_NAMES, TASK_NAMES, find_control_dt, find_task, rate_remarks
from robolearn.types import Array

ACTIONS = ("action", "actions", "act", "acts", "command", "commands", "control", "controls", "u")
STATES = ("obs", "observation", "observations", "state", "states", "x")
REWARDS = ("reward", "rewards")
ENDS, LENGTHS = ("episode_ends", "ends"), ("episode_lengths", "lengths", "episode_length", "traj_lengths")
NEXT = "next_"  # begins the names of what the following row has
SUFFIXES = (".npz", ".npy")


def read_npz(path: Path, options: ImportOptions) -> Recording:
    """Look at a file or folder.

    Raises:
        UserError: No array is called as actions are, and which there are; or one is damaged.
    """
    files = _files(path)
    together = path.is_file() or files[0].suffix == ".npy"
    with _arrays(files if together else files[:1]) as arrays:
        _action_of(arrays, path)
        facts = _single(arrays)
        ends = _ends(arrays, path) if together else None
        lost = (*rate_remarks(facts), *_unkept(arrays, _action_of(arrays, path), ends, together=together))
    episodes = partial(_apart, files)
    if together:
        episodes = partial(_stacked, path, files) if ends is None else partial(_together, path, files, ends)
    attrs = StoreAttrs(source=f"{path.name}, numpy", control_dt=find_control_dt(facts))
    return gather(Source(path, episodes, attrs, {}, lost), options)


def _unkept(arrays: Mapping[str, Column], action: str, ends: Array | None, *, together: bool) -> Iterator[str]:
    """Sentences on what of the arrays gets into no episode."""
    yield from (f"{name} is not kept" for name in arrays if name.startswith(NEXT))
    if not together:
        return
    length = num_rows(arrays[action])
    used = {*ENDS, *LENGTHS, *_single(arrays)}
    for name in (name for name in arrays if name not in used and not name.startswith(NEXT)):
        shape = arrays[name].shape
        if shape[0] != length:
            yield f"{name} has {shape[0]} entries and {action} {length}"
        elif ends is None and len(shape) == 1:
            yield f"{name} has a number per episode and none per step"
    says = {*ENDS, *LENGTHS, *(name for flag in ("terminated", "truncated") for name in FLAGS[flag])}
    if ends is not None and not says & set(arrays):
        yield f"nothing says where episodes end, so that all rows are one; {' or '.join(ENDS + LENGTHS[:1])} would"


def _files(path: Path) -> list[Path]:
    """Files of episodes in their order, or of arrays."""
    if path.is_file():
        return [path]
    for suffix in SUFFIXES:
        files = [file for file in path.iterdir() if file.suffix == suffix and not file.name.startswith(".")]
        if files:
            return sorted(files, key=lambda file: naturally(file.name))
    raise UserError(f"{path}: no .npz and no .npy in it")


@contextmanager
def _arrays(files: list[Path]) -> Iterator[dict[str, Blocks]]:
    with ExitStack() as opened:
        arrays: dict[str, Blocks] = {}
        for file in files:
            arrays |= opened.enter_context(open_arrays(file))
        yield arrays


def _action_of(arrays: Mapping[str, Column], path: Path) -> str:
    names = [name for name in arrays if name.lower() in ACTIONS]
    if len(names) != 1:
        there = ", ".join(f"{name} {column.shape}" for name, column in arrays.items()) or "nothing"
        which = f"{' and '.join(names)} could both be" if names else f"none of {', '.join(ACTIONS)} is there, to be"
        raise UserError(f"{path}: {which} the actions; name one array so (there is: {there})")
    return names[0]


def _single(arrays: Mapping[str, Column]) -> dict[str, object]:
    """Single numbers and texts."""
    facts = {}
    for name, column in arrays.items():
        if len(column.shape) == 0 or (name in (*TASK_NAMES, *RATE_NAMES) and column.shape == (1,)):
            facts[name] = plain(column[0:1].reshape(-1)[0] if len(column.shape) else _scalar(column))
    return facts


def _numbers(column: Column) -> Array:
    """All of a column, one behind the other [n]."""
    return column[0 : column.shape[0]].reshape(-1) if column.shape else np.array([_scalar(column)])


def _scalar(column: Column) -> object:
    assert isinstance(column, Blocks)
    return column.read(0, 1).reshape(-1)[0]


def _ends(arrays: Mapping[str, Column], path: Path) -> Array | None:
    """Ends of the episodes in the arrays; None where each episode is an entry of them."""
    actions = arrays[_action_of(arrays, path)]
    rows = num_rows(actions)
    for names in (ENDS, LENGTHS):
        for name in names:
            if name in arrays and (len(actions.shape) < 3 or names == ENDS):
                numbers = check_counts(_numbers(arrays[name]), rows, f"{path}: {name}")
                return check_ends(np.cumsum(numbers) if names == LENGTHS else numbers, rows, str(path))
    if len(actions.shape) == 3:
        return None
    flags = {name: arrays[name] for flag in ("terminated", "truncated") for name in FLAGS[flag] if name in arrays}
    return cut_by_flags(flags, rows, str(path))


def _apart(files: list[Path], again: bool) -> Generator[Raw, None, None]:
    for file in files:
        with open_arrays(file) as arrays:
            yield _raw(file.name, arrays, file, _single(arrays))


def _together(path: Path, files: list[Path], ends: Array, again: bool) -> Generator[Raw, None, None]:
    with _arrays(files) as arrays:
        rows = num_rows(arrays[_action_of(arrays, path)])
        columns = {name: column for name, column in arrays.items() if column.shape[:1] == (rows,)}
        short = [n for n in arrays if n in STATES and n not in columns]
        if short:
            raise UserError(
                f"{path}: {short[0]} has {num_rows(arrays[short[0]])} rows for {rows} actions; mend the file"
            )
        facts = {name: value for name, value in _single(arrays).items() if isinstance(value, str)}
        start = 0
        for i, end in enumerate(ends.tolist()):
            yield _raw(f"episode {i}", parts(columns, start, end), path, facts)
            start = end


def _stacked(path: Path, files: list[Path], again: bool) -> Generator[Raw, None, None]:
    with _arrays(files) as arrays:
        count, longest = arrays[_action_of(arrays, path)].shape[:2]
        name = next((name for name in LENGTHS if name in arrays), None)
        lengths = None if name is None else check_counts(_numbers(arrays[name]), longest, f"{path}: {name}")
        if lengths is not None and len(lengths) != count:
            raise UserError(f"{path}: there are {len(lengths)} {name} for {count} episodes; mend the file")
        whole = {name: column for name, column in arrays.items() if column.shape[:1] == (count,)}
        facts = {name: value for name, value in _single(arrays).items() if isinstance(value, str)}
        for i in range(count):
            steps = None if lengths is None else int(lengths[i])
            rows = {n: Entry(column, i, steps) for n, column in whole.items() if len(column.shape) > 1}
            yield _raw(f"episode {i}", rows, path, facts)


def _raw(name: str, arrays: Mapping[str, Column], path: Path, facts: Mapping[str, object]) -> Raw:
    action = _action_of(arrays, path)
    flags = {
        flag: column for flag, names in FLAGS.items() for n, column in arrays.items() if n in names and column.shape
    }
    known = {action, *facts, *ENDS, *LENGTHS, *(n for names in FLAGS.values() for n in names)}
    obs: dict[str, Column] = {}
    others: dict[str, Column] = {}
    for key, column in arrays.items():
        if key in known or key.startswith(NEXT) or not column.shape:
            continue
        columns, called = (others, REWARD) if key in REWARDS else (obs, STATE if key in STATES else key)
        columns[key if called in columns else called] = column
    rows = num_rows(arrays[action])
    for key in [key for key, column in obs.items() if column.shape[0] not in (rows, rows + 1) and key != STATE]:
        others[key] = obs.pop(key)
    return Raw(name, {action: arrays[action]}, obs, others, flags, facts, find_task(facts))


def _is_npz(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".npz"
    names = [file.name for file in path.iterdir() if file.suffix in SUFFIXES] if path.is_dir() else []
    return any(name.endswith(".npz") for name in names) or any(name.removesuffix(".npy") in ACTIONS for name in names)


NPZ = Format("arrays of numpy, a .npz or a folder of .npz or .npy", read=read_npz, recognize=_is_npz)
