"""Read a LeRobot data set: v2.0 and v2.1, with a file per episode, and v3.0, with several episodes per file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from robolearn.data.attrs import StoreAttrs
from robolearn.errors import UserError
from robolearn.formats.format import TASK, ImportOptions, Recording
from robolearn.formats.kept import KeptVideos
from robolearn.formats.lerobot.clips import Clips
from robolearn.formats.lerobot.episode_reader import EpisodeReader
from robolearn.formats.lerobot.episodes import read_episodes, read_tasks
from robolearn.formats.lerobot.facts import Tasks, common_numbers, licence_of, period_of, spelled, splits_of
from robolearn.formats.lerobot.files import list_files
from robolearn.formats.lerobot.info import Info, read_info
from robolearn.formats.lerobot.keys import ACTION, NEXT_DONE, TIMES, Keys, choose_keys, observed
from robolearn.formats.lerobot.tables import RowReader, Tables, find_tables, to_array
from robolearn.formats.stored import Note


def read_lerobot(source: Path, options: ImportOptions) -> Recording:
    """Look into a LeRobot data set, and give its episodes in the order of their numbers.

    Where the files and info.json differ, the files count. Where videos of a camera are missing, the camera has to be
    named in the options or left out: the episodes that have their videos are then read, or all without images.

    Args:
        source: Folder of the data set.
        options: What of it is read.

    Raises:
        UserError: Facts or tables are missing or damaged, the version is not known, or videos are missing.
    """
    info, names = read_info(source), list_files(source)
    tables = find_tables(source, names, info.data_path)
    said, keys = read_episodes(source, names), choose_keys(info, tables.schemas)
    keys = keys.with_cameras(options.choose_cameras(keys.cameras))
    clips = Clips(source, names, info, said)
    numbers, left_out = _with_videos(source, list(tables.episodes), tuple(keys.videos), clips, options)
    first, keys = _look_at_first(tables, keys, numbers[0])
    period, contradiction = period_of(info, first)
    note = info.note or Note()
    tasks = Tasks({}, {}) if TASK in note.made else Tasks(read_tasks(source), said)
    facts = common_numbers(said, numbers)
    attrs = replace(_attrs(source, info, keys, note), control_dt=period, tasks=tasks.texts or note.attrs.tasks)
    attrs = replace(attrs, splits=splits_of(info, numbers) if note.attrs.splits or not info.note else {})
    lost = [contradiction, left_out, *_not_kept(info, tables, numbers), *keys.dropped]
    kept = {key: KeptVideos() for key in keys.videos.values()} if options.video == "keep" else {}
    reader = EpisodeReader(source, info, tables, keys, clips, tasks, facts, period, options.image_size, kept)
    names = tuple(f"episode {number}" for number in numbers)
    return Recording(attrs, reader.read(numbers), tuple(text for text in lost if text), len(numbers), names, kept)


def _attrs(source: Path, info: Info, keys: Keys, note: Note) -> StoreAttrs:
    """Facts for the store that hold for all episodes: what LeRobot says, and what was noted beside."""
    return replace(
        note.attrs,
        obs_keys=_observed(keys, note),
        source=note.attrs.source if info.note else f"LeRobot {info.version or 'data set'}: {source.resolve().name}",
        licence=note.attrs.licence or licence_of(source),
        robot=info.robot,
        names={
            keys.numbers.get(column, ACTION): info.features[column].names
            for column in (keys.action, *keys.numbers)
            if column in info.features and info.features[column].names
        },
    )


def _observed(keys: Keys, note: Note) -> tuple[str, ...] | None:
    """Keys of the observations: those of the store that the data set was made of, of those that are there."""
    there = (*keys.numbers.values(), *keys.cameras.values())
    noted = tuple(key for key in note.attrs.obs_keys or () if key in there)
    return noted or observed({**keys.numbers, **keys.cameras}) or None


def _look_at_first(tables: Tables, keys: Keys, number: int) -> tuple[np.ndarray | None, Keys]:
    """Times of the steps of an episode [t] in s, if they are recorded, and the keys without what holds no numbers."""
    timed = TIMES in keys.facts
    with closing(RowReader([*keys.numbers, *keys.facts])) as reader:
        table = reader.read(tables.episodes[number])
    dropped = {column: reason for column in keys.numbers if (reason := _fault(column, table[column]))}
    times = to_array(table[TIMES], TIMES).reshape(-1).astype(np.float64) if timed else None
    return times, keys.without(dropped)


def _fault(column: str, values: pa.ChunkedArray) -> str | None:
    """Why a column that need not be there gives no key, a sentence; None if it gives one."""
    try:
        array = to_array(values, f"{column} is not kept; it")
    except UserError as error:
        return str(error)
    if array.size == 0:
        return f"{column} is not kept; it holds no number per step"
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        return f"{column} is not kept; it was never filled ({array.flat[0]})"
    return None


def _with_videos(
    source: Path, numbers: list[int], cameras: Sequence[str], clips: Clips, options: ImportOptions
) -> tuple[list[int], str | None]:
    """The episodes that are read, and a sentence that says which are left out because their videos are missing."""
    if options.cameras is None:
        numbers = numbers[: options.episodes]
    clips.check_known(cameras, numbers)
    absent = {camera: [n for n in numbers if clips.find(camera, n) is None] for camera in cameras}
    camera, without = max(absent.items(), key=lambda entry: len(entry[1]), default=("", []))
    if not without:
        return numbers[: options.episodes], None
    left = [n for n in numbers if not any(n in missing for missing in absent.values())]
    git = "; pointers of Git LFS stand in their place, git lfs pull fetches them" if clips.has_pointers else ""
    if options.cameras is None or not left:
        named = f", `cameras` {' '.join(cameras)} those {len(left)} that have their videos" if left else ""
        raise UserError(
            f"{source}: {len(without)} of {len(numbers)} videos of {camera} are missing{git}; "
            f"`cameras` none imports all {len(numbers)} episodes without images{named}"
        )
    missing = [n for n in numbers if n not in set(left)]
    return left[: options.episodes], f"episodes {spelled(missing)} are left out: their videos are missing{git}"


def _not_kept(info: Info, tables: Tables, numbers: Sequence[int]) -> list[str]:
    remarks = []
    if mixed := set(tables.mixed) & set(numbers):
        remarks.append(f"episodes {spelled(mixed)} have several tasks; each keeps the one that it begins with")
    if info.total_episodes is not None and info.total_episodes != len(tables.episodes):
        remarks.append(f"info.json announces {info.total_episodes} episodes; there are {len(tables.episodes)}")
    if any(NEXT_DONE in schema.names for schema in tables.schemas):
        remarks.append(f"{NEXT_DONE} is not kept; an episode ends with its last step")
    return remarks
