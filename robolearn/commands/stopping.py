"""What is said of a stop where the same command goes on from what is finished."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from robolearn.errors import UnfinishedError, UserError, exit_status
from robolearn.paths import StrPath, url_of


def going_on(*, overwrite: bool = False, out: StrPath | None = None) -> str:
    """Which command goes on.

    Args:
        overwrite: Whether the one that was stopped had --overwrite, with which it would begin anew.
        out: What it has to be given beside, since it had no --out.
    """
    beside = "" if out is None else f" with --out {url_of(out)}"
    return f"the same command{beside}{' without --overwrite' if overwrite else ''} goes on from there"


@contextmanager
def goes_on(out: StrPath, finished: str = "episodes", *, overwrite: bool = False) -> Iterator[None]:
    """Say at Ctrl-C where what is finished is, and end with its status; and of a training that failed what goes on."""
    again = going_on(overwrite=overwrite)
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = f"the finished {finished} are in {url_of(out)}"
        print(f"\nstopped; {kept}, {again}", file=sys.stderr)
        sys.exit(exit_status(stop))
    except UnfinishedError as error:
        raise UserError(f"{error}; {again}") from error
