"""Which directories are free for what is to be made in them: a kill at its beginning leaves none in the way."""

from __future__ import annotations

from pathlib import Path

from robolearn.errors import UserError
from robolearn.files import BEGUN, finish_replacing
from robolearn.locks import LOCK_FILE


def is_unused(directory: Path, file: str) -> bool:
    """Whether a directory is not there, or holds nothing but a lock and what a kill left of a beginning.

    Args:
        directory: It may be missing.
        file: The first that is written, alone or with others.
    """
    there = {path.name for path in directory.iterdir()} if directory.exists() else set()
    return there <= {LOCK_FILE, BEGUN, f"{file}.part"}


def is_begun(directory: Path, file: str, otherwise: str) -> bool:
    """Whether something was begun in a directory; if not, it is unused.

    Args:
        directory: It may be missing. Where a kill came while its files took their places, the rest do so now.
        file: The first that is written, alone or with others.
        otherwise: What the directory is without that, for the message.

    Raises:
        UserError: It holds something else.
    """
    finish_replacing(directory)
    if is_unused(directory, file):
        return False
    if not (directory / file).exists():
        raise UserError(f"{directory} exists and is {otherwise}; choose another `out`")
    return True
