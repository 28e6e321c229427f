"""What actions are: positions or changes of them, early enough or late, continuous or switched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robolearn.doctor.finding import Finding
from robolearn.doctor.recording import Recording
from robolearn.types import Array

MAX_LAG, MAX_ROWS = 15, 20_000  # steps; rows that are correlated
FOLLOWS = 0.9  # correlation from which an action says where the state is to be
CHANGES = 0.5  # ... and how it is to change
CLEAR = 0.15  # by how much less (in its logarithm) a lag leaves unexplained than all that an action may have
SAME = 1e-4  # of the range: numbers that are equal but for rounding
MIDDLE, ENDS = 0.01, 0.005  # shares of a switched channel that may lie in its middle and must lie at either end


@dataclass(frozen=True)
class Match:
    """The number of the observations that one dimension of the actions has most to do with.

    Attributes:
        dim: Of the actions.
        key: Of the observation.
        other: Dimension of it.
        level: Correlation [2 MAX_LAG + 1] of action[t] with state[t + h], h from -MAX_LAG.
        change: The same, with the state's change from t + h to t + h + 1.
        response: The same of the action's change from t - 1 to t with any state's change from t + h to t + h + 1, the
            largest.
    """

    dim: int
    key: str
    other: int
    level: Array
    change: Array
    response: Array

    @property
    def is_change(self) -> bool:
        """Whether the action is a change of the state; a velocity is one too, and may be observed itself."""
        changes = self.change[MAX_LAG:].max()
        return bool(changes >= max(CHANGES, 0.9 * self.level.max()))

    @property
    def is_absolute(self) -> bool:
        """Whether the action is the position that the state is to have."""
        return bool(self.level.max() >= FOLLOWS) and not self.is_change


def follows(recording: Recording) -> Iterator[Finding]:
    """What the actions are of what is observed, and when they come."""
    matches = find_matches(recording)
    absolute = [match for match in matches if match.is_absolute]
    yield from _kind(matches)
    if absolute:
        yield from _lag(recording, absolute)


def _kind(matches: list[Match]) -> Iterator[Finding]:
    """Which dimensions are absolute positions and which are changes; a note, as both can be learned from."""
    absolute = [match for match in matches if match.is_absolute]
    deltas = [match for match in matches if match.is_change]
    for some, what in ((absolute, "absolute positions of"), (deltas, "changes of")):
        if some:
            pairs = ", ".join(f"{one.dim} ({one.key}[{one.other}])" for one in some[:4])
            more = f" and {len(some) - 4} more" if len(some) > 4 else ""
            dims = tuple(one.dim for one in some)
            sentence = f"data/action: {what} what is observed: {pairs}{more}"
            yield Finding("kind of actions", "note", sentence, "", "action", dims)


def _lag(recording: Recording, matches: list[Match]) -> Iterator[Finding]:
    """Actions that come with or after what they bring about, so that the policy would learn to stay behind."""
    left = _unexplained([match.level for match in matches])
    best = int(left.argmin()) - MAX_LAG
    dims = tuple(match.dim for match in matches)
    if best == 1 and _is_same(recording, matches, 1):
        yield Finding(
            "next state",
            "note",
            "data/action is the next state: absolute positions that are reached within a step",
            "",
            "action",
            dims,
        )
    is_state = best == 0 and _is_same(recording, matches, 0)
    if best > 0 or (best == 0 and not is_state) or left[MAX_LAG + 1 :].min() - left.min() < CLEAR:
        # Where the state follows late by itself, its first response shows that the actions are later still. That may
        # come a step before the action, as a demonstrator reacts to the state; what follows from where the robot is,
        # such as a point ahead of it on its way, fits the state of the same step best, however early it is.
        sharp = [match.response for match in matches if match.response.max() >= CHANGES]
        left = _unexplained(sharp) if sharp else left
        best = int(left.argmin()) - MAX_LAG + 1
        if not sharp or best > -1 or left[MAX_LAG - 1 :].min() - left.min() < CLEAR:
            return
    if is_state:
        sentence = "data/action equals the state of the same step: it tells to stay"
    else:
        sentence = f"data/action comes late: it fits the state of {-best} steps before best, and none after it as well"
    yield Finding("lagging actions", "warning", sentence, f"`dataset.action_lag` {1 - best}", "action", dims)


def _unexplained(correlations: list[Array]) -> Array:
    """Logarithm of the share of the variance that each lag leaves unexplained, mean over dimensions."""
    return np.log(1 - np.stack(correlations) ** 2 + 1e-6).mean(0)


def _is_same(recording: Recording, matches: list[Match], ahead: int) -> bool:
    """Whether the actions are the states so many steps later, for nearly all steps."""
    now, then = _shifted(recording, ahead)
    for match in matches:
        action = recording.rows["action"][:, match.dim].astype(np.float64)
        state = recording.rows[match.key][:, match.other].astype(np.float64)
        if (np.abs(action[now] - state[then]) > SAME * np.ptp(state)).mean() > 0.01:
            return False
    return True


def switched(recording: Recording) -> Iterator[Finding]:
    """Dimensions of the actions that take two values, as a gripper's do."""
    dims = [dim for dim, x in recording.varying("action") if is_switched(x)] if "action" in recording.rows else []
    if dims:
        yield Finding(
            "gripper channels",
            "note",
            f"data/action{dims}: takes two values, as a gripper's channel does",
            "choose a family that samples: regression would give what is between",
            "action",
            tuple(dims),
        )


def is_switched(x: Array) -> bool:
    """Whether numbers lie at two values, but for noise and the few steps of switching."""
    if len(np.unique(x[:1000])) <= 2 and len(np.unique(x)) == 2:
        return True
    low, high = np.quantile(x, [0.001, 0.999])
    if high <= low:
        return False
    at = (x - low) / (high - low)
    return bool(((at > 0.25) & (at < 0.75)).mean() < MIDDLE and min((at < 0.25).mean(), (at > 0.75).mean()) > ENDS)


def constant(recording: Recording) -> Iterator[Finding]:
    """Actions of which none ever changes."""
    if "action" in recording.rows and not list(recording.varying("action")):
        yield Finding(
            "constant actions", "warning", "data/action never changes; there is nothing to learn", "", "action"
        )


def find_matches(recording: Recording) -> list[Match]:
    """For each dimension of the actions the number of the observations that it follows best, if any."""
    action = dict(recording.varying("action")) if "action" in recording.rows else {}
    states = {(key, dim): x for key in recording.observed for dim, x in recording.varying(key)}
    if not action or not states:
        return []
    a, s = np.stack(list(action.values()), 1), np.stack(list(states.values()), 1)
    level, change, response = [], [], []
    for ahead in range(-MAX_LAG, MAX_LAG + 1):
        now, then = _shifted(recording, ahead)
        level.append(_correlation(a[now], s[then]))
        now, then = _shifted(recording, ahead, beside=1)
        change.append(_correlation(a[now], s[then + 1] - s[then]))
        now, then = _shifted(recording, ahead, beside=1, before=1)
        response.append(_correlation(a[now] - a[now - 1], s[then + 1] - s[then]))
    levels, changes, responses = np.array(level), np.array(change), np.array(response)  # [lag, action, state]
    matches = []
    for i, dim in enumerate(action):
        by_level, by_change = levels[:, i].max(0), changes[MAX_LAG:, i].max(0)
        is_change = by_change.max() >= max(CHANGES, 0.9 * by_level.max())
        best = int((by_change if is_change else by_level).argmax())
        key, other = list(states)[best]
        quick = int(responses[:, i].max(0).argmax())
        matches.append(Match(dim, key, other, levels[:, i, best], changes[:, i, best], responses[:, i, quick]))
    return matches


def _shifted(recording: Recording, ahead: int, beside: int = 0, before: int = 0) -> tuple[Array, Array]:
    """Rows, and the rows so many steps later in the same episode, in which others lie behind these and before those."""
    first, last = max(before, -ahead), max(0, ahead + beside)
    total = len(recording.episode_of)
    rows = np.arange(first, total - last)
    episode = recording.episode_of
    if len(rows) == 0:
        return rows, rows
    rows = rows[(episode[rows - first] == episode[rows]) & (episode[rows + last] == episode[rows])]
    rows = rows[:: max(1, -(-len(rows) // MAX_ROWS))]
    return rows, rows + ahead


def _correlation(a: Array, s: Array) -> Array:
    """Absolute correlations [action, state] of columns."""
    if len(a) < 3:
        return np.zeros((a.shape[1], s.shape[1]))
    a, s = a - a.mean(0), s - s.mean(0)
    a, s = a / np.maximum(a.std(0), 1e-12), s / np.maximum(s.std(0), 1e-12)
    return np.abs(a.T @ s) / len(a)
