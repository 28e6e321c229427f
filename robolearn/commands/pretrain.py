"""Train the networks of cameras on the images of a store, without looking at actions.

A policy then begins with them: train.py --vision.init RUN. A run appears when it is complete; Ctrl-C leaves nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.parsing import build, chosen, mirror, sibling, values
from robolearn.commands.progress import training_progress
from robolearn.nets.vision import VisionConfig
from robolearn.representation.config import PretrainConfig
from robolearn.representation.registry import METHODS, find_method

GROUPS = {
    "run": ("out", "steps", "seed", "overwrite", "device", "threads"),
    "data": ("cameras", "obs", "num_episodes", "validation_fraction", "cache_dir"),
    "optimizer": ("batch_size", "lr", "amp", "log_every"),
}
DOCS = {
    "run": "How long, and where the result goes.",
    "data": "Which images.",
    "optimizer": "How the weights are found.",
}
LOSSES = {"loss": "loss", "held out": "validation_loss"}


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, train, and say where the run is and what to do with it."""
    method = find_method(chosen(arguments, "method", "autoencoder"))
    given: Any = tyro.cli(make_options(method), args=arguments, prog=prog, description=__doc__)
    flat = values(*(getattr(given, name) for name in GROUPS))
    cfg = PretrainConfig(given.store, method=build(given.how), vision=build(given.vision), **flat)
    from robolearn.representation.picture import PICTURE
    from robolearn.representation.pretrain import pretrain

    with training_progress(cfg.steps, LOSSES) as (show, records):
        run = pretrain(cfg, show)
    before, after = (records[end]["validation_loss"] for end in (0, -1))
    print(f"trained to step {cfg.steps:,}: {run}")
    print(f"held-out loss {before:.4g} at first, {after:.4g} now; look at {run / PICTURE}")
    print(f"next: {sibling(prog, 'train')} --vision.init {run}")


def make_options(method: type) -> type:
    """The class of the flags: those of every pre-training, and those of one method."""
    name = next(name for name, cls in METHODS.items() if cls is method)
    store = Annotated[Positional[tuple[Path, ...]], arg(metavar="STORE", help="The demonstrations, one or several.")]
    choice = Annotated[Literal[tuple(METHODS)], arg(help="How; --method NAME --help shows the options of a method.")]  # pyright: ignore
    fields: list[Any] = [("store", store), ("method", choice, name)]
    fields.append(("how", OmitArgPrefixes[made := mirror(method)], dataclasses.field(default_factory=made)))
    for group, names in GROUPS.items():
        made = mirror(PretrainConfig, names, doc=DOCS[group])
        fields.append((group, OmitArgPrefixes[made], dataclasses.field(default_factory=made)))
    vision = mirror(VisionConfig, tuple(f.name for f in dataclasses.fields(VisionConfig) if f.name != "freeze"))
    fields.append(("vision", vision, dataclasses.field(default_factory=vision)))
    return dataclasses.make_dataclass("Options", fields, frozen=True)
