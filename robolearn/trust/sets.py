"""Which chunks keep clear of what must not be touched, with a tube around what they are predicted to do.

    chunk -> predicted positions p_1 .. p_t -> admissible iff distance(p_i) > radius_i for every i

The radius of every step is calibrated so that an episode stays inside all its tubes with probability 1 - alpha: the
score of an episode is the largest normalized error over all its executed steps, those of the last chunk too, which
the end of the episode may cut. The distance to the keep-out set is the task's own, so the set may be another than in
the demonstrations.

Source: Lindemann et al. 2023, arXiv:2210.10254; normalization as in Cleaveland et al. 2024, arXiv:2304.01075.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robolearn.errors import UserError
from robolearn.trust.conformal.thresholds import exceeds
from robolearn.trust.conformal.tubes import tube_scale
from robolearn.trust.motion import LinearDynamics
from robolearn.types import Array, Trajectory

Distance = Callable[[Array], Array]


@dataclass(frozen=True)
class SafetySet:
    """A model and the tube around its predictions.

    Attributes:
        dynamics: Predicts the observation.
        key: Of the observation that is predicted.
        position: Its numbers that are the position [m].
        scale: Form of the tube, at each step of a chunk that is executed [m].
        height: Radius of the tube in units of the scale, a threshold.
    """

    dynamics: LinearDynamics
    key: str
    position: tuple[int, ...]
    scale: Float[np.ndarray, " h"]
    height: float

    @property
    def radius(self) -> Float[np.ndarray, " h"]:
        """Of the tube at each executed step [m]."""
        return self.height * self.scale

    def admissible(
        self, state: Float[np.ndarray, "s d"], chunks: Float[np.ndarray, "s n t a"], distance: Distance
    ) -> Bool[np.ndarray, "s n"]:
        """Which chunks keep clear with all their tube.

        Steps of a chunk behind those that are executed count with the last radius: the promise does not reach that
        far, but a chunk that ends in an obstacle is no good plan.

        Args:
            state: Present observations.
            chunks: In physical units.
            distance: Signed distance of positions [..., p] to the keep-out set [m], negative inside.
        """
        s, n, t = chunks.shape[:3]
        states = np.repeat(np.asarray(state, float), n, axis=0)
        path = self.dynamics.predict(states, chunks.reshape(s * n, t, -1).astype(float))[..., list(self.position)]
        radius = np.pad(self.radius, (0, max(t - len(self.radius), 0)), mode="edge")[:t]
        return (distance(path) > radius).all(1).reshape(s, n)

    def worst_errors(self, motions: Sequence[Motion]) -> Float[np.ndarray, " e"]:
        """How far each episode is from its predictions at worst, in units of the scale; see `worst_error`."""
        period = len(self.scale)
        errors = (position_errors(motion, self.dynamics, self.position, period) for motion in motions)
        return np.array([worst_error(one, self.scale) for one in errors])

    def left(self, motions: Sequence[Motion]) -> Bool[np.ndarray, " e"]:
        """Which episodes leave the tube of one of their executed chunks."""
        return exceeds(self.worst_errors(motions), self.height)


@dataclass(frozen=True)
class Motion:
    """What was observed and executed in an episode.

    Attributes:
        states: The predicted observation, before the first action and after each.
        actions: As executed, in physical units.
    """

    states: Float[np.ndarray, "t_plus_one d"]
    actions: Float[np.ndarray, "t a"]

    @classmethod
    def from_trajectory(cls, trajectory: Trajectory, key: str) -> Motion:
        """That of a rolled-out episode, by the observation `key`."""
        return cls(trajectory.obs[key], trajectory.actions)


def position_errors(
    motion: Motion, dynamics: LinearDynamics, position: Sequence[int], period: int
) -> Float[np.ndarray, " t"]:
    """How far each executed position is from where its chunk was predicted to lead [m].

    Predictions start from what was observed at the replanning, every ``period`` steps. The last chunk counts as far
    as it was executed.
    """
    length = len(motion.actions)
    if not length:
        return np.zeros(0)
    chunks = -(-length // period)
    padded = np.zeros((chunks * period, *motion.actions.shape[1:]))
    padded[:length] = motion.actions
    starts = motion.states[:length:period].astype(float)
    predicted = dynamics.predict(starts, padded.reshape(chunks, period, -1))
    reached = predicted.reshape(chunks * period, -1)[:length]
    return np.linalg.norm((reached - motion.states[1:])[:, list(position)], axis=1)


def error_scale(episodes: Sequence[Float[np.ndarray, " _"]], period: int) -> Float[np.ndarray, " h"]:
    """Form of the tube at each step of a chunk, from the `position_errors` of episodes that calibrate nothing [m].

    Raises:
        UserError: No episode has a whole chunk.
    """
    steps = [np.concatenate([np.zeros(0), *(one[step::period] for one in episodes)]) for step in range(period)]
    finite = [errors[np.isfinite(errors)] for errors in steps]
    if not all(map(len, finite)):
        raise UserError("no episode is long enough for a tube")
    return np.array([tube_scale(errors[:, None])[0] for errors in finite])


def worst_error(errors: Float[np.ndarray, " t"], scale: Float[np.ndarray, " h"]) -> float:
    """The largest of an episode's `position_errors` in units of the scale; infinite where a state is not finite."""
    if not np.isfinite(errors).all():
        return np.inf
    return float((errors / scale[np.arange(len(errors)) % len(scale)]).max(initial=0.0))
