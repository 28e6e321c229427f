"""Train the networks of cameras on images alone: what `pretrain` does, as a function."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robolearn.config import checked, write_json_lines
from robolearn.data.demos import Demos
from robolearn.data.splits import split_episodes
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.files import check_writable, replacing_all
from robolearn.locks import hold
from robolearn.nets.descent import descend
from robolearn.nets.pretrained import CamerasConfig, Start, begin, read_start
from robolearn.nets.unallocated import unallocated
from robolearn.representation.config import PretrainConfig
from robolearn.representation.frames import Frames
from robolearn.representation.picture import PICTURE, draw_picture
from robolearn.representation.registry import METHODS
from robolearn.representation.representation import FILES, RUN_FILE, PretrainFacts, Representation
from robolearn.training.config import absolute_paths
from robolearn.training.device import autocast, choose_device
from robolearn.types import is_image
from robolearn.unused import is_begun

METRICS = "metrics.jsonl"
VALIDATION_BATCHES = 4
SHOWN, GALLERY = 8, 512  # held-out frames in the picture, and frames among which their neighbors are found

Record = dict[str, int | float]


def pretrain(cfg: PretrainConfig, on_record: Callable[[Record], None] = lambda record: None) -> Path:
    """Train a network for each camera of a store, without looking at actions.

        run = pretrain(PretrainConfig("datasets/avoid_pixels.zarr", method=VAEConfig(), out="runs/pretrained"))
        train(TrainConfig(dataset=..., vision=VisionConfig(init=run)))

    The run appears when all is done: weights, configuration, metrics and a picture. What is stopped leaves nothing.

    Args:
        cfg: How, on which images, and where the run goes.
        on_record: Called with the numbers of ``log_every`` steps, and before the first.

    Returns:
        The run.

    Raises:
        UserError: An option or the demonstrations do not fit, the directory is taken, or the training diverged.
    """
    cfg = checked(cfg, METHODS)
    device, demos = choose_device(cfg.device, threads=cfg.threads), Demos.open(cfg.paths, cfg.keymap)
    shapes = camera_shapes(cfg, demos)
    start = read_start(cfg.vision, shapes)
    check_fits(cfg, shapes)
    parts = split(cfg, demos)
    demos = demos.part(np.concatenate(list(parts.values())))
    directory = Path(cfg.out) if cfg.out else Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-pretrain"
    with hold(directory):
        check_free(directory, overwrite=cfg.overwrite)
        training, heldout = read_frames(cfg, demos, tuple(shapes), parts, device, start)
        cameras = CamerasConfig(cfg.vision.built(), shapes, training.windows.cameras)
        representation = build(cfg, cameras, start).to(device)
        records = fit(representation, cfg, training, heldout, on_record)
        episodes = (tuple(parts[name].tolist()) for name in ("train", "validation"))
        kept = absolute_paths(dataclasses.replace(cfg, out=directory))
        facts = PretrainFacts(kept, demos.content_hash(list(shapes)), *episodes)
        with replacing_all(directory, (*FILES, METRICS, PICTURE)) as folder:
            representation.save(folder, facts)
            write_json_lines(folder / METRICS, records)
            draw_picture(folder / PICTURE, look(representation, cfg, training, heldout))
    return directory


def check_fits(cfg: PretrainConfig, shapes: dict[str, tuple[int, ...]]) -> None:
    """Build without memory, so that what a method refuses is said before the data are read.

    Raises:
        UserError: A method refuses, or batches are too small for it.
    """
    pairs = cfg.method.pairs
    if pairs is not None and cfg.batch_size <= (episodes := pairs.episodes or 1):
        raise UserError(
            f"`batch_size` {cfg.batch_size} leaves views nothing to be told from, and nothing would be learned; give "
            f"{episodes + 1} or more"
        )
    with torch.random.fork_rng(devices=[]), unallocated():
        Representation(cfg, CamerasConfig(cfg.vision, shapes))


def camera_shapes(cfg: PretrainConfig, demos: Demos) -> dict[str, tuple[int, ...]]:
    """Camera -> shape of its images as its network sees them.

    Raises:
        UserError: The stores have no images, or one that was asked for is none.
    """
    there = {key: demos.shape(key) for key in demos.keys}
    there = {key: shape for key, shape in there.items() if is_image(shape)}
    if not there:
        blind = [str(store.path) for store in demos.stores if not any(map(is_image, store.shapes.values()))]
        name = next(iter(blind), demos.name)
        raise UserError(f"{name}: has no images that could be learned from; all have {', '.join(demos.keys)}")
    for camera in cfg.cameras or ():
        if camera not in there:
            raise UserError(f"`cameras` {camera}: {demos.name} has the cameras {', '.join(there)}")
    return {camera: there[camera] for camera in cfg.cameras or there}


def split(cfg: PretrainConfig, demos: Demos) -> dict[str, np.ndarray]:
    """Episodes to train on and to hold out: with the same number, share and seed the same as `train` does.

    Raises:
        UserError: There are not as many, too few to hold one out, or see `check_lengths`.
    """
    count = len(demos.episode_ends)
    wanted = count if cfg.num_episodes is None else cfg.num_episodes
    if not 1 <= wanted <= count:
        raise UserError(f"`num_episodes` {wanted}: {demos.name} has {count} episodes")
    held_out = cfg.validation_fraction
    fractions = {"train": (1 - held_out) * wanted / count, "validation": held_out * wanted / count}
    try:
        parts = split_episodes(count, fractions, cfg.seed)
    except UserError as error:
        raise UserError(f"{demos.name}: {error}; choose another `validation_fraction`") from None
    check_lengths(cfg, demos, parts)
    return parts


def check_lengths(cfg: PretrainConfig, demos: Demos, parts: dict[str, np.ndarray]) -> None:
    """Refuse a method to which all frames of every episode are near in time, so that it has none to tell them from.

    Raises:
        UserError: No episode of a part is long enough.
    """
    pairs = cfg.method.pairs
    if pairs is None or pairs.episodes is None:
        return
    lengths = np.diff(demos.episode_ends, prepend=0)
    for name, part in parts.items():
        if (longest := int(lengths[part].max())) <= pairs.apart + 1:
            raise UserError(
                f"{demos.name}: `within` {pairs.apart} takes all frames of an episode for near ones, as no {name} "
                f"episode has more than {longest} steps; choose less than {longest - 1}"
            )


def check_free(directory: Path, *, overwrite: bool) -> None:
    """Refuse a directory that a new run would spoil.

    Raises:
        UserError: It holds something already, and that is no pre-training, or is not to be overwritten.
        OSError: It cannot be written.
    """
    if is_begun(directory, RUN_FILE, "no pre-training") and not overwrite:
        raise UserError(f"{directory} exists, and no pre-training goes on; choose another `out`, or give `overwrite`")
    check_writable(directory / RUN_FILE)


def read_frames(
    cfg: PretrainConfig,
    demos: Demos,
    cameras: tuple[str, ...],
    parts: dict[str, np.ndarray],
    device: torch.device,
    start: Start,
) -> tuple[Frames, Frames]:
    """Frames to train on, and those that are held out."""
    windows = Windows.from_store(
        demos, cameras, 1, 1, parts["train"], device, cfg.cache_dir, padding="held", cameras=start.images
    )
    return Frames(windows), Frames(windows.for_episodes(parts["validation"]))


def build(cfg: PretrainConfig, cameras: CamerasConfig, start: Start) -> Representation:
    """Networks as the seed makes them, or with the weights that they are to begin with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        representation = Representation(cfg, cameras)
    begin(representation.cameras.by_name(), start)
    return representation


def fit(
    representation: Representation,
    cfg: PretrainConfig,
    training: Frames,
    heldout: Frames,
    on_record: Callable[[Record], None],
) -> list[Record]:
    """Train; returns the records, the first of which is of the weights at the beginning."""
    generator = torch.Generator(training.windows.device).manual_seed(cfg.seed)
    records, losses, started = list[Record](), list[Tensor](), time.perf_counter()

    def note(record: Record) -> None:
        records.append(record)
        on_record(record)

    def on_step(step: int, loss: Tensor) -> None:
        losses.append(loss)
        if step % cfg.log_every and step < cfg.steps:
            return
        mean = float(torch.stack(losses).mean())
        losses.clear()
        if not np.isfinite(mean):
            raise UserError(f"step {step}: the loss is not finite; a lower `lr` may help")
        validation = validation_loss(representation, cfg, heldout)
        rate = step / (time.perf_counter() - started)
        note({"step": step, "loss": mean, "validation_loss": validation, "steps_per_s": rate})

    note({"step": 0, "validation_loss": validation_loss(representation, cfg, heldout)})
    representation.train()
    descend(representation.parameters(), lambda: batch_loss(representation, cfg, training, generator), cfg.fit, on_step)
    representation.eval()
    return records


def batch_loss(
    representation: Representation, cfg: PretrainConfig, frames: Frames, generator: torch.Generator
) -> Tensor:
    """Loss of a random batch, varied as the images of a policy are in training."""
    index = frames.draw(cfg.batch_size, cfg.method.pairs, generator)
    images = frames.varied(index, cfg.vision, generator)
    with autocast(frames.windows.device, cfg.amp):
        return representation.loss(images, frames.left_out(index, cfg.method.pairs), generator)


@torch.no_grad()
def validation_loss(representation: Representation, cfg: PretrainConfig, heldout: Frames) -> float:
    """Loss of held-out frames, always of the same batches with the same draws."""
    generator = torch.Generator(heldout.windows.device).manual_seed(cfg.seed)
    losses = [batch_loss(representation, cfg, heldout, generator) for _ in range(VALIDATION_BATCHES)]
    return float(torch.stack(losses).mean())


def look(
    representation: Representation, cfg: PretrainConfig, training: Frames, heldout: Frames
) -> dict[str, dict[str, Tensor]]:
    """What the picture shows, camera by camera: frames from all over the held-out episodes, and what became of them."""
    generator = torch.Generator(training.windows.device).manual_seed(cfg.seed)
    count = min(SHOWN, len(heldout))
    index = (torch.arange(count) * 2 + 1) * len(heldout) // (2 * count)
    gallery = training.draw(GALLERY, None, generator)
    return representation.show(heldout.images(index), training.images(gallery), generator)
