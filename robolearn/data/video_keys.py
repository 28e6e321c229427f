"""The keys of a store that lie in videos, and what is wrong with their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from robolearn.data.container import Container
from robolearn.data.videos import StoredVideos
from robolearn.errors import UserError


class VideoKeys(Mapping[str, StoredVideos]):
    """Key -> its videos.

    Args:
        path: Of the store.
        places: Key -> place in the videos of each row, int64 [time, 2]: number of a video, and of the frame in it.
        ends: Gives the cumulative, exclusive ends of the episodes [e].
    """

    def __init__(self, path: Path, places: Callable[[str], np.ndarray], ends: Callable[[], np.ndarray]) -> None:
        self._path, self._places, self._ends = path, places, ends
        self._videos, self._whole = dict[str, StoredVideos](), set[str]()

    def __getitem__(self, key: str) -> StoredVideos:
        return self._videos[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def find(self, container: Container, keys: Iterable[str]) -> dict[str, str]:
        """Find the videos of these keys; give the keys whose videos cannot be read, and why."""
        refused = {}
        for key in keys:
            try:
                self._videos[key] = StoredVideos(container, key)
            except (UserError, OSError) as error:
                refused[key] = self._without_path(error)
        return refused

    def fault(self, key: str) -> str | None:
        """Say what is missing of the videos of a key; looked at once, but not while there is something."""
        if key not in self._whole:
            try:
                misplaced = self[key].misplaced(self._places(key))
            except UserError as error:
                misplaced = self._without_path(error)
            if misplaced:
                return f"data/{key} {misplaced}"
            if (lack := self[key].lack()) is not None:
                return f"{self._of_episodes(key, lack[0])} {lack[1]}"
            self._whole.add(key)
        return None

    def digest(self, key: str, wanted: np.ndarray | None) -> str:
        """Hash of what is shown in rows, bool [time]; in all when None.

        Raises:
            UserError: A video is not what was kept.
        """
        places = self._places(key)
        places = places if wanted is None else places[wanted]
        changed = self[key].changed(np.unique(places[:, 0]).tolist())
        if changed is not None:
            raise UserError(f"{self._path}: {self._of_episodes(key, changed)} is not what was kept; import it again")
        return self[key].digest(places)

    def _of_episodes(self, key: str, number: int) -> str:
        """A video, and which episodes it shows."""
        steps = np.flatnonzero(self._places(key)[:, 0] == number)
        shown = np.unique(np.searchsorted(self._ends(), steps, side="right"))
        which = f"episode {shown[0]}" if len(shown) == 1 else f"episodes {shown[0]} .. {shown[-1]}"
        return f"{self[key].names[number]}, of {which if len(shown) else 'no episode'},"

    def _without_path(self, error: Exception) -> str:
        return str(error).removeprefix(f"{self._path}: ")
