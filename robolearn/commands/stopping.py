"""What Ctrl-C says where the same command goes on from what is finished."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from robolearn.errors import exit_status
from robolearn.paths import StrPath, url_of


@contextmanager
def goes_on(out: StrPath, finished: str = "episodes") -> Iterator[None]:
    """Say at Ctrl-C where what is finished is, and end with its status."""
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = f"the finished {finished} are in {url_of(out)}"
        print(f"\nstopped; {kept}, the same command goes on from there", file=sys.stderr)
        sys.exit(exit_status(stop))
