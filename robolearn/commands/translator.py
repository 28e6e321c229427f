"""Learn to translate the images of one store into those of another, without pairs: simulated ones into real ones.

translate then writes demonstrations with translated images, and eval --translator translates what a policy sees. Ctrl-C
saves; the same command goes on from there.
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
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.registry import TRANSLATIONS, find_translation

GROUPS = {
    "run": ("out", "steps", "seed", "checkpoint_every", "overwrite", "device", "threads"),
    "data": ("cameras", "validation_fraction", "cache_dir"),
    "optimizer": ("batch_size", "lr", "decay", "log_every"),
}
DOCS = {
    "run": "How long, and where the result goes.",
    "data": "Which images.",
    "optimizer": "How the weights are found.",
}
LOSSES = {"generators": "loss", "critics": "critic_loss"}


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, train, and say where the run is and what to do with it."""
    method = find_translation(chosen(arguments, "method", "cyclegan"))
    given: Any = tyro.cli(make_options(method), args=arguments, prog=prog, description=__doc__)
    flat = values(*(getattr(given, name) for name in GROUPS))
    cfg = TranslatorConfig(given.source, given.target, method=build(given.how), **flat)
    from robolearn.translation.train import PICTURE, train_translator
    from robolearn.translation.translator import read_facts

    with training_progress(cfg.steps, LOSSES) as (show, _):
        run = train_translator(cfg, show)
    step = read_facts(run).step
    print(f"{'trained to' if step == cfg.steps else 'stopped at'} step {step:,}: {run}")
    if step < cfg.steps:
        print("the same command goes on from there")
        return
    print(f"look at {run / PICTURE}")
    print(f"next: {sibling(prog, 'translate')} {cfg.source} {run} --out translated.zarr")


def make_options(method: type) -> type:
    """The class of the flags: those of every translator, and those of one method."""
    name = next(name for name, cls in TRANSLATIONS.items() if cls is method)
    help_of = {
        "source": "Store with images of one look, such as those of a simulation.",
        "target": "Store with images of the other look.",
    }
    fields: list[Any] = [
        (side, Annotated[Positional[Path], arg(metavar=side.upper(), help=text)]) for side, text in help_of.items()
    ]
    choice = Annotated[Literal[tuple(TRANSLATIONS)], arg(help="How; --method NAME --help shows the options.")]  # pyright: ignore
    fields.append(("method", choice, name))
    fields.append(("how", OmitArgPrefixes[made := mirror(method)], dataclasses.field(default_factory=made)))
    for group, names in GROUPS.items():
        made = mirror(TranslatorConfig, names, doc=DOCS[group])
        kept = dataclasses.field() if group == "run" else dataclasses.field(default_factory=made)  # --out is required
        fields.append((group, OmitArgPrefixes[made], kept))
    return dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
