"""What a kill leaves of a store: a copy of its folder at one moment, while zarr writes with several threads."""

import shutil
from pathlib import Path


def copy_as_killed(path: Path, target: Path) -> None:
    """Copy a folder; an unfinished file that its thread takes away meanwhile is one that the kill did not leave."""
    shutil.copytree(path, target, copy_function=_copy_if_there)


def _copy_if_there(source: str, target: str) -> None:
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        assert source.endswith(".partial"), f"{source} was replaced without a moment at which it was whole"
