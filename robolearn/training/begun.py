"""Whether the demonstrations that runs were begun with are those that are there now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from robolearn.errors import UserError
from robolearn.training.assemble import observed_keys, open_demos
from robolearn.training.episodes import changed_since
from robolearn.training.run import Run


def check_begun_with(begun: Iterable[tuple[Run, tuple[Path, ...]]], instead: str) -> None:
    """Refuse runs that were begun with other demonstrations than there are now.

    A store may have grown since, or be another one of its name. Where it is gone there is nothing to compare with, and
    what was trained stands.

    Args:
        begun: Runs, which need not have been begun yet, each with where its demonstrations are now.
        instead: What to do where one is refused, for the message.

    Raises:
        UserError: One was begun with others.
    """
    there = [(run, paths) for run, paths in begun if run.last_step() is not None and all(p.exists() for p in paths)]
    for (paths, _), run in {(paths, run.data().content_hash): run for run, paths in there}.items():
        cfg = run.config()  # those of one hash read the same
        cfg = dataclasses.replace(cfg, dataset=dataclasses.replace(cfg.dataset, path=paths))
        demos = open_demos(cfg)
        if changed := changed_since(demos, cfg, [*observed_keys(cfg, demos), "action"], run.data()):
            raise UserError(
                f"{run.directory} was trained on other demonstrations than {demos.name} holds now ({changed}); "
                f"{instead}"
            )
