"""Flags of a command that trains by one of several methods, each with options of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from tyro.conf import arg

from robolearn.commands.parsing import flag_group, mirror, values

DOCS = {
    "run": "How long, and where the result goes.",
    "data": "Which images.",
    "optimizer": "How the weights are found.",
}

Groups = Mapping[str, Sequence[str]]
"""Group of flags, of those above -> fields of the configuration."""


def method_options(
    places: Mapping[str, Any],
    methods: Mapping[str, type],
    method: type,
    config: type,
    groups: Groups,
    more: Mapping[str, type] | None = None,
) -> type:
    """The class of the flags: what has no flag, the method, the options of that one, and those of every training.

    Args:
        places: Field -> type of what is given without a flag, in order.
        methods: Those there are.
        method: The one that is chosen.
        config: Of every training.
        groups: Its fields.
        more: Field -> mirror of a configuration inside it.
    """
    name = next(name for name, cls in methods.items() if cls is method)
    choice = Annotated[Literal[tuple(methods)], arg(help="How; --method NAME --help shows the options of a method.")]  # pyright: ignore
    mirrors = {"how": mirror(method)} | {
        group: mirror(config, names, doc=DOCS[group]) for group, names in groups.items()
    }
    fields: list[Any] = [*places.items(), ("method", choice, name)]
    fields += [flag_group(group, made) for group, made in mirrors.items()]
    fields += [flag_group(inside, made, prefixed=True) for inside, made in (more or {}).items()]
    return dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)


def flat_values(given: Any, groups: Groups) -> dict[str, Any]:
    """Field -> value of what the groups hold."""
    return values(*(getattr(given, group) for group in groups))
