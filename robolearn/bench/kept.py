"""A measurement in one file for a repository: the small JSON files below RUNS, by their path, in an xz stream."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from robolearn.config import parse_json, read_json
from robolearn.errors import UserError
from robolearn.files import replacing

Kept = Mapping[str, Any]
"""Path below RUNS -> what that file holds; it counts where RUNS has no such file."""
NOTHING: Kept = MappingProxyType({})
FILES = ("*/expert.json", "*/*/cost.json", "*/*/*/*/request.json", "*/*/*/*/result.json")


def read_kept(path: Path) -> Kept:
    """Open such a file.

    Raises:
        UserError: There is none, or it is damaged.
    """
    try:
        return parse_json(lzma.decompress(path.read_bytes()), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except lzma.LZMAError as error:
        raise UserError(f"{path}: no kept results ({error})") from None


def find(name: str, runs: Path, kept: Kept) -> Any | None:
    """What a file holds; None where it is nowhere."""
    return read_json(runs / name) if (runs / name).exists() else kept.get(name)


def pack(path: Path, runs: Path, kept: Kept) -> int:
    """Write everything that is finished, in RUNS or kept before; return how many files that are."""
    names = {str(file.relative_to(runs)) for pattern in FILES for file in runs.glob(pattern)}
    results = {name: find(name, runs, kept) for name in sorted({*names, *kept})}
    write_kept(path, results)
    return len(results)


def write_kept(path: Path, kept: Kept) -> None:
    """Write such a file."""
    text = json.dumps(kept, separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
