"""Recordings as a simulator learns from them: changes of the state take the place of actions.

An episode of states s_0 .. s_T-1 and actions a_0 .. a_T-1 becomes an episode of T - 1 steps in a store of its own,
from which `train` trains like from any other:

    state     s_t                       what a policy would observe
    before    s_t - s_t-1, ...          changes before it, the latest first, 0 before the beginning
    plan      a_t .. a_t+H-1            the last action repeated behind the end
    action    s_t+1 - s_t               what a policy would do: its chunk is the next changes

What the last action led to is not recorded. That it ended the episode is, as a number per episode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore, default_obs_keys
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError, remark
from robolearn.types import Array, Episode, is_image

STATE, BEFORE, PLAN = "state", "before", "plan"
ENDING = "ending"  # number per episode


class Ends(IntEnum):
    """What the last action of an episode led to."""

    UNKNOWN = -1
    NOTHING = 0
    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class Recording:
    """One episode.

    Attributes:
        states: Before each action.
        actions: Executed there.
        ends: What the last action led to.
    """

    states: Float[np.ndarray, "t s"]
    actions: Float[np.ndarray, "t a"]
    ends: Ends

    def __len__(self) -> int:
        return len(self.actions)


def read_recordings(demos: Demos, keys: Sequence[str], *, assume_success: bool = False) -> list[Recording]:
    """All episodes of two steps or more.

    A successful episode has ended with its success. Of another one it is known that it ended where the store says
    ``ended``, per episode, as `record_episodes` writes it: without that nobody knows whether its time was up.

    Args:
        demos: The stores.
        keys: Observations that make the state.
        assume_success: Whether episodes of a store that does not say so count as successful.

    Raises:
        UserError: A store lacks a key or does not say which episodes were successful, or none was.
    """
    rows = {key: np.concatenate([slab for _, _, slab in demos.slabs(key)]) for key in (*keys, "action")}
    states = np.concatenate([rows[key].reshape(len(rows[key]), -1) for key in keys], axis=1, dtype=np.float32)
    cuts = demos.episode_ends[:-1]
    ends = np.concatenate([_ends_of(store, assume_success) for store in demos.stores])
    if not (ends == Ends.SUCCESS).any():
        raise UserError(f"{demos.name}: no episode was successful, so that nothing tells what success is")
    if short := int((np.diff(demos.episode_ends, prepend=0) < 2).sum()):
        remark(f"{demos.name}: {short} of {len(ends)} episodes are left out, as a single step has none after it")
    parts = zip(np.split(states, cuts), np.split(rows["action"].astype(np.float32), cuts), ends, strict=True)
    return [Recording(s, a, Ends(int(end))) for s, a, end in parts if len(a) > 1]


def _ends_of(store: DemoStore, assume_success: bool) -> Int[Array, " e"]:
    success, ended = (store.episode_attrs.get(name) for name in ("success", "ended"))
    if success is None and not assume_success:
        raise UserError(
            f"{store.path}: meta/success is missing, which says what episodes led to; if all of them succeeded, give "
            "`assume_success`"
        )
    if success is None:
        return np.full(store.num_episodes, Ends.SUCCESS)
    if ended is not None and (success.astype(bool) & ~ended.astype(bool)).any():
        raise UserError(
            f"{store.path}: episodes succeed and go on until their time is up, so that nothing tells when they did; "
            "record them with `env.stop_on_success`"
        )
    otherwise = Ends.UNKNOWN if ended is None else np.where(ended.astype(bool), Ends.FAILURE, Ends.NOTHING)
    return np.where(success.astype(bool), Ends.SUCCESS, otherwise)


def hash_recordings(recordings: Sequence[Recording]) -> str:
    """sha256 over all that is learned from: lengths, states, actions and how episodes ended."""
    digest = hashlib.sha256()
    for one in recordings:
        digest.update(f"{one.states.shape} {one.actions.shape} {int(one.ends)}".encode())
        for rows in (one.states, one.actions):
            digest.update(np.ascontiguousarray(rows, "<f4").data)
    return digest.hexdigest()


def state_keys(demos: Demos, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Observations that make the state.

    Raises:
        UserError: A store lacks one that is asked for, it is an image, or there is nothing but images.
    """
    first = demos.stores[0]
    keys = tuple(asked or [key for key in default_obs_keys(first) if not is_image(first.shapes[key])])
    if not keys:
        raise UserError(f"{demos.name} shows images alone; the state of a learned simulator is made of numbers")
    if seen := [key for key in keys if is_image(demos.shape(key))]:
        raise UserError(f"`obs_keys` {seen[0]} is an image; the state of a learned simulator is made of numbers")
    return keys


def changes_before(states: Float[np.ndarray, "t s"], history: int) -> Float[np.ndarray, "t m"]:
    """The history - 1 changes that led to each state, the latest first; 0 before the beginning."""
    changes = np.diff(states, axis=0, prepend=states[:1])
    padded = np.concatenate([np.zeros((history, states.shape[1]), np.float32), changes])
    length = len(states)
    late = [padded[history - k : history - k + length] for k in range(history - 1)]
    return np.concatenate([np.zeros((length, 0), np.float32), *late], axis=1)


def as_demonstration(recording: Recording, horizon: int, history: int) -> Episode:
    """What a family learns changes from."""
    states, actions, last = recording.states, recording.actions, len(recording) - 1
    ahead = np.minimum(np.arange(last)[:, None] + np.arange(horizon), last)
    obs = {STATE: states[:-1], PLAN: actions[ahead].reshape(last, -1)}
    if history > 1:
        obs[BEFORE] = changes_before(states, history)[:-1]
    return Episode(obs, np.diff(states, axis=0), {ENDING: int(recording.ends)})


def write_transitions(
    path: Path, recordings: Sequence[Recording], attrs: StoreAttrs, horizon: int, history: int
) -> None:
    """Write the store that a simulator is trained from."""
    with DemoWriter.begin(path, attrs=attrs) as store:
        store.extend([as_demonstration(recording, horizon, history) for recording in recordings])
