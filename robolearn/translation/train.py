"""Train a translator between the images of two stores: what `translator` does, as a function."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robolearn.config import checked, first_difference, write_json_lines
from robolearn.data.splits import split_episodes
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.files import check_writable, replacing_all
from robolearn.locks import hold
from robolearn.nets.unallocated import unallocated
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.representation.frames import Frames
from robolearn.representation.picture import illustrate
from robolearn.training.config import absolute_paths
from robolearn.training.device import choose_device
from robolearn.training.logger import read_records
from robolearn.training.signals import stop_signal
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.method import Side, check_shape
from robolearn.translation.networks import seen
from robolearn.translation.registry import TRANSLATIONS
from robolearn.translation.state import CRITICS, MAKERS, TranslatorState
from robolearn.translation.translator import FACTS_FILE, WEIGHTS_FILE, Translator, TranslatorFacts, read_facts
from robolearn.types import is_image
from robolearn.unused import is_begun

STATE_FILE, METRICS, PICTURE = "training.safetensors", "metrics.jsonl", "pictures.png"
FILES = (FACTS_FILE, WEIGHTS_FILE, STATE_FILE, METRICS, PICTURE)
SIDES: tuple[Side, ...] = ("source", "target")
SHOWN = 8  # held-out frames of either side in the picture

Record = dict[str, int | float]
Sources = Mapping[Side, Frames]


def train_translator(cfg: TranslatorConfig, on_record: Callable[[Record], None] = lambda record: None) -> Path:
    """Learn to translate images of one store into those of another, and back where the method does.

        run = train_translator(TranslatorConfig("plain.zarr", "real.zarr", "runs/real", CycleGANConfig(width=32)))
        translate("plain.zarr", run, "translated.zarr")

    What is there is saved every ``checkpoint_every`` steps, after the last one, and after SIGINT or SIGTERM, all files
    at once. The same training goes on from there, bit for bit.

    Args:
        cfg: How, on which images, and where the run goes.
        on_record: Called with the numbers of ``log_every`` steps.

    Returns:
        The run.

    Raises:
        UserError: An option or the images do not fit, the directory is taken, or the training diverged.
    """
    cfg = checked(cfg, TRANSLATIONS)
    device = choose_device(cfg.device, threads=cfg.threads)
    stores: dict[Side, DemoStore] = {"source": DemoStore.open(cfg.source), "target": DemoStore.open(cfg.target)}
    shapes = camera_shapes(cfg, stores)
    parts = {side: split(cfg, store) for side, store in stores.items()}
    directory = Path(cfg.out)
    with hold(directory):
        check_free(cfg)
        state, records = TranslatorState(cfg, shapes, device), list[Record]()
        hashes: dict[Side, str] = {side: store.content_hash(list(shapes)) for side, store in stores.items()}
        facts = TranslatorFacts(absolute_paths(cfg), shapes, hashes, 0)
        if (directory / FACTS_FILE).exists() and not cfg.overwrite:
            records = restore(state, facts, directory)
        if state.step == cfg.steps:
            return directory
        check_writable(directory / FACTS_FILE)
        frames = {side: read_frames(cfg, stores[side], tuple(shapes), parts[side], device) for side in SIDES}
        training: Sources = {side: frames[side][0] for side in SIDES}
        heldout: Sources = {side: frames[side][1] for side in SIDES}
        _Training(state, facts, training, heldout, records, on_record).run()
    return directory


def camera_shapes(cfg: TranslatorConfig, stores: Mapping[Side, DemoStore]) -> dict[str, tuple[int, ...]]:
    """Camera -> shape of its images, which both stores have alike.

    Raises:
        UserError: They have no such camera, or one that was asked for is none or differs.
    """
    cameras = {side: {key for key, shape in store.shapes.items() if is_image(shape)} for side, store in stores.items()}
    both = [key for key in stores["source"].keys if key in cameras["source"] & cameras["target"]]
    if not both:
        names = "; ".join(
            f"{store.path} has {', '.join(sorted(cameras[side])) or 'no images'}" for side, store in stores.items()
        )
        raise UserError(f"the stores share no key of images [h, w, 1, 3 or 4]: {names}")
    for camera in cfg.cameras or ():
        if camera not in both:
            raise UserError(f"`cameras` {camera}: both stores have the images {', '.join(both)}")
    shapes = {}
    for camera in cfg.cameras or both:
        by_store = {store.path: store.shapes[camera] for store in stores.values()}
        if len(set(by_store.values())) > 1:
            sizes = ", ".join(f"in {path} {'x'.join(map(str, shape))}" for path, shape in by_store.items())
            raise UserError(f"images of {camera!r} differ in size: {sizes}")
        for store in stores.values():
            check_bytes(store, camera)
        check_shape(camera, shape := stores["source"].shapes[camera])
        shapes[camera] = shape
    return shapes


def check_bytes(store: DemoStore, camera: str) -> None:
    """Raise a UserError unless images are bytes: what another type means would be measured of either store."""
    if store.dtypes[camera] != np.uint8:
        raise UserError(
            f"{store.path}: data/{camera} is {store.dtypes[camera]}; only images of bytes, 0 .. 255, are translated"
        )


def split(cfg: TranslatorConfig, store: DemoStore) -> dict[str, np.ndarray]:
    """Episodes to train on and to hold out."""
    fractions = {"train": 1 - cfg.validation_fraction, "validation": cfg.validation_fraction}
    try:
        return split_episodes(store.num_episodes, fractions, cfg.seed)
    except UserError as error:
        raise UserError(f"{store.path}: {error}; choose another `validation_fraction`") from None


def check_free(cfg: TranslatorConfig) -> None:
    """Refuse a directory that the training would spoil.

    Raises:
        UserError: It holds something that is no translator, or one that was asked for otherwise and is not to be
            overwritten.
    """
    directory = Path(cfg.out)
    if not is_begun(directory, FACTS_FILE, "no translator") or cfg.overwrite:
        return
    before = read_facts(directory).config.same_training()
    if differs := first_difference(cfg.same_training(), before, TRANSLATIONS):
        raise UserError(f"{directory}: {differs}; choose another `out`, or give `overwrite`")


def restore(state: TranslatorState, facts: TranslatorFacts, directory: Path) -> list[Record]:
    """Go on where a training stopped; returns its records.

    Raises:
        UserError: Its images have changed, or a file is damaged or of another training.
    """
    before = read_facts(directory)
    if (before.content_hashes, before.shapes) != (facts.content_hashes, facts.shapes):
        raise UserError(f"{directory}: the images have changed since; choose another `out`, or give `overwrite`")
    path = directory / STATE_FILE
    tensors = load_tensors(path)
    if not state.fits(tensors):
        raise UserError(f"{path}: damaged, or of a training on another kind of device or of another release")
    state.restore(tensors, before.step)
    return list(read_records(directory / METRICS))


def read_frames(
    cfg: TranslatorConfig,
    store: DemoStore,
    cameras: tuple[str, ...],
    parts: Mapping[str, np.ndarray],
    device: torch.device,
) -> tuple[Frames, Frames]:
    """Frames to train on, and those that are held out."""
    windows = Windows.from_store(store, cameras, 1, 1, parts["train"], device, cfg.cache_dir, padding="held")
    return Frames(windows), Frames(windows.for_episodes(parts["validation"]))


class _Training:
    """The loop, whose directory is held."""

    def __init__(
        self,
        state: TranslatorState,
        facts: TranslatorFacts,
        training: Sources,
        heldout: Sources,
        records: list[Record],
        on_record: Callable[[Record], None],
    ):
        self.state, self.facts, self.cfg = state, facts, state.cfg
        self.training, self.heldout = training, heldout
        self.records, self.on_record = records, on_record

    def run(self) -> None:
        """Train until the last step or a signal, and save."""
        state, logged, started, first = self.state, list[dict[str, Tensor]](), time.perf_counter(), self.state.step
        with stop_signal() as stopped:
            while state.step < self.cfg.steps:
                logged.append(self.advance())
                ended = state.step == self.cfg.steps or stopped()
                if ended or state.step % self.cfg.log_every == 0:
                    rate = (state.step - first) / (time.perf_counter() - started)
                    self.record(logged, rate)
                    logged = []
                if ended or state.step % self.cfg.checkpoint_every == 0:
                    self.save()
                if ended:
                    return

    def advance(self) -> dict[str, Tensor]:
        """One step of the generators, then one of the critics; returns what is worth logging."""
        state = self.state
        batches = {side: self._batch(side) for side in SIDES}
        for optimizer in state.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.cfg.rate(state.step)
        images = {camera: {side: seen(batch[camera]) for side, batch in batches.items()} for camera in state.cameras}
        made = {camera: method.generator_loss(images[camera], state.random) for camera, method in state.cameras.items()}
        loss = torch.stack([one.loss for one in made.values()]).sum()
        move(state.optimizers[MAKERS], loss)
        judged = [
            method.critic_loss(images[camera], made[camera].images, state.random)
            for camera, method in state.cameras.items()
        ]
        move(state.optimizers[CRITICS], critic_loss := torch.stack(judged).sum())
        state.step += 1
        names = next(iter(made.values())).details
        details = {name: torch.stack([one.details[name].detach() for one in made.values()]).mean() for name in names}
        return {"loss": loss.detach(), "critic_loss": critic_loss.detach(), **details}

    def _batch(self, side: Side) -> dict[str, Tensor]:
        frames = self.training[side]
        return frames.images(frames.draw(self.cfg.batch_size, None, self.state.random))

    def record(self, logged: list[dict[str, Tensor]], rate: float) -> None:
        """Note means over the last steps.

        Raises:
            UserError: One is not finite.
        """
        means = {name: float(torch.stack([one[name] for one in logged]).mean()) for name in logged[0]}
        if not np.isfinite(list(means.values())).all():
            raise self._diverged("a loss")
        record: Record = {"step": self.state.step, **means, "steps_per_s": rate}
        self.records.append(record)
        self.on_record(record)

    def save(self) -> None:
        """Write all files, which take their places together.

        Raises:
            UserError: A number is not finite: nobody could go on with it, nor with what it took the place of.
        """
        tensors = self.state.tensors()
        if not all(bool(value.isfinite().all()) for value in tensors.values()):
            raise self._diverged("a weight")
        facts = dataclasses.replace(self.facts, step=self.state.step)
        with unallocated():  # its own weights would be drawn from the global stream, and are not needed
            translator = Translator(facts)
        translator.generators = torch.nn.ModuleList(method.generators for method in self.state.cameras.values())
        with replacing_all(Path(self.cfg.out), FILES) as folder:
            translator.save(folder)
            save_tensors(tensors, folder / STATE_FILE)
            write_json_lines(folder / METRICS, self.records)
            illustrate(folder / PICTURE, lambda: look(translator, self.heldout))

    def _diverged(self, what: str) -> UserError:
        there = (Path(self.cfg.out) / FACTS_FILE).exists()
        saved = f"{self.cfg.out} holds what was saved before" if there else "nothing was saved"
        return UserError(f"step {self.state.step}: {what} is not finite; {saved}; a lower `lr` may help")


def move(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimizer."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def look(translator: Translator, heldout: Sources) -> dict[str, dict[str, Tensor]]:
    """What the picture shows, camera by camera and way by way: held-out frames, their translations, and back again."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for to in translator.sides:
        start: Side = "source" if to == "target" else "target"
        count = min(SHOWN, len(heldout[start]))
        frames = heldout[start].images((torch.arange(count) * 2 + 1) * len(heldout[start]) // (2 * count))
        made = translator.translate(frames, to)
        rows = {"seen": frames, "translated": made}
        if start in translator.sides:
            rows["back again"] = translator.translate(made, start)
        for camera in frames:
            blocks[f"{camera}, {start} to {to}"] = {name: images[camera] for name, images in rows.items()}
    return blocks
