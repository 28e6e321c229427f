"""Which chunks keep clear of what must not be touched, with a tube around what they are predicted to do.

    chunk -> predicted positions p_1 .. p_t -> admissible iff distance(p_i) > radius_i for every i

The radius of every step is calibrated so that an episode stays inside all its tubes with probability 1 - alpha: the
score of an episode is the largest normalised error over its steps and all its replannings. The distance to the
keep-out set is the task's own, so the set may be another than in the demonstrations.

Source: Lindemann et al. 2023, arXiv:2210.10254; normalisation as in Cleaveland et al. 2024, arXiv:2304.01075.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robolearn.safety.dynamics import LinearDynamics
from robolearn.safety.tubes import tube_scale
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


def chunk_errors(
    trajectory: Trajectory, dynamics: LinearDynamics, key: str, position: Sequence[int], period: int
) -> Float[np.ndarray, "p h"]:
    """How far the executed positions are from the predicted ones, of every replanning that ran its full length [m]."""
    plans = len(trajectory) // period
    steps = np.arange(plans)[:, None] * period + np.arange(period)
    states = trajectory.obs[key].astype(float)
    predicted = dynamics.predict(states[steps[:, 0]], trajectory.actions[steps].astype(float))
    return np.linalg.norm((predicted - states[steps + 1])[..., list(position)], axis=-1)


def error_scale(episodes: Sequence[Float[np.ndarray, "_ h"]]) -> Float[np.ndarray, " h"]:
    """Form of the tube from the `chunk_errors` of episodes that are used for nothing else [m].

    Raises:
        ValueError: No episode has a full chunk.
    """
    parts = [errors for errors in episodes if len(errors)]
    if not parts:
        raise ValueError("no episode is long enough for a tube")
    return tube_scale(np.concatenate(parts))


def worst_errors(
    episodes: Sequence[Float[np.ndarray, "_ h"]], scale: Float[np.ndarray, " h"]
) -> Float[np.ndarray, " e"]:
    """How far each episode is from its predictions at worst, in units of the scale; 0 without a full chunk."""
    return np.array([float((errors / scale).max()) if len(errors) else 0.0 for errors in episodes])
