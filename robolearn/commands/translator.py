"""Learn to translate the images of one store into those of another, without pairs: simulated ones into real ones.

translate then writes demonstrations with translated images, and eval --translator translates what a policy sees. Ctrl-C
saves; the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.methods import flat_values, method_options
from robolearn.commands.parsing import build, chosen, next_step
from robolearn.commands.progress import training_progress
from robolearn.commands.stopping import going_on
from robolearn.paths import url_of
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.registry import TRANSLATIONS, find_translation

GROUPS = {
    "run": ("out", "steps", "seed", "checkpoint_every", "overwrite", "device", "threads"),
    "data": ("cameras", "validation_fraction", "cache_dir"),
    "optimizer": ("batch_size", "lr", "decay", "log_every"),
}
LOSSES = {"generators": "loss", "critics": "critic_loss"}


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, train, and say where the run is and what to do with it."""
    method = find_translation(chosen(arguments, "method", "cyclegan"))
    given: Any = read_flags(make_options(method), arguments, prog, __doc__, choices={"--": TRANSLATIONS})
    flat = flat_values(given, GROUPS)
    cfg = TranslatorConfig(given.source, given.target, method=build(given.how), **flat)
    from robolearn.training.signals import stopped
    from robolearn.translation.train import PICTURE, train_translator
    from robolearn.translation.translator import read_facts

    with training_progress(cfg.steps, LOSSES) as (show, _):
        run = train_translator(cfg, show)
    step = read_facts(run).step
    print(f"{'trained to' if step == cfg.steps else 'stopped at'} step {step:,}: {url_of(run)}")
    if step < cfg.steps:
        print(going_on(overwrite=cfg.overwrite))
        raise stopped()
    if (run / PICTURE).exists():
        print(f"look at {url_of(run / PICTURE)}")
    print(next_step(prog, "translate", cfg.source, run, "--out", "translated.zarr"))


def make_options(method: type) -> type:
    """The class of the flags."""
    help_of = {
        "source": "Store with images of one look, such as those of a simulation.",
        "target": "Store with images of the other look.",
    }
    places = {side: Annotated[Positional[Path], arg(metavar=side.upper(), help=text)] for side, text in help_of.items()}
    return method_options(places, TRANSLATIONS, method, TranslatorConfig, GROUPS)
