"""Train the networks of cameras on images alone: what `pretrain` does, as a function."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robolearn.config import checked, first_difference, write_json_lines
from robolearn.data.demos import Demos
from robolearn.data.splits import split_episodes
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.files import check_writable, replacing_all
from robolearn.locks import hold
from robolearn.nets.pretrained import CamerasConfig, Start, begin, read_start
from robolearn.nets.unallocated import unallocated
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.representation.config import PretrainConfig
from robolearn.representation.frames import Frames
from robolearn.representation.picture import PICTURE, Shown, illustrate
from robolearn.representation.registry import METHODS
from robolearn.representation.representation import FILES, RUN_FILE, PretrainFacts, Representation, read_facts
from robolearn.representation.state import PretrainState
from robolearn.training.config import absolute_paths
from robolearn.training.device import autocast, choose_device
from robolearn.training.logger import read_records
from robolearn.training.signals import stop_signal
from robolearn.types import is_image
from robolearn.unused import is_begun

STATE_FILE, METRICS = "training.safetensors", "metrics.jsonl"
VALIDATION_BATCHES = 4
SHOWN, GALLERY = 8, 512  # held-out frames in the picture, and frames among which their neighbors are found

Record = dict[str, int | float]


def pretrain(cfg: PretrainConfig, on_record: Callable[[Record], None] = lambda record: None) -> Path:
    """Train a network for each camera of a store, without looking at actions.

        run = pretrain(PretrainConfig("datasets/avoid_pixels.zarr", method=VAEConfig(), out="runs/pretrained"))
        train(TrainConfig(dataset=..., vision=VisionConfig(init=run)))

    What is there is saved every ``checkpoint_every`` steps, after the last one, and after SIGINT or SIGTERM, all files
    at once. The same pre-training goes on from there, bit for bit.

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
        cfg = absolute_paths(dataclasses.replace(cfg, out=directory))
        check_free(cfg, directory)
        episodes = (tuple(parts[name].tolist()) for name in ("train", "validation"))
        facts = PretrainFacts(cfg, demos.content_hash(list(shapes)), *episodes, step=0)
        if (done := begun(facts, directory)) < cfg.steps:
            check_writable(directory / RUN_FILE)
            training, heldout = read_frames(cfg, demos, tuple(shapes), parts, device, start)
            state = make_state(cfg, CamerasConfig(cfg.vision.built(), shapes, training.windows.cameras), start, device)
            records = restore(state, done, directory) if done else []
            _Pretraining(state, facts, training, heldout, records, on_record).run()
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


def check_free(cfg: PretrainConfig, directory: Path) -> None:
    """Refuse a directory that a pre-training would spoil.

    Raises:
        UserError: It holds something that is no pre-training, or one that was asked for otherwise and is not to be
            overwritten.
    """
    if is_begun(directory, RUN_FILE, "no pre-training") and not cfg.overwrite:
        before = read_facts(directory).config.same_training()
        if differs := first_difference(cfg.same_training(), before, METHODS):
            raise UserError(f"{directory}: {differs}; choose another `out`, or give `overwrite`")


def begun(facts: PretrainFacts, directory: Path) -> int:
    """How many steps of a pre-training are done; of one that is to be overwritten, none.

    Raises:
        UserError: Its images have changed, or a file is damaged.
    """
    if facts.config.overwrite or not (directory / RUN_FILE).exists():
        return 0
    before = read_facts(directory)
    if before.content_hash != facts.content_hash:
        raise UserError(f"{directory}: the images have changed since; choose another `out`, or give `overwrite`")
    return before.steps_done


def restore(state: PretrainState, step: int, directory: Path) -> list[Record]:
    """Go on where a pre-training stopped; returns its records.

    Raises:
        UserError: A file is damaged or of another training.
    """
    tensors = load_tensors(path := directory / STATE_FILE)
    if not state.fits(tensors):
        raise UserError(f"{path}: damaged, or of a training on another kind of device or of another release")
    state.restore(tensors, step)
    return list(read_records(directory / METRICS))


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


def make_state(cfg: PretrainConfig, cameras: CamerasConfig, start: Start, device: torch.device) -> PretrainState:
    """Networks as the seed makes them, or with the weights that they are to begin with, before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        representation = Representation(cfg, cameras)
    begin(representation.cameras.by_name(), start)
    return PretrainState(representation.to(device), cfg, device)


class _Pretraining:
    """The loop, whose directory is held."""

    def __init__(
        self,
        state: PretrainState,
        facts: PretrainFacts,
        training: Frames,
        heldout: Frames,
        records: list[Record],
        on_record: Callable[[Record], None],
    ):
        self.state, self.facts, self.cfg = state, facts, facts.config
        self.training, self.heldout = training, heldout
        self.records, self.on_record = records, on_record

    def run(self) -> None:
        """Train until the last step or a signal, and save; the first record is of the weights at the beginning."""
        state, cfg, started, first = self.state, self.cfg, time.perf_counter(), self.state.step
        if not self.records:
            self._note({"step": 0, "validation_loss": validation_loss(state.representation, cfg, self.heldout)})
        state.representation.train()
        with stop_signal() as stopped:
            while state.step < cfg.steps:
                state.advance(batch_loss(state.representation, cfg, self.training, state.random))
                if state.step % cfg.log_every == 0 or state.step == cfg.steps:
                    self._record((state.step - first) / (time.perf_counter() - started))
                ended = state.step == cfg.steps or stopped()
                if ended or state.step % cfg.checkpoint_every == 0:
                    self._save(ended)
                if ended:
                    return

    def _record(self, rate: float) -> None:
        """Note the mean loss since the last record, and that of held-out frames."""
        state, mean = self.state, float(torch.stack(self.state.losses).mean())
        state.losses.clear()
        if not np.isfinite(mean):
            raise self._diverged("the loss")
        validation = validation_loss(state.representation, self.cfg, self.heldout)
        self._note({"step": state.step, "loss": mean, "validation_loss": validation, "steps_per_s": rate})

    def _note(self, record: Record) -> None:
        self.records.append(record)
        self.on_record(record)

    def _save(self, ended: bool) -> None:
        """Write all files, which take their places together; what only going on needs, a complete run does without."""
        state, tensors = self.state, self.state.tensors()
        if not all(bool(value.isfinite().all()) for value in tensors.values()):
            raise self._diverged("a weight")
        with replacing_all(Path(self.cfg.out or ""), (*FILES, STATE_FILE, METRICS, PICTURE)) as folder:
            state.representation.save(folder, dataclasses.replace(self.facts, step=state.step))
            write_json_lines(folder / METRICS, self.records)
            if state.step < self.cfg.steps:
                save_tensors(tensors, folder / STATE_FILE)
            if ended:
                state.representation.eval()
                illustrate(folder / PICTURE, self._look)

    def _look(self) -> Shown:
        """Frames from all over the held-out episodes, and what became of them."""
        heldout, generator = self.heldout, torch.Generator(self.training.windows.device).manual_seed(self.cfg.seed)
        count = min(SHOWN, len(heldout))
        index = (torch.arange(count) * 2 + 1) * len(heldout) // (2 * count)
        gallery = self.training.draw(GALLERY, None, generator)
        return self.state.representation.show(heldout.images(index), self.training.images(gallery), generator)

    def _diverged(self, what: str) -> UserError:
        there = (Path(self.cfg.out or "") / RUN_FILE).exists()
        saved = f"{self.cfg.out} holds what was saved before" if there else "nothing was saved"
        return UserError(f"step {self.state.step}: {what} is not finite; {saved}; a lower `lr` may help")


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
