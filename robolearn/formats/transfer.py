"""Demonstrations in and out, whatever the format: nothing is at the target until all of it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from robolearn.config import checked
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter, is_unbegun
from robolearn.errors import UserError
from robolearn.files import remove
from robolearn.formats.finite import FiniteEpisodes, without_keys
from robolearn.formats.format import ExportOptions, ImportOptions, Recording
from robolearn.formats.handed import read_recording
from robolearn.formats.kept import keep_videos
from robolearn.formats.mapping import map_recording
from robolearn.formats.registry import AUTO, find_format, readable, recognize, writable
from robolearn.locks import LOCK_FILE, hold
from robolearn.paths import place_of
from robolearn.remote.sync import fetched
from robolearn.types import Episode

BATCH_BYTES = 64 << 20  # of episodes that are written together: few calls for short ones, bounded memory for long ones

Show = Callable[[int, int | None], None]
"""Told how many episodes are done, and of how many."""


@dataclass(frozen=True)
class Transfer:
    """What an import or export did.

    Attributes:
        path: What was written.
        format: The format's name.
        num_episodes: Episodes written.
        num_steps: Their steps.
        lost: What could not be kept, a sentence each.
    """

    path: Path
    format: str
    num_episodes: int
    num_steps: int
    lost: tuple[str, ...]


def import_demos(
    source: str | Path,
    out: str | Path,
    kind: str = AUTO,
    options: ImportOptions | None = None,
    *,
    show: Show = lambda done, total: None,
) -> Transfer:
    """Turn another project's demonstrations into a store.

        import_demos("pusht_lerobot", "datasets/pusht.zarr", options=ImportOptions(episodes=50))

    Args:
        source: File or folder.
        out: Store to create.
        kind: A name in FORMATS, or auto to recognize it.
        options: What of the source to read; by default all.
        show: Called after each batch of episodes.

    Raises:
        UserError: The format is not known or a package is missing; the source is damaged; or `out` exists. Nothing
            is at `out` then.
    """
    source, out, chosen = fetched(source), place_of(out), checked(options or ImportOptions())
    name = recognize(source) if kind == AUTO else kind
    entry = find_format(name, readable())
    if entry.read is None:
        raise UserError(f"format {name} cannot be imported; choose from {', '.join(readable())}")
    entry.require_packages(name)
    if not source.exists():
        raise UserError(f"{source}: no such file or directory")
    with _appearing(out) as part:
        read = read_recording(entry.read, name, source, chosen)
        recording = _chosen(_with_videos(read, chosen, str(source)), chosen, str(source))
        finite = FiniteEpisodes(recording, chosen.drop_nan, str(source))
        store = write_store(replace(recording, episodes=finite), part / "store", show)
        finite.settle(store)
        keep_videos(store, recording.videos)
    return Transfer(out, name, store.num_episodes, store.num_steps, (*recording.lost, *finite.lost()))


def _with_videos(recording: Recording, chosen: ImportOptions, where: str) -> Recording:
    """A recording whose videos can be kept, where they are to be."""
    if chosen.video == "keep" and not recording.videos:
        raise UserError(f"`video` keep: {where} has no videos that could be kept; LeRobot data sets have some")
    for key in chosen.keymap.sources:
        if key in recording.videos:
            raise UserError(f"`obs`: nothing is made of {key}, whose videos are kept; give `dataset.obs` in training")
    return recording


def _chosen(recording: Recording, chosen: ImportOptions, where: str) -> Recording:
    """What the options leave of a recording, and make of it."""
    most = None if chosen.episodes is None else min(chosen.episodes, sys.maxsize)
    counts = [count for count in (recording.num_episodes, most) if count is not None]
    attrs = recording.attrs if chosen.env_id is None else replace(recording.attrs, env_id=chosen.env_id)
    episodes = islice(recording.episodes, most)
    recording = replace(recording, attrs=attrs, episodes=episodes, num_episodes=min(counts, default=None))
    kept = map_recording(without_keys(recording, chosen.drop_keys, where), chosen.keymap, where)
    if attrs.obs_keys and not kept.attrs.obs_keys:
        raise UserError(f"`drop_keys` {' '.join(chosen.drop_keys)}: nothing is left of {where} to be observed")
    return kept


def export_demos(store: str | Path, out: str | Path, kind: str, options: ExportOptions | None = None) -> Transfer:
    """Write a store in another project's format.

        export_demos("datasets/avoid.zarr", "avoid_lerobot", "lerobot")

    Args:
        store: Store to read.
        out: File or folder to create.
        kind: A name in FORMATS.
        options: What the format asks for and the store may not say.

    Raises:
        UserError: The format is not known or a package is missing; the store is damaged; the format cannot hold it; or
            `out` exists. Nothing is at `out` then.
    """
    out, chosen = place_of(out), checked(options or ExportOptions())
    entry = find_format(kind, writable())
    if entry.write is None:
        raise UserError(f"format {kind} cannot be exported to; choose from {', '.join(writable())}")
    entry.require_packages(kind)
    demos = DemoStore.open(store)
    with _appearing(out) as part:
        lost = (*demos.faults(), *entry.write(demos, part / "store", chosen))
    count = min(demos.num_episodes, chosen.episodes or demos.num_episodes)
    return Transfer(out, kind, count, int(demos.episode_ends[count - 1]), lost)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a folder to write "store" into, which takes the place of `out` once the block has ended well.

    A file or folder that is there already is refused before anything is read. What a killed transfer left is removed
    by the next one to the same place, and two at once are refused by the folder's lock.
    """
    if not out.name:
        raise UserError(f"{out}: is the folder that you are in; give the name of what is to be made")
    if not is_unbegun(fetched(out)):
        raise UserError(f"{out}: exists already; choose another path")
    part = out.with_name(f"{out.name}.part")
    try:
        with hold(part):
            for leftover in part.iterdir():
                if leftover.name != LOCK_FILE:
                    remove(leftover)
            try:
                yield part
                remove(out)
                (part / "store").rename(out)
                fetched(out)  # which sends it, where out is the copy of something remote
            finally:
                remove(part / "store")
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error
    except UserError as error:
        raise _of_target(error, part / "store", out) from error
    finally:
        with suppress(OSError):  # gone already, or another transfer's by now
            part.rmdir()


def _of_target(error: UserError, part: Path, out: Path) -> UserError:
    """The same error where it names what was written so far, of which nothing is left, as one of the target."""
    if not str(error).startswith(f"{part}: "):
        return error
    if isinstance(error.__cause__, OSError):  # a writer says that what it has stored is safe
        return UserError(f"{out}: cannot be written ({error.__cause__.strerror or error.__cause__})")
    return UserError(str(error).replace(str(part), str(out), 1))


def write_store(recording: Recording, path: Path, show: Show = lambda done, total: None) -> DemoWriter:
    """Write what was found to a path at which nothing is.

    Args:
        recording: Of a source.
        path: Store to create.
        show: Called after each batch of episodes.

    Raises:
        UserError: The source is damaged, or the store cannot be written.
    """
    with DemoWriter.create(path, attrs=recording.attrs) as store, ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for batch in _batches(recording.episodes):
            if writing is not None:  # while this one was read
                writing.result()
                show(store.num_episodes, recording.num_episodes)
            writing = writer.submit(store.extend, batch)
        if writing is not None:
            writing.result()
            show(store.num_episodes, recording.num_episodes)
    return store


def _batches(episodes: Iterable[Episode]) -> Iterator[list[Episode]]:
    batch, size = [], 0
    for episode in episodes:
        batch.append(episode)
        size += episode.actions.nbytes + sum(rows.nbytes for rows in episode.obs.values())
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
