"""Train the networks of cameras on the images of a store, without looking at actions.

A policy then begins with them: train.py --vision.init RUN. Ctrl-C saves, and the same command goes on from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.methods import flat_values, method_options
from robolearn.commands.parsing import build, chosen, mirror, next_step
from robolearn.commands.progress import training_progress
from robolearn.commands.stopping import going_on
from robolearn.nets.vision import VisionConfig
from robolearn.paths import url_of
from robolearn.representation.config import PretrainConfig
from robolearn.representation.registry import METHODS, find_method

GROUPS = {
    "run": ("out", "steps", "seed", "overwrite", "device", "threads"),
    "data": ("cameras", "obs", "num_episodes", "validation_fraction", "cache_dir"),
    "optimizer": ("batch_size", "lr", "amp", "log_every", "checkpoint_every"),
}
LOSSES = {"loss": "loss", "held out": "validation_loss"}


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, train, and say where the run is and what to do with it."""
    method = find_method(chosen(arguments, "method", "autoencoder"))
    given: Any = read_flags(make_options(method), arguments, prog, __doc__, choices={"--": METHODS})
    flat = flat_values(given, GROUPS)
    cfg = PretrainConfig(given.store, method=build(given.how), vision=build(given.vision), **flat)
    from robolearn.representation.picture import PICTURE
    from robolearn.representation.pretrain import METRICS, pretrain
    from robolearn.representation.representation import read_facts
    from robolearn.training.logger import read_records
    from robolearn.training.signals import stopped

    same = data_flags(cfg)
    with training_progress(cfg.steps, LOSSES) as (show, _):
        run = pretrain(cfg, show)
    step = read_facts(run).steps_done
    print(f"{'trained to' if step == cfg.steps else 'stopped at'} step {step:,}: {url_of(run)}")
    if step < cfg.steps:
        print(going_on(overwrite=cfg.overwrite, out=None if cfg.out else run))
        raise stopped()
    before, *_, after = (record["validation_loss"] for record in read_records(run / METRICS))
    print(f"held-out loss {before:.4g} at first, {after:.4g} now")
    if (run / PICTURE).exists():
        print(f"look at {url_of(run / PICTURE)}")
    print(next_step(prog, "train", *same, "--vision.init", run))


def data_flags(cfg: PretrainConfig) -> list[str | Path]:
    """The flags of a training that observes the cameras, beside what it would observe by default."""
    from robolearn.data.demos import Demos
    from robolearn.data.store import usual_obs_keys
    from robolearn.representation.pretrain import camera_shapes

    demos = Demos.open(cfg.paths, cfg.keymap)
    usual = usual_obs_keys(demos.stores[0])
    unseen = [camera for camera in camera_shapes(cfg, demos) if camera not in usual]
    flags: list[str | Path] = ["--dataset.path", *cfg.paths]
    flags += ["--dataset.obs", *cfg.obs] if cfg.obs else []
    return flags + (["--dataset.obs-keys", *usual, *unseen] if unseen else [])


def make_options(method: type) -> type:
    """The class of the flags."""
    store = Annotated[Positional[tuple[Path, ...]], arg(metavar="STORE", help="The demonstrations, one or several.")]
    vision = mirror(VisionConfig, tuple(f.name for f in dataclasses.fields(VisionConfig) if f.name != "freeze"))
    return method_options({"store": store}, METHODS, method, PretrainConfig, GROUPS, {"vision": vision})
