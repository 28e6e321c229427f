"""What meta/info.json says, with its oddities."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robolearn.errors import UserError
from robolearn.formats.lerobot.files import read_text
from robolearn.formats.stored import NOTE, Note

INFO = "meta/info.json"
VERSION = re.compile(r"v?(\d+)(\.\d+)*")
KNOWN = (2, 3)  # first numbers of the versions that are read


@dataclass(frozen=True)
class Feature:
    """A column, or a camera.

    Attributes:
        dtype: As it stands there: "float32", "video", "image" ...
        shape: Of one step; empty where it is not said.
        names: A name for each number of a step; empty where there are none, or not as many.
        channels: Of a camera's image: 1, 3 or 4.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    channels: int = 3


@dataclass(frozen=True)
class Info:
    """What is said of the whole data set.

    Attributes:
        version: As it stands there; empty where it does not.
        fps: Steps per second; None where it is not said.
        features: Column or camera -> what it is.
        splits: Name -> (first episode, one behind the last).
        data_path: Template of the tables' names; None where there is none.
        video_path: Template of the videos' names; None where there is none.
        total_episodes: How many there should be; None where it is not said.
        note: Of the store that it was made of; None where it was made of none.
    """

    version: str
    fps: float | None
    robot: str
    features: dict[str, Feature]
    splits: dict[str, tuple[int, int]] = field(default_factory=dict)
    data_path: str | None = None
    video_path: str | None = None
    total_episodes: int | None = None
    note: Note | None = None

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the features that are videos or images."""
        return tuple(name for name, feature in self.features.items() if feature.dtype in ("video", "image"))


def read_info(root: Path) -> Info:
    """Read meta/info.json.

    Raises:
        UserError: It is missing, empty, no object, names no features, or is of a version that is not known.
    """
    path = root / INFO
    text = read_text(path)
    try:
        raw = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); download it again") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} is a {type(raw).__name__}, expected an object with codebase_version, fps and features")
    if not raw:
        raise UserError(f"{path} is empty, so it does not say what the data set holds; download it again")
    version = _version(path, raw.get("codebase_version"))
    features = raw.get("features")
    if not isinstance(features, dict) or not features:
        raise UserError(f"{path} names no features, the columns and cameras of the data set; download it again")
    fps = raw.get("fps")
    return Info(
        version=version,
        fps=float(fps) if isinstance(fps, int | float) and math.isfinite(fps) and fps > 0 else None,
        robot=raw["robot_type"] if isinstance(raw.get("robot_type"), str) else "",
        features={name: _feature(entry) for name, entry in features.items()},
        splits=_splits(raw.get("splits")),
        data_path=_text(raw.get("data_path")),
        video_path=_text(raw.get("video_path")),
        total_episodes=raw["total_episodes"] if isinstance(raw.get("total_episodes"), int) else None,
        note=Note.from_json(raw[NOTE], str(path)) if NOTE in raw else None,
    )


def _version(path: Path, raw: Any) -> str:
    if raw is None:
        return ""
    match = VERSION.fullmatch(str(raw))
    if match is None:
        raise UserError(f"{path}: codebase_version {raw!r:.40} is none; v2.0, v2.1 and v3.0 are read")
    if int(match[1]) < KNOWN[0]:
        raise UserError(
            f"{path}: codebase_version {raw} is older than v2.0, v2.1 and v3.0, which are read; "
            "convert it with the scripts of the lerobot release that followed it"
        )
    if int(match[1]) > KNOWN[-1]:
        raise UserError(f"{path}: codebase_version {raw} is newer than v2.0, v2.1 and v3.0, which are read")
    return str(raw)


def _text(raw: Any) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _feature(raw: Any) -> Feature:
    entry: dict[str, Any] = raw if isinstance(raw, dict) else {}
    sizes: Any = entry.get("shape") if isinstance(entry.get("shape"), list) else []
    shape = tuple(sizes) if all(isinstance(size, int) and size >= 0 for size in sizes) else ()
    names = _names(entry.get("names"))
    dtype = str(entry.get("dtype", ""))
    if dtype in ("video", "image"):
        return Feature(dtype, shape, (), _channels(shape, names))
    return Feature(dtype, shape, names if len(names) == math.prod(shape) else ())


def _names(raw: Any) -> tuple[str, ...]:
    """Names however they are nested: a list, lists in a list or in an object, or an object of name -> position."""
    if isinstance(raw, dict) and raw and all(isinstance(value, int) for value in raw.values()):
        return tuple(str(name) for name in sorted(raw, key=raw.__getitem__))
    parts = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return tuple(name for part in parts for name in ((part,) if isinstance(part, str) else _names(part)))


def _channels(shape: tuple[int, ...], names: tuple[str, ...]) -> int:
    """Number of channels of an image, whose axes may be named; otherwise they are last, or first."""
    if len(shape) != 3:
        return 3
    named = [size for size, name in zip(shape, names, strict=False) if name.startswith("channel")]
    return next((size for size in (*named, shape[-1], shape[0]) if size in (1, 3, 4)), 3)


def _splits(raw: Any) -> dict[str, tuple[int, int]]:
    splits = {}
    for name, text in raw.items() if isinstance(raw, dict) else ():
        match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text) if isinstance(text, str) else None
        if match:
            splits[str(name)] = (int(match[1]), int(match[2]))
    return splits
