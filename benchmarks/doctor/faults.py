"""Faults of random strength, planted into arrays of clean episodes: what was planted, and what is to find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from robolearn.doctor import actions, angles, dimensions, duplicates, episodes
from robolearn.doctor.recording import Recording
from robolearn.doctor.registry import Check
from robolearn.types import Array

TURN = 2 * np.pi
FASTEST = 0.1  # [rad] per step, on average


@dataclass
class Planted:
    """A recording with a fault.

    Attributes:
        recording: All of it.
        key: Where the fault is; None where it is of whole episodes.
        dims: Dimensions of the key that have it.
        episodes: Episodes that have it; empty where it is of all.
    """

    recording: Recording
    key: str | None = None
    dims: tuple[int, ...] = ()
    episodes: tuple[int, ...] = ()


Plant = Callable[[Recording, float, np.random.Generator], Planted]
"""Takes clean episodes, the seconds of a step, and a generator."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        plant: Puts it in.
        check: What is to find it.
        says: Name of the finding.
        word: Must stand in its sentence.
    """

    plant: Plant
    check: Check
    says: str
    word: str = ""


def with_rows(clean: Recording, key: str, rows: Array) -> Recording:
    """The same with other rows of a key."""
    return Recording(clean.ends, {**clean.rows, key: rows}, clean.attrs)


def pick(clean: Recording, rng: np.random.Generator, most: float = 0.03) -> list[int]:
    """A few episodes."""
    count = len(clean.ends)
    return sorted(rng.choice(count, rng.integers(1, max(1, int(most * count)) + 1), replace=False).tolist())


def beside(clean: Recording, numbers: Array) -> Planted:
    """The state with more numbers [time, d] at a random place of it."""
    state = clean.rows["state"]
    rows = np.concatenate([state, numbers.astype(np.float32)], axis=1)
    first = state.shape[1]
    return Planted(with_rows(clean, "state", rows), "state", tuple(range(first, rows.shape[1])))


def smooth(clean: Recording, rng: np.random.Generator, scale: Array) -> Array:
    """Walks [time, d] that end up to `scale` [e, d] away from 0, smooth, a new one in each episode."""
    parts = []
    for length, reach in zip(clean.lengths, scale, strict=True):
        knots = rng.normal(size=(6, scale.shape[1]))
        at = np.linspace(0, 5, length)
        wave = np.stack([np.interp(at, np.arange(6), k) for k in knots.T], 1)
        kernel = np.ones(max(1, length // 6)) / max(1, length // 6)
        wave = np.stack(
            [np.convolve(np.pad(w, len(kernel), mode="edge"), kernel, "same")[len(kernel) :][:length] for w in wave.T],
            1,
        )
        wave -= wave[0]
        parts.append(wave * reach / np.maximum(np.abs(wave).max(0), 1e-9))
    return np.concatenate(parts)


# ---- what goes round


def heading(clean: Recording, rng: np.random.Generator, turns: tuple[float, float]) -> Array:
    """A heading [time] that goes on without wrapping: from anywhere, by so many turns."""
    scale = np.minimum(TURN * rng.uniform(*turns, len(clean.ends)), FASTEST * clean.lengths)[:, None]
    start = rng.uniform(0, TURN, len(clean.ends))
    return smooth(clean, rng, scale)[:, 0] + start[clean.episode_of]


def unwrapped(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """The angle of the set itself, or a heading, that runs on; sometimes from several turns away."""
    away = TURN * np.rint(rng.normal(0, rng.choice([0.0, 1.0]), len(clean.ends)))[clean.episode_of]
    if clean.rows["state"].shape[1] == 5:  # the block's angle of Push-T
        state = clean.rows["state"].astype(np.float64)
        parts = np.split(state[:, 4], clean.ends[:-1])
        state[:, 4] = np.concatenate([np.unwrap(part) for part in parts]) + away
        return Planted(with_rows(clean, "state", state), "state", (4,))
    return beside(clean, (heading(clean, rng, (0.5, 2.5)) + away)[:, None])


def wrapped(turn: float) -> Plant:
    """A heading that wraps, in rad or degrees, at 0 or at half a turn."""

    def plant(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
        angle = heading(clean, rng, (0.3, 1.5)) * turn / TURN
        low = rng.choice([0.0, -turn / 2])
        return beside(clean, ((angle - low) % turn + low)[:, None])

    return plant


def rotations(clean: Recording, rng: np.random.Generator) -> Array:
    """Quaternions [time, 4] that turn smoothly from near one another."""
    vector = smooth(clean, rng, rng.uniform(0.3, 2.5, (len(clean.ends), 3))) / 2
    size = np.linalg.norm(vector, axis=1, keepdims=True)
    turned = np.concatenate([np.cos(size), vector * np.sinc(size / np.pi)], axis=1)
    order = rng.permutation(4)
    return turned[:, order]


def flipped(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """A quaternion that changes its sign at some steps of some episodes."""
    q, odd = rotations(clean, rng), pick(clean, rng, 0.5)
    for i in odd:
        for step in rng.integers(1, clean.lengths[i], rng.integers(1, 6)):
            q[clean.starts[i] + step : clean.ends[i]] *= -1
    return replace(beside(clean, q), episodes=tuple(odd))


def other_sign(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """A quaternion that has the other sign throughout some episodes."""
    q, odd = rotations(clean, rng), pick(clean, rng, 0.4)
    q[np.isin(clean.episode_of, odd)] *= -1
    return replace(beside(clean, q), episodes=tuple(odd))


# ---- actions


def late(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Actions that are recorded 0.25 to 0.5 s after they were given."""
    steps = max(2, round(rng.uniform(0.25, 0.5) / dt))
    rows = np.maximum(np.arange(len(clean.episode_of)) - steps, clean.starts[clean.episode_of])
    return Planted(with_rows(clean, "action", clean.rows["action"][rows]), "action")


def followed(clean: Recording) -> tuple[Array, list[int]]:
    """The state's numbers that the actions follow, and which actions these are."""
    pairs = [(m.dim, m.key, m.other) for m in actions.find_matches(clean) if m.is_absolute]
    state = np.stack([clean.rows[key][:, other] for _, key, other in pairs], 1).astype(np.float64)
    return state, [dim for dim, _, _ in pairs]


def as_state(ahead: int) -> Plant:
    """Actions that equal the state of the same step, or of the next."""

    def plant(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
        state, _ = followed(clean)
        rows = np.minimum(np.arange(len(state)) + ahead, (clean.ends - 1)[clean.episode_of])
        return Planted(with_rows(clean, "action", state[rows]), "action")

    return plant


def delta(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Actions that are the state's next change, with some noise."""
    state, _ = followed(clean)
    change = np.append(np.diff(state, axis=0), state[:1] * 0, axis=0)
    change[clean.ends - 1] = 0
    change += rng.uniform(0, 0.3) * change.std(0) * rng.normal(size=change.shape)
    return Planted(with_rows(clean, "action", change), "action")


def gripper(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """One more action with two values, a little noise, and few changes."""
    open_at = rng.uniform(0.1, 0.8, len(clean.ends))
    step = np.arange(len(clean.episode_of)) - clean.starts[clean.episode_of]
    closed = step > (open_at * clean.lengths)[clean.episode_of]
    low = rng.uniform(-1, 1)
    high = low + rng.uniform(0.2, 2)
    channel = np.where(closed, high, low) + rng.uniform(0, 0.03) * (high - low) * rng.normal(size=len(step))
    rows = np.concatenate([clean.rows["action"], channel[:, None]], axis=1)
    return Planted(with_rows(clean, "action", rows), "action", (rows.shape[1] - 1,))


# ---- dimensions and episodes


def constant(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """A number that is constant but for rounding."""
    state = clean.rows["state"].astype(np.float64)
    dim = int(rng.integers(state.shape[1]))
    level = rng.normal() * 10.0 ** rng.uniform(-1, 3)
    state[:, dim] = level * (1 + 10.0 ** rng.uniform(-9, -5.3) * rng.normal(size=len(state)))
    planted = Planted(with_rows(clean, "state", state), "state", (dim,))
    planted.recording.columns += [c for k, r in planted.recording.rows.items() for c in _columns(k, r)]
    return planted


def _columns(key: str, rows: Array):
    from robolearn.doctor.recording import columns_of

    return columns_of(key, rows)


def glitch(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """One to three numbers far away, of one dimension."""
    key = str(rng.choice(list(clean.rows)))
    rows = clean.rows[key].astype(np.float64)
    dim = int(rng.choice([d for d, _ in clean.varying(key)]))
    at = rng.choice(len(rows), rng.integers(1, 4), replace=False)
    rows[at, dim] += rng.choice([-1, 1]) * 10 ** rng.uniform(2.3, 5) * np.ptp(rows[:, dim])
    return Planted(with_rows(clean, key, rows), key, (dim,))


def rebuilt(clean: Recording, order: list[Array]) -> Recording:
    """Episodes made of these rows of the clean ones."""
    ends = np.cumsum([len(rows) for rows in order])
    whole = np.concatenate(order)
    return Recording(ends, {key: rows[whole] for key, rows in clean.rows.items()}, clean.attrs)


def spans(clean: Recording) -> list[Array]:
    """Rows of each episode."""
    return [np.arange(a, b) for a, b in zip(clean.starts, clean.ends, strict=True)]


def odd_length(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Episodes that were cut off early, or held for long."""
    order, odd = spans(clean), pick(clean, rng)
    spread = np.ptp(np.log(clean.lengths))
    for i in odd:
        median = float(np.median(clean.lengths))
        factor = np.exp(spread + rng.uniform(0.8, 1.5))
        size = int(median / factor) if rng.random() < 0.5 and median / factor >= 2 else int(median * factor)
        order[i] = (
            np.resize(order[i], size)
            if size <= len(order[i])
            else np.pad(order[i], (0, size - len(order[i])), mode="reflect")
        )
    return Planted(rebuilt(clean, order), episodes=tuple(odd))


def odd_values(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Episodes that are far away in some dimensions: another frame, another unit, a sensor with an offset."""
    state, odd = clean.rows["state"].astype(np.float64), pick(clean, rng)
    varying = [dim for dim, _ in clean.varying("state")]
    dims = rng.choice(varying, rng.integers(1, len(varying) + 1), replace=False)
    for i in odd:
        rows = slice(clean.starts[i], clean.ends[i])
        state[rows, dims] += rng.choice([-1, 1]) * rng.uniform(1.2, 5) * np.ptp(clean.rows["state"][:, dims], axis=0)
    return Planted(with_rows(clean, "state", state), "state", (), tuple(odd))


def idle(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Episodes that begin by waiting, with some noise of the sensors."""
    order, odd = spans(clean), pick(clean, rng, 1.0)
    odd = sorted({*odd, *rng.choice(len(order), max(1, len(order) // 5), replace=False).tolist()})
    waits = {i: int(rng.integers(12, 50)) for i in odd}
    order = [np.concatenate([np.full(waits.get(i, 0), rows[0]), rows]) for i, rows in enumerate(order)]
    recording = rebuilt(clean, order)
    level = rng.uniform(0, 0.03)
    for key in ("state", "action"):
        rows = recording.rows[key].astype(np.float64)
        change = np.abs(np.diff(rows, axis=0))
        usual = np.array([np.median(c[c > 0]) if (c > 0).any() else 0.0 for c in change.T])
        usual *= (change > 0).mean(0) > 0.5  # flags have no noise
        recording.rows[key] = rows + (level * usual * rng.normal(size=rows.shape) if key == "state" else 0)
    return Planted(recording, episodes=tuple(odd))


def copies(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Episodes that are there twice, number for number."""
    order, twice = spans(clean), pick(clean, rng, 0.2)
    return Planted(
        rebuilt(clean, order + [order[i] for i in twice]), episodes=tuple(range(len(order), len(order) + len(twice)))
    )


def near_copies(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Episodes that are there twice, the second time with a little noise."""
    planted = copies(clean, dt, rng)
    new = planted.recording.episode_of >= min(planted.episodes)
    level = 10 ** rng.uniform(-6, -2.8)
    for key, rows in planted.recording.rows.items():
        noise = level * np.ptp(rows, axis=0) * rng.normal(size=rows.shape)
        planted.recording.rows[key] = rows + np.where(new[:, None], noise, 0)
    return planted


def cut_copies(clean: Recording, dt: float, rng: np.random.Generator) -> Planted:
    """Parts of episodes that are there once more: a beginning or an end."""
    order, twice = spans(clean), pick(clean, rng, 0.2)
    parts = []
    for i in twice:
        size = max(8, int(len(order[i]) * rng.uniform(0.3, 0.95)))
        parts.append(order[i][:size] if rng.random() < 0.5 else order[i][-size:])
    return Planted(rebuilt(clean, order + parts), episodes=tuple(range(len(order), len(order) + len(twice))))


FAULTS: dict[str, Fault] = {
    "angle runs on": Fault(unwrapped, angles.unwrapped_angles, "unwrapped angles"),
    "angle wraps, rad": Fault(wrapped(TURN), angles.wrapped_angles, "wrapped angles"),
    "angle wraps, degrees": Fault(wrapped(360.0), angles.wrapped_angles, "wrapped angles", "in rad"),
    "quaternion flips": Fault(flipped, angles.quaternion_flips, "quaternion flips"),
    "quaternion of the other sign": Fault(other_sign, angles.quaternion_flips, "quaternion flips"),
    "actions late by 0.25 to 0.5 s": Fault(late, actions.follows, "lagging actions"),
    "actions equal the state": Fault(as_state(0), actions.follows, "lagging actions", "same step"),
    "actions equal the next state": Fault(as_state(1), actions.follows, "next state"),
    "actions are changes": Fault(delta, actions.follows, "kind of actions", "changes of"),
    "gripper channel": Fault(gripper, actions.switched, "gripper channels"),
    "constant but for rounding": Fault(constant, dimensions.near_constant, "near-constant dimensions"),
    "glitch": Fault(glitch, dimensions.glitches, "glitches"),
    "episode of odd length": Fault(odd_length, episodes.outlying_lengths, "outlying episodes"),
    "episode far away": Fault(odd_values, episodes.outlying_values, "outlying episodes"),
    "idle beginnings": Fault(idle, episodes.idle_beginnings, "idle beginnings"),
    "copies": Fault(copies, duplicates.duplicates, "duplicates"),
    "near copies": Fault(near_copies, duplicates.duplicates, "near duplicates"),
    "parts of copies": Fault(cut_copies, duplicates.duplicates, "near duplicates"),
}


def is_found(fault: Fault, planted: Planted) -> bool:
    """Whether the check names the fault, and its dimension and one of its episodes where it has any."""
    for finding in fault.check(planted.recording):
        if finding.check != fault.says or fault.word not in str(finding):
            continue
        at_dim = not planted.dims or bool(set(planted.dims) & set(finding.dims))
        at_episode = not (planted.episodes and finding.episodes) or bool(set(planted.episodes) & set(finding.episodes))
        if at_dim and at_episode:
            return True
    return False
