"""A store whose images are translated and in which everything else is as it was."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robolearn.data.attrs import SCHEMA_VERSION, StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.training.device import choose_device
from robolearn.translation.method import Side
from robolearn.translation.train import check_bytes
from robolearn.translation.translator import WEIGHTS_FILE, Translator
from robolearn.types import Episode

STEPS_AT_ONCE = 2048  # of several episodes, which are written together


@dataclass(frozen=True)
class Translated:
    """How far a translation is.

    Attributes:
        stored: Episodes in the store.
        before: Those of them that an earlier call made.
    """

    stored: int
    before: int


def translate(
    store: StrPath,
    translator: StrPath,
    out: StrPath,
    *,
    to: Side = "target",
    device: str = "auto",
    threads: int | None = None,
    on_episode: Callable[[Translated], None] = lambda now: None,
) -> DemoWriter:
    """Write a store with translated images; states, actions, episodes, their attributes and seeds are equal.

        translate("datasets/avoid_pixels.zarr", "runs/real", "datasets/avoid_as_real.zarr")

    Episodes that are written stay where it is stopped, and the same call goes on from there.

    Args:
        store: Of the side that is translated.
        translator: Of `train_translator`.
        out: Store to create.
        to: Side that the images shall look like.
        device: auto, cpu or cuda.
        threads: CPU threads.
        on_episode: Called when episodes were written.

    Returns:
        The store.

    Raises:
        UserError: The store has no camera of the translator or images of another size, the translator does not arrive
            at that side, or `out` holds other data, or episodes of another store.
    """
    source, model = DemoStore.open(store), Translator.load(translator, device=choose_device(device, threads=threads))
    cameras = translated_cameras(source, model, to)
    with DemoWriter.begin_or_go_on(out, attrs_of(source, Path(translator), to), "translated otherwise") as writer:
        before = check_begun(writer, source, cameras)
        for episodes in together(source, before):
            writer.extend([translated(episode, model, cameras, to) for episode in episodes])
            on_episode(Translated(writer.num_episodes, before))
    return writer


def check_begun(writer: DemoWriter, source: DemoStore, cameras: Sequence[str]) -> int:
    """How many episodes there are; refuse others than the source begins with, as what is not translated tells."""
    if not writer.num_episodes:
        return 0
    stored = source.episode_ends[: writer.num_episodes]
    wanted = np.arange(source.num_steps) < writer.num_steps
    # What lies in videos counts as they are in the source, and as images here.
    others = [key for key in source.keys if key not in cameras and key not in source.attrs.videos]
    alike = np.array_equal(writer.episode_ends, stored)
    if not (alike and writer.content_hash(others) == source.content_hash(others, wanted)):
        raise UserError(f"{writer.path}: exists already, with episodes of another store; choose another `out`")
    return writer.num_episodes


def together(store: DemoStore, first: int) -> Iterator[list[Episode]]:
    """The episodes from `first` on, as many at once as are written together."""
    waiting = list[Episode]()
    for index in range(first, store.num_episodes):
        waiting.append(store.episode(index))
        if index == store.num_episodes - 1 or sum(map(len, waiting)) >= STEPS_AT_ONCE:
            yield waiting
            waiting = []


def translated_cameras(store: DemoStore, translator: Translator, to: Side) -> tuple[str, ...]:
    """The keys of a store that are translated.

    Raises:
        UserError: There is none, or its images are not those that were learned from.
    """
    shapes = translator.facts.shapes
    cameras = tuple(camera for camera in shapes if camera in store.keys)
    if not cameras:
        raise UserError(f"{store.path}: has none of the translator's cameras, {', '.join(shapes)}")
    for camera in cameras:
        if store.shapes[camera] != shapes[camera]:
            ours, theirs = ("x".join(map(str, shape)) for shape in (store.shapes[camera], shapes[camera]))
            raise UserError(f"{store.path}: images of {camera!r} are {ours}, the translator was trained on {theirs}")
        check_bytes(store, camera)
        translator.generator(camera, to)
    return cameras


def attrs_of(store: DemoStore, translator: Path, to: Side) -> StoreAttrs:
    """What the store says of itself, and which weights translated it."""
    digest = hashlib.sha256((translator / WEIGHTS_FILE).read_bytes()).hexdigest()[:16]
    source = f"images translated to the {to} of {translator.name} (weights {digest}); {store.attrs.source}"
    return dataclasses.replace(store.attrs, schema_version=SCHEMA_VERSION, source=source, videos=())


def translated(episode: Episode, translator: Translator, cameras: tuple[str, ...], to: Side) -> Episode:
    """The same episode with the images of these cameras translated."""
    images = {camera: torch.from_numpy(np.ascontiguousarray(episode.obs[camera])) for camera in cameras}
    made = {camera: rows.numpy() for camera, rows in translator.translate(images, to).items()}
    return dataclasses.replace(episode, obs={**episode.obs, **made})
