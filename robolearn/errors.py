"""How commands end when the user gave something that cannot work: one line, no traceback, exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a ValueError or a refusal of the operating system into one line on stderr and exit status 2.

    Everything else is a defect and keeps its traceback.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
