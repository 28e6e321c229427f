"""Training windows as an index: tensors stay where they are and a batch is one gather per key.

A window belongs to a step i of an episode. In a b c d e, with obs_horizon o = 2 and action_horizon t = 4:

    step        observations [i-o+1 .. i]    actions [i .. i+t-1]    mask
    a (first)   a a                          a b c d                 1 1 1 1
    c           b c                          c d e e                 1 1 1 0
    e (last)    d e                          e e e e                 1 0 0 0

With padding every step of an episode has a window, however short the episode (`splits.py` decides which are
used). The mask says which actions count: with padding "masked" those above, with "held" all of them, so that the
copies of the last action are learned as if the demonstrator had gone on with it.

Each episode is kept with its padding in place (o-1 copies of the first observation, t-1 of the last
action). A window is then a run of neighboring rows, and a strided view [rows, o, ...] of the same memory
hands whole windows to index_select: one copy per window, not one per row. Images are gathered row by row (a row
is long enough), so that they lie in memory once, for training and validation together; so are recordings that do
not fit into memory, from a memory map or out of videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robolearn.data import decode
from robolearn.data.checks import ends_problem
from robolearn.data.demos import Demos
from robolearn.data.keys import observed_problem
from robolearn.data.splits import Padding
from robolearn.data.store import DemoStore
from robolearn.data.streamed import StreamedImages
from robolearn.data.timing import AS_RECORDED, Timing
from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.types import Batch, is_image

MAX_RESIDENT_BYTES = 8 << 30


class Windows:
    """All windows of some episodes, numbered 0 .. len - 1 in the order of the steps; never across episodes.

    Args:
        obs: Key -> [time, ...], all episodes one after the other; images may be streamed.
        actions: [time, a].
        episode_ends: Cumulative, exclusive ends [e].
        obs_horizon: Past observations, now included; at least 1.
        action_horizon: Length of the chunk, at least 1; index 0 is the action to execute now.
        episodes: Numbers of the episodes to use; all when None.
        device: Where batches are made, and where the tensors live if resident.
        resident: False leaves the observations in the CPU's memory (a memory map) and moves only batches.
        padding: Steps behind the end of an episode: masked, they do not count; held, they count as repetitions
            of the last action.
        idle: First steps of each episode [e] that are left out, but for its last one; none when None.
        numbers: What the episodes are called [e], ascending, where they are some of a recording; 0 .. e - 1 when None.

    Attributes:
        cameras: How the images were recorded that are not seen as they were.

    Raises:
        UserError: A horizon below 1, no episodes or one that does not exist, an episode without steps,
            or lengths that disagree with `episode_ends`.
    """

    padding: Padding

    def __init__(
        self,
        obs: Mapping[str, Tensor | StreamedImages],
        actions: Tensor,
        episode_ends: np.ndarray | Sequence[int],
        obs_horizon: int,
        action_horizon: int,
        episodes: np.ndarray | Sequence[int] | None = None,
        device: str | torch.device = "cpu",
        resident: bool = True,
        padding: Padding = "masked",
        idle: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> None:
        ends = np.asarray(episode_ends)
        self._numbers = np.arange(len(ends)) if numbers is None else numbers
        self.episodes = self._numbers if episodes is None else np.asarray(episodes, dtype=np.int64)
        self.obs_horizon, self.action_horizon, self.padding = obs_horizon, action_horizon, padding
        self.device, self.cameras = torch.device(device), dict[str, ImageLayout]()
        self._validate(obs, actions, ends)
        chosen = np.searchsorted(self._numbers, self.episodes)
        starts, lengths = _spans(ends, idle, chosen, obs_horizon + action_horizon)
        rank, step = _steps(lengths)
        self._idle, self._rows = idle, torch.from_numpy(starts[rank] + step)  # of each window in the recording
        home = self.device if resident else torch.device("cpu")
        self._by_row = {key: _moved(rows, home) for key, rows in obs.items() if not resident or _are_images(rows)}
        self._recording = {**obs, **self._by_row, "action": actions}
        self._episode_ends, self._resident = ends, resident
        self._masks = _masks(action_horizon, padding).to(self.device)
        left = np.minimum(lengths[rank] - step, action_horizon)
        self._table = torch.from_numpy(_table(rank, left, obs_horizon, action_horizon)).to(self.device)
        padded = torch.from_numpy(_padded_rows(starts, lengths, 0, action_horizon - 1))
        self._actions = _strided(actions[padded].to(self.device), action_horizon)
        padded = torch.from_numpy(_padded_rows(starts, lengths, obs_horizon - 1, 0))
        runs = {key: rows for key, rows in obs.items() if key not in self._by_row and isinstance(rows, Tensor)}
        self._obs = {key: _strided(rows[padded].to(self.device), obs_horizon) for key, rows in runs.items()}
        if self._by_row:
            past = np.arange(1 - obs_horizon, 1, dtype=step.dtype)
            self._obs_rows = torch.from_numpy(starts[rank][:, None] + np.maximum(step[:, None] + past, 0)).to(home)

    @classmethod
    def from_store(
        cls,
        store: DemoStore | Demos,
        obs_keys: Sequence[str],
        obs_horizon: int,
        action_horizon: int,
        episodes: np.ndarray | Sequence[int] | None = None,
        device: str | torch.device = "cpu",
        cache_dir: str | Path | None = None,
        max_resident_bytes: int = MAX_RESIDENT_BYTES,
        padding: Padding = "masked",
        timing: Timing = AS_RECORDED,
        cameras: Mapping[str, ImageLayout] | None = None,
    ) -> Windows:
        """Read stores: into memory if it fits, else videos as they are, others through a copy that is decoded once.

        Args:
            store: Demonstrations, of one store or several.
            obs_keys: Keys to observe. Low-dimensional ones become float32, images stay (or become) uint8.
            obs_horizon: Past observations, now included.
            action_horizon: Length of the action chunk.
            episodes: Numbers of the episodes to use, as in the whole of which `store` may be a part; all when None.
            device: Where batches are made.
            cache_dir: Where decoded copies are kept; robolearn's folder in the user's cache when None.
            max_resident_bytes: Observations that take more, decoded, are streamed from videos or memory-mapped.
            padding: As for the class.
            timing: What is mended of when things happen.
            cameras: Key -> how images are recorded, where a policy has learned that already; by default measured.

        Raises:
            UserError: A key does not exist, has a wrong or another store's shape, a damaged chunk, NaN or infinity.
        """
        demos = store if isinstance(store, Demos) else Demos([store])
        obs, measured, resident = decode.decode_all(demos, obs_keys, cache_dir, max_resident_bytes, cameras or {})
        actions, ends = decode.decode(demos, "action", ()), demos.episode_ends
        idle = timing.idle([*_numbers(obs), actions], ends)
        data = (_tensors(obs), torch.from_numpy(timing.now(actions, ends)), ends)
        windows = cls(*data, obs_horizon, action_horizon, episodes, device, resident, padding, idle, demos.numbers)
        windows.cameras = measured
        return windows

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Tensor) -> Batch:
        """Gather windows; one copy per key.

        Args:
            index: Windows to take, int64 [b] in [0, len), in any order and with repetition.
        """
        observed, done, mask = self._table.index_select(1, index.to(self.device)).unbind()
        obs = {key: view.index_select(0, observed) for key, view in self._obs.items()}
        if self._by_row:
            rows = self._obs_rows.index_select(0, index.to(self._obs_rows.device))
            for key, recording in self._by_row.items():
                flat = _select(recording, rows.reshape(-1)).to(self.device)
                obs[key] = flat.unflatten(0, rows.shape)
        return Batch(obs, self._actions.index_select(0, done), self._masks.index_select(0, mask))

    @property
    def resident(self) -> bool:
        """Whether all observations are in memory; otherwise a batch is read from disk or decoded."""
        return self._resident and all(isinstance(rows, Tensor) for rows in self._by_row.values())

    def for_episodes(self, episodes: np.ndarray | Sequence[int]) -> Windows:
        """Windows of other episodes of the same recording; they share the memory of its images."""
        obs = dict(self._recording)
        actions = obs.pop("action")
        assert isinstance(actions, Tensor)
        windows = Windows(
            obs,
            actions,
            self._episode_ends,
            self.obs_horizon,
            self.action_horizon,
            episodes,
            self.device,
            self._resident,
            self.padding,
            self._idle,
            self._numbers,
        )
        windows.cameras = self.cameras
        return windows

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """Key -> shape of one observation."""
        return {key: tuple(rows.shape[1:]) for key, rows in self._recording.items() if key != "action"}

    @property
    def episode_of(self) -> np.ndarray:
        """Number of the episode of each window [len]."""
        return self._numbers[np.searchsorted(self._episode_ends, self._rows.numpy(), side="right")]

    def arrays(self) -> dict[str, Tensor]:
        """Rows [time, ...] of the chosen episodes per key but images ("action" too), unpadded: for statistics."""
        return {
            key: rows.index_select(0, self._rows)
            for key, rows in self._recording.items()
            if isinstance(rows, Tensor) and not _are_images(rows)
        }

    def _validate(self, obs: Mapping[str, Tensor | StreamedImages], actions: Tensor, ends: np.ndarray) -> None:
        if self.obs_horizon < 1 or self.action_horizon < 1:
            raise UserError(f"horizons must be at least 1, got obs {self.obs_horizon}, action {self.action_horizon}")
        problem = ends_problem(ends)
        if problem:
            raise UserError(problem)
        if len(self.episodes) == 0:
            raise UserError("no episodes chosen")
        outside = self.episodes[~np.isin(self.episodes, self._numbers)]
        if len(outside):
            raise UserError(f"no episode {outside[0]}; there are {self._numbers[0]} .. {self._numbers[-1]}")
        if "action" in obs:
            raise UserError(f"observations: {observed_problem('action')}")
        for key, rows in {**obs, "action": actions}.items():
            if len(rows) != ends[-1]:
                raise UserError(f"data/{key} has {len(rows)} rows but the last episode ends at {ends[-1]}")


def _numbers(obs: Mapping[str, np.ndarray | StreamedImages]) -> list[np.ndarray]:
    """What is no image."""
    return [rows for rows in obs.values() if isinstance(rows, np.ndarray) and rows.ndim < 4]


def _tensors(obs: Mapping[str, np.ndarray | StreamedImages]) -> dict[str, Tensor | StreamedImages]:
    return {key: torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows for key, rows in obs.items()}


def _are_images(rows: Tensor | StreamedImages) -> bool:
    return is_image(tuple(rows.shape[1:]))


def _moved(rows: Tensor | StreamedImages, home: torch.device) -> Tensor | StreamedImages:
    """Rows in the memory of a device, but for those that stay in videos."""
    return rows.to(home) if isinstance(rows, Tensor) else rows


def _select(recording: Tensor | StreamedImages, rows: Tensor) -> Tensor:
    """Rows [n] of a recording [time, ...]."""
    return recording.index_select(0, rows) if isinstance(recording, Tensor) else recording.take(rows)


def _spans(
    ends: np.ndarray, idle: np.ndarray | None, chosen: np.ndarray, padding: int
) -> tuple[np.ndarray, np.ndarray]:
    """First row with a window and rows from there on of each chosen episode: behind idle ones, one in any case."""
    starts = np.minimum(np.concatenate([[0], ends[:-1]]) + (0 if idle is None else idle), ends - 1)[chosen]
    lengths = ends[chosen] - starts
    kind = narrow_kind(lengths, padding, rows=int(ends[-1]))
    return starts.astype(kind), lengths.astype(kind)


def narrow_kind(lengths: np.ndarray, padding: int, *, rows: int) -> type[np.signedinteger[Any]]:
    """The type that numbers of rows need, as the tables of a small recording take more memory than itself.

    Args:
        lengths: Steps of each episode [e].
        padding: At most so many rows are added to each.
        rows: Of the whole recording.
    """
    return np.int32 if max(rows, lengths.sum() + len(lengths) * padding) < 2**31 else np.int64


def _begins(lengths: np.ndarray) -> np.ndarray:
    """Where each of some runs of so many rows begins, one behind the other."""
    return np.cumsum(lengths, dtype=lengths.dtype) - lengths


def _steps(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the episode of each step among the chosen ones, and the step's number in it."""
    kind = lengths.dtype
    rank = np.repeat(np.arange(len(lengths), dtype=kind), lengths)
    return rank, np.arange(len(rank), dtype=kind) - np.repeat(_begins(lengths), lengths)


def _table(rank: np.ndarray, left: np.ndarray, obs_horizon: int, action_horizon: int) -> np.ndarray:
    """Of each window: where its runs of observations and of actions begin in padded rows, and its mask [3, len].

    One table, as every reading of one takes time of its own; masks of all windows would grow with the horizon.
    """
    begins = (
        np.arange(len(rank), dtype=rank.dtype) + rank * (horizon - 1) for horizon in (obs_horizon, action_horizon)
    )
    return np.stack([*begins, left])


def _masks(horizon: int, padding: Padding) -> Tensor:
    """Which actions of a window count [horizon + 1, horizon], by how many steps are left of its episode."""
    recorded = torch.arange(horizon) < torch.arange(horizon + 1)[:, None]
    return torch.ones_like(recorded) if padding == "held" else recorded


def _padded_rows(starts: np.ndarray, lengths: np.ndarray, front: int, back: int) -> np.ndarray:
    """Rows of each episode in turn, with `front` copies of its first before and `back` of its last after."""
    padded = lengths + front + back
    step = np.arange(padded.sum(), dtype=lengths.dtype) - np.repeat(_begins(padded), padded) - front
    return np.repeat(starts, padded) + np.clip(step, 0, np.repeat(lengths - 1, padded))


def _strided(rows: Tensor, horizon: int) -> Tensor:
    """View [time, ...] as all runs of `horizon` rows [time - horizon + 1, horizon, ...], without a copy."""
    shape = (len(rows) - horizon + 1, horizon, *rows.shape[1:])
    return rows.contiguous().as_strided(shape, (rows.stride(0), *rows.stride()))
