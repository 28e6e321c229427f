"""What has to be known before flags can be parsed: modules that add choices, and where the defaults are from."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from robolearn.errors import UserError
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import find_recipe
from robolearn.training.run import Run

PLUGIN_HELP = "Module of your own to import first, which registers families, backbones or scores; may be repeated."


def import_plugins(arguments: list[str]) -> None:
    """Import the modules that --plugin names.

    Raises:
        UserError: One cannot be found; what goes wrong inside it keeps its traceback.
    """
    for name in _known(arguments).plugin or ():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise UserError(f"--plugin {name}: there is no such module where Python looks for modules") from None


def read_defaults(arguments: list[str]) -> tuple[TrainConfig, Path | None]:
    """Options that the flags change: those of the run to resume, which comes with it, of a recipe, or the defaults.

    Raises:
        UserError: Both are named, or there is no such run or recipe.
    """
    known = _known(arguments)
    if known.resume is not None and known.recipe is not None:
        raise UserError("--resume goes on with the options of the run, --recipe begins with its own; give one of them")
    if known.resume is not None:
        return Run.open(known.resume).config(), known.resume
    return TrainConfig() if known.recipe is None else find_recipe(known.recipe), None


def _known(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", type=Path, nargs="?")
    parser.add_argument("--recipe", nargs="?")
    parser.add_argument("--plugin", action="append")
    return parser.parse_known_args(arguments)[0]
