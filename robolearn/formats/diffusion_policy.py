"""Diffusion Policy's zarr (Chi et al. 2023, arXiv:2303.04137): what a store is too, of v2 or v3, a folder or a zip.

data/action, data/<key>     [N, ...] of all episodes, one behind the other
meta/episode_ends           [e]
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.zarr_v2 import chunk_rows, write_v2
from robolearn.errors import UserError
from robolearn.formats.columns import Column
from robolearn.formats.flat import parts
from robolearn.formats.format import REWARD, TASK, ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.gather import ACTION, Raw, Source, gather
from robolearn.formats.stored import Demonstrations, stored_column
from robolearn.types import Array


def read_diffusion_policy(path: Path, options: ImportOptions) -> Recording:
    """Look at a store.

    Raises:
        UserError: It is none or damaged, and where.
    """
    store = _open(path)
    attrs = store.attrs
    if attrs.schema_version is None:
        attrs = StoreAttrs(source=f"{path.name}, Diffusion Policy")
    return gather(Source(path, partial(_episodes, path), attrs, {}, tuple(store.faults())), options)


def _open(path: Path) -> DemoStore:
    store = DemoStore.open_unchecked(path)
    for problem in store.problems():
        raise UserError(problem)
    return store


def _episodes(path: Path, again: bool) -> Generator[Raw, None, None]:
    store = _open(path)
    keys = [key for key in store.keys if store.fault(key) is None]
    columns: dict[str, Column] = {key: stored_column(store, key) for key in keys}
    declared = store.attrs.obs_keys
    others = [key for key in keys if key not in (ACTION, REWARD)]
    obs = {key: columns[key] for key in others if declared is None or key in declared}
    beside = {key: columns[key] for key in keys if key != ACTION and key not in obs}
    numbers, tasks, start = store.episode_attrs, store.attrs.tasks, 0
    for i, end in enumerate(store.episode_ends.tolist()):
        attrs = {name: values[i].item() for name, values in numbers.items()}
        number = attrs.get(TASK)
        yield Raw(
            name=f"episode {i}",
            actions=parts({ACTION: columns[ACTION]}, start, end),
            obs=parts(obs, start, end),
            others=parts(beside, start, end),
            attrs=attrs,
            task=tasks[number] if isinstance(number, int) and 0 <= number < len(tasks) else None,
        )
        start = end


def write_diffusion_policy(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store as zarr v2, compressed by Blosc, as Diffusion Policy's own code reads it.

    Raises:
        UserError: A chunk of the store is damaged.
    """
    demos = Demonstrations(store, options)
    steps = int(store.episode_ends[demos.count - 1])
    keys = (ACTION, *((REWARD,) if demos.has_reward else ()), *demos.obs, *demos.others)
    facts = {key: ((steps, *demos.shapes[key]), demos.dtypes[key]) for key in keys}
    attrs = {name: value for name, value in asdict(demos.attrs).items() if value is not None}
    numbers = {name: values[: demos.count] for name, values in store.episode_attrs.items()}
    if options.task:
        numbers[TASK] = np.zeros(demos.count, np.int64)
    meta = {"episode_ends": store.episode_ends[: demos.count], **numbers}
    write_v2(out, attrs, facts, _slabs(store, keys, steps), meta)
    return demos.lost


def _slabs(store: DemoStore, keys: tuple[str, ...], steps: int) -> Iterator[tuple[str, int, Array]]:
    """Whole chunks of the target, some at a time."""
    for key in keys:
        column, dtype = stored_column(store, key), store.dtypes[key]
        block = chunk_rows((steps, *store.shapes[key]), dtype) * 4
        for start in range(0, steps, block):
            yield key, start, column[start : min(start + block, steps)]


def _is_diffusion_policy(path: Path) -> bool:
    if path.is_dir():
        return (path / ".zgroup").is_file() or (path / "zarr.json").is_file()
    return path.suffix == ".zip" and path.stem.endswith(".zarr")


DIFFUSION_POLICY = Format(
    "zarr as Diffusion Policy and UMI have it, v2 or v3, a folder or a zip",
    read=read_diffusion_policy,
    write=write_diffusion_policy,
    recognize=_is_diffusion_policy,
)
