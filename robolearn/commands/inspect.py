"""Show what is in a store and what looks wrong, and name the option that mends it.

Keys, shapes, lengths, ranges, NaN; angles, quaternions, actions that come late, idle beginnings, outlying and duplicate
episodes, images; with --env.id also whether all of it fits an environment. Works on damaged stores too; the exit status
is 1 if there is a problem.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, import_plugins, mirror
from robolearn.errors import UserError
from robolearn.files import check_replaceable
from robolearn.rollout.env_config import EnvConfig

Env = mirror(EnvConfig)


@dataclass(frozen=True)
class Dataset:
    """As a training takes the store."""

    obs: tuple[str, ...] = ()
    """Keys made of those of the store, as in img=pixels agent_pos=state[:2] state=qpos+qvel action=act; it is looked at
    as a training sees it that is given the same."""


@dataclass(frozen=True)
class Options:
    """Options of an inspection."""

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A .zarr directory or a .zip of one, in the layout of docs/format.md."""
    html: Path | None = None
    """Page to draw it on, a file that ends in .html: episodes, ranges, groups of episodes, images."""
    dataset: Dataset = field(default_factory=Dataset)
    env: Env = field(default_factory=Env)
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, and print the report."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    env = build(given.env)
    if given.html is not None:
        _check_page(given.html)
    from robolearn.doctor.account import inspect

    report = inspect(given.store, env=None if env.id is None else env, obs=given.dataset.obs)
    if given.html is not None:
        from robolearn.doctor.page import write_page

        write_page(given.html, report, given.store.name)
        print(f"page: {given.html}")
    sys.exit(1 if report.problems else 0)


def _check_page(path: Path) -> None:
    """Refuse a name that another kind of file has: what is there, such as a run's config.json, would be gone."""
    check_replaceable(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"`html` {path} must end in .html")
    if not path.parent.is_dir():
        raise UserError(f"`html` {path}: there is no folder {path.parent}")
