"""The sizes that networks are built with, checked before memory is asked for."""

from __future__ import annotations

from robolearn.errors import UserError

LARGEST_SIZE = 65_536  # of one axis; a matrix of two such axes takes 16 GiB


def check_sizes(owner: str, **sizes: int) -> None:
    """Check numbers of channels, layers, codes and the like.

    Args:
        owner: Whose they are, for the message.
        sizes: Name -> size.

    Raises:
        UserError: A size is below 1 or above LARGEST_SIZE.
    """
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"{owner}: {name} {size} must be at least 1")
        if size > LARGEST_SIZE:
            raise UserError(f"{owner}: {name} {size} must be at most {LARGEST_SIZE}")
