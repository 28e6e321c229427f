"""What is said of a stop where the same command goes on from what is finished."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from robolearn.errors import UnfinishedError, UserError, exit_status
from robolearn.paths import StrPath, url_of


@contextmanager
def goes_on(out: StrPath, finished: str = "episodes") -> Iterator[None]:
    """Say at Ctrl-C where what is finished is, and end with its status; and of a training that failed what goes on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = f"the finished {finished} are in {url_of(out)}"
        print(f"\nstopped; {kept}, the same command goes on from there", file=sys.stderr)
        sys.exit(exit_status(stop))
    except UnfinishedError as error:
        raise UserError(f"{error}; the same command goes on from there") from error
