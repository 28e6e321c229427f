"""How commands end when the user gave something that cannot work: one line, no traceback, exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a ValueError into one line on stderr and exit status 2; everything else is a defect and keeps its traceback."""
    try:
        yield
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
