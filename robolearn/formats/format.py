"""What a format is: how it is recognized, read and written."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn.data.attrs import StoreAttrs
from robolearn.data.keys import file_problem
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.kept import KeptVideos
from robolearn.keymap import KeyMap
from robolearn.types import Episode

REWARD, TASK = "reward", "task"  # the key of rewards [time, 1], and the number of an episode's text in `attrs.tasks`

NO_CAMERAS = "none"


@dataclass(frozen=True)
class ImportOptions:
    """What of a source is read."""

    episodes: int | None = None
    """Number of episodes from the first on; by default all."""
    cameras: tuple[str, ...] | None = None
    """Cameras to read, by the names of the source or of the store; the word none for no images, by default all."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels that images are scaled to; by default their own."""
    video: Literal["decode", "keep"] = "decode"
    """Decode videos to images once, or keep them as they are: frames are then decoded when they are asked for."""
    env_id: str | None = None
    """Environment that they were recorded in, as gymnasium names it; by default what the source says."""
    obs: tuple[str, ...] = ()
    """Keys made of those of the source, in whose place they are written: NEW=SOURCE, as in img=pixels
    agent_pos=state[:2] state=qpos+qvel action=act; a policy then sees these unless others are named."""

    drop_keys: tuple[str, ...] = ()
    """Keys of the source that are left out, by their names in the store."""
    drop_nan: bool = False
    """Leave out episodes that hold NaN or infinity, and say which, instead of stopping at the first."""

    def __post_init__(self) -> None:
        for problem in filter(None, map(file_problem, self.keymap.names)):
            raise UserError(f"`obs`: {problem}")
        if self.episodes is not None and self.episodes < 1:
            raise UserError(f"`episodes` {self.episodes} must be at least 1")
        if self.image_size is not None and min(self.image_size) < 1:
            raise UserError(f"`image_size` {self.image_size[0]} {self.image_size[1]} must be pixels, at least 1")

    @property
    def keymap(self) -> KeyMap:
        """What `obs` says."""
        return KeyMap.parse(self.obs, "obs")

    def choose_cameras(self, there: Mapping[str, str]) -> tuple[str, ...]:
        """The names in the source of the cameras that are wanted.

        Args:
            there: Name in the source -> key in the store, of all cameras.

        Raises:
            UserError: There is no camera of a name.
        """
        if self.cameras is None:
            return tuple(there)
        if self.cameras == (NO_CAMERAS,) and NO_CAMERAS not in (*there, *there.values()):
            return ()
        for name in self.cameras:
            if name not in there and name not in there.values():
                choices = f"there are: {', '.join(there.values())}" if there else "there are none"
                raise UserError(f"`cameras` {name}: no camera is called so ({choices}); {NO_CAMERAS} for no images")
        return tuple(name for name, key in there.items() if name in self.cameras or key in self.cameras)


@dataclass(frozen=True)
class Recording:
    """What was found in a source, before any of it is written.

    Attributes:
        attrs: Facts for the store.
        episodes: One after the other, each read when it is asked for, so that memory does not grow with the source.
            All have the same keys and attributes. Whoever reads them may raise a UserError.
        lost: What the source has and a store cannot hold, a sentence each.
        num_episodes: How many there are going to be, for a bar; None where that is only known at the end.
        names: What the source calls the episodes; by default their numbers are named.
        videos: Keys whose rows in the episodes are places of frames in videos that are kept; complete once the
            episodes have been read.
    """

    attrs: StoreAttrs
    episodes: Iterable[Episode]
    lost: Sequence[str] = ()
    num_episodes: int | None = None
    names: Sequence[str] = ()
    videos: Mapping[str, KeptVideos] = field(default_factory=dict)

    def name_of(self, number: int) -> str:
        """What an episode is called."""
        return self.names[number] if self.names else f"episode {number}"


@dataclass(frozen=True)
class ExportOptions:
    """What a target asks for and a store may not say."""

    fps: float | None = None
    """Steps per second; by default what the store says."""
    task: str | None = None
    """Text that says what is done; by default the store's texts, or its environment."""
    episodes: int | None = None
    """Number of episodes from the first on; by default all."""
    images: Literal["video", "exact"] = "video"
    """How images are kept where the format has a choice: small as videos, or with every pixel as it is."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1e6:
            raise UserError(f"`fps` {self.fps:g} must be above 0 and at most 1e6")
        if self.episodes is not None and self.episodes < 1:
            raise UserError(f"`episodes` {self.episodes} must be at least 1")


@dataclass(frozen=True)
class Format:
    """A format of demonstrations.

    Attributes:
        about: What it is and where it comes from, in a few words.
        read: Look at a file or folder and say what is in it; raises a UserError. None where it is not read.
        write: Write a store to a path at which nothing is, and return what the format cannot hold, a sentence each;
            raises a UserError. None where it is not written.
        recognize: Whether a path is of this format, by names and first bytes alone.
        packages: What has to be installed, by the names that are imported.
    """

    about: str
    read: Callable[[Path, ImportOptions], Recording] | None = None
    write: Callable[[DemoStore, Path, ExportOptions], tuple[str, ...]] | None = None
    recognize: Callable[[Path], bool] = lambda path: False
    packages: tuple[str, ...] = ()

    def absent(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.packages if importlib.util.find_spec(package) is None]

    def require_packages(self, name: str) -> None:
        """Raise a UserError that says what to install unless all packages are there."""
        if absent := self.absent():
            raise UserError(
                f"format {name} needs {' and '.join(absent)}, not installed here; "
                "install with: pip install 'robolearn[formats]'"
            )
