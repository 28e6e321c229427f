"""The page."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_page(out: Path, results: dict[str, Any]) -> None:
    """Write it."""
