"""Text that stands for a path: of a file here, or of one on a remote file system, which is worked on as a copy here.

    s3://bucket/runs/x    <->    CACHE/remote/s3/bucket/runs/x

Everything within knows paths alone. Text becomes a path by `place_of`, and a path becomes text that means the same on
other machines by `url_of`. What keeps both the same is `robolearn/remote/`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath

from robolearn.errors import UserError

StrPath = str | os.PathLike[str]
URL = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)(.*)", re.DOTALL)  # two letters at least: C:/ is a drive
NO_HOST = "-"  # stands for the empty host of file:///data


def default_cache_dir() -> Path:
    """The user's cache folder, where XDG says."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robolearn"


def copies_dir() -> Path:
    """Where remote files are worked on."""
    return (default_cache_dir() / "remote").absolute()


def is_url(text: str) -> bool:
    """Whether text names a remote file or folder."""
    match = URL.match(text)
    return bool(match and match[2])


def place_of(path: StrPath) -> Path:
    """The path that text stands for; that of a URL is its copy here, which need not be there.

    Raises:
        UserError: It is a URL that names no file, goes upwards or holds a password, or one that was a Path.
    """
    text = os.fspath(path)
    if (match := URL.fullmatch(text)) is None:
        return Path(path)
    if not match[2]:
        raise UserError(f"{text}: a URL that was made a Path has lost a slash; give it as text, {match[1]}://...")
    host, *names = match[3].split("/")
    names = [name for name in names if name]
    if not (host or names) or {".", ".."} & {host, *names} or "::" in text or text.endswith(".part"):
        raise UserError(f"{text}: expected the URL of a file or folder, such as s3://bucket/runs/avoid")
    if ":" in host.partition("@")[0] and "@" in host:
        raise UserError(f"{match[1]}://...@{host.partition('@')[2]}: a password in a URL would be kept in files")
    return copies_dir().joinpath(match[1], host or NO_HOST, *names)


def is_copy(path: PurePath) -> bool:
    """Whether a path is in the copy of something remote; what is not finished, and will have another name, is not."""
    parts = _parts(path)
    return bool(parts) and not any(name.endswith(".part") for name in parts)


def url_of(path: StrPath) -> str:
    """Text for a path: the URL of a copy, and any other path as it is."""
    if not (parts := _parts(PurePath(path))):
        return str(path)
    protocol, host, *names = parts
    return f"{protocol}://{'/'.join(['' if host == NO_HOST else host, *names])}"


def _parts(path: PurePath) -> tuple[str, ...]:
    """Protocol, host and names of a copy; nothing of another path."""
    parts = path.relative_to(copies_dir()).parts if path.is_relative_to(copies_dir()) else ()
    return parts if len(parts) > 1 else ()
