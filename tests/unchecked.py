"""Configurations as a program may make them: with values that are not of the kinds that fields declare."""

from typing import Any


def unchecked(config, **fields: Any):
    """A configuration with these values; where tests check the types of calls, its constructor would refuse them."""
    for name, value in fields.items():
        object.__setattr__(config, name, value)
    return config
