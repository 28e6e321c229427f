"""Files that are not there: what Git LFS leaves in their place."""

from __future__ import annotations

from pathlib import Path

from robolearn.errors import UserError

HEAD = b"version https://git-lfs"


def is_pointer(path: Path) -> bool:
    """Whether a file only says where its content is."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(HEAD)) == HEAD


def refuse_pointer(path: Path) -> None:
    """Raise a UserError that says what to do if a file only says where its content is."""
    if is_pointer(path):
        raise UserError(f"{path}: is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
