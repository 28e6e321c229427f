"""D4RL's HDF5 (Fu et al. 2020, arXiv:2004.07219): arrays of all episodes, one behind the other.

    observations, actions           [N, ...]
    rewards, terminals, timeouts    [N]
    next_observations, infos/<name> [N, ...]

An episode ends where a terminal or a timeout is true. Older files have no timeouts: there it ends as well where the
next observation is not the one that follows.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.errors import UserError
from robolearn.formats.columns import Blocks, Column, num_rows
from robolearn.formats.flat import FLAGS, cut_by_flags, parts
from robolearn.formats.format import REWARD, Format, ImportOptions, Recording
from robolearn.formats.gather import Raw, Source, gather
from robolearn.formats.hdf5 import Reader, open_hdf5, top_names
from robolearn.formats.hdf5_array import Stored
from robolearn.formats.minari import STATE
from robolearn.formats.texts import find_control_dt, find_task, rate_remarks
from robolearn.types import Array

BLOCK_BYTES = 16 << 20
OBSERVATIONS, ACTIONS, NEXT, REWARDS = "observations", "actions", "next_observations", ("rewards", "reward")


def read_d4rl(path: Path, options: ImportOptions) -> Recording:
    """Look at a file.

    Raises:
        UserError: It is no such file or damaged, and where.
    """
    with open_hdf5(path) as file:
        reader = Reader(file, path)
        columns = _columns(reader)
        facts = reader.attrs(file)
        lost = rate_remarks(facts)
        rows = num_rows(columns[ACTIONS])
        names = {flag: _first(columns, names) for flag, names in FLAGS.items() if flag != "success"}
        flags = {name: columns[name] for name in names.values() if name is not None}
        ends = cut_by_flags(flags, rows, str(path))
        if names["truncated"] is None and NEXT in columns and OBSERVATIONS in columns:
            ends = np.union1d(ends, _breaks(columns, rows, path))
        elif not flags:
            lost.append("no terminals and no timeouts say where episodes end, so that all rows are one")
        if NEXT in columns:
            lost.append("next_observations is not kept: it is the observation of the next step, but for the last")
        lost += [
            f"{name} has {num_rows(column) if column.shape else 1} rows for {rows} actions"
            for name, column in columns.items()
            if column.shape[:1] != (rows,) and not _is_obs(name)
        ]
    source = f"{path.name}, D4RL"
    attrs = StoreAttrs(source=source, control_dt=find_control_dt(facts))
    return gather(Source(path, partial(_episodes, path, ends, find_task(facts)), attrs, {}, tuple(lost)), options)


def _columns(reader: Reader) -> dict[str, Stored]:
    columns = reader.columns(reader.file)
    if ACTIONS not in columns or not any(_is_obs(name) for name in columns):
        there = ", ".join(columns) or "nothing"
        raise UserError(f"{reader.path}: D4RL has arrays observations and actions; there is {there}")
    return columns


def _is_obs(name: str) -> bool:
    return name == OBSERVATIONS or name.startswith(f"{OBSERVATIONS}.")


def _first(columns: dict[str, Stored], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in columns), None)


def _breaks(columns: dict[str, Stored], rows: int, path: Path) -> Array:
    """Ends of episodes [e] where the next observation is not the following one."""
    shape, other = columns[OBSERVATIONS].shape, columns[NEXT].shape
    if shape != other or shape[:1] != (rows,):
        raise UserError(f"{path}: {OBSERVATIONS} {shape} and {NEXT} {other} do not fit {rows} actions; mend the file")
    obs, following = _blocks(columns[OBSERVATIONS]), _blocks(columns[NEXT])
    ends, step = [], 1 << 16
    for start in range(0, rows - 1, step):
        stop = min(start + step, rows - 1)
        here, there = following[start:stop], obs[start + 1 : stop + 1]
        differ = (here != there) & ((here == here) | (there == there))  # NaN is no other number than NaN
        ends.append(start + 1 + np.flatnonzero(differ.reshape(stop - start, -1).any(axis=1)))
    return np.concatenate(ends) if ends else np.zeros(0, np.int64)


def _blocks(column: Stored) -> Blocks:
    row = max(1, int(np.prod(column.shape[1:])) * column.dtype.itemsize)
    block = max(1, BLOCK_BYTES // (row * column.chunk)) * column.chunk
    return Blocks(lambda start, stop: column[start:stop], column.shape, column.dtype, block)


def _episodes(path: Path, ends: Array, task: str | None, again: bool) -> Generator[Raw, None, None]:
    with open_hdf5(path) as file:
        columns = {name: column for name, column in _columns(Reader(file, path, again)).items() if name != NEXT}
        rows = num_rows(columns[ACTIONS])
        for name, column in columns.items():
            if (_is_obs(name)) and column.shape[:1] != (rows,):
                raise UserError(f"{path}: {name} has {num_rows(column)} rows for {rows} actions; mend the file")
        taken = {name for names in FLAGS.values() for name in names}
        whole: dict[str, Column] = {
            name: _blocks(column) for name, column in columns.items() if column.shape[:1] == (rows,)
        }
        obs = {name.partition(".")[2] or STATE: column for name, column in whole.items() if _is_obs(name)}
        others = {
            REWARD if name in REWARDS else name: column
            for name, column in whole.items()
            if not _is_obs(name) and name != ACTIONS and name not in taken
        }
        flags = {
            flag: next(whole[name] for name in names if name in whole)
            for flag, names in FLAGS.items()
            if set(names) & set(whole)
        }
        start = 0
        for i, end in enumerate(ends.tolist()):
            yield Raw(
                name=f"episode {i}",
                actions=parts({ACTIONS: whole[ACTIONS]}, start, end),
                obs=parts(obs, start, end),
                others=parts(others, start, end),
                flags=parts(flags, start, end),
                task=task,
            )
            start = end


def _is_d4rl(path: Path) -> bool:
    names = top_names(path)
    ends = {name for alternatives in FLAGS.values() for name in alternatives} | set(REWARDS)
    return OBSERVATIONS in names and names.get(ACTIONS) is False and bool(ends & set(names))


D4RL = Format(
    "arrays as in D4RL, one HDF5 file",
    read=read_d4rl,
    recognize=_is_d4rl,
    packages=("h5py",),
)
