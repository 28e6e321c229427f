"""The records that travel between the rooms, and the legend of shape letters.

Shape letters: b batch, t action time, o observation time, a action dim, c condition dim, n samples, k members,
e episodes. A recorded run of an expert is an *episode*; a rolled-out run of a policy is a *trajectory*.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

Array = np.ndarray
Scalar = bool | int | float
INTERVENING = "intervening"  # the signal that says whether an intervention was on

BROKEN = "broken: "  # begins the reason of an episode that broke, before its fault


def fault_in(reason: str) -> str:
    """What broke an episode, in its reason."""
    return reason.removeprefix(BROKEN)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether observations of this shape are images [h, w, c] of 0 .. 255, gray or in color."""
    return len(shape) == 3 and shape[-1] in (1, 3, 4)


@dataclass(frozen=True)
class Batch:
    """Training windows, in physical units, on the training device.

    Attributes:
        obs: Key -> tensor [b, o, ...]; the last observation is the one at "now".
        actions: Chunk whose index 0 is the action to execute now.
        mask: True where the action counts: where it lies inside the episode or, if padding is held, everywhere.
    """

    obs: dict[str, Tensor]
    actions: Float[Tensor, "b t a"]
    mask: Bool[Tensor, "b t"]


@dataclass(frozen=True)
class Episode:
    """One recorded demonstration.

    Attributes:
        obs: Key -> array [time, ...].
        actions: Array [time, a].
        attrs: Numbers that describe the whole episode (seed, success, mode ...).
    """

    obs: dict[str, Array]
    actions: Array
    attrs: dict[str, Scalar] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Trajectory:
    """One rolled-out episode.

    Attributes:
        episode: Index of the episode; with the evaluation seed it fixes the initial state and all noise.
        seed: The seed the environment was reset with.
        obs: Key -> array [time + 1, ...]; without images.
        actions: Array [time, a], as executed.
        rewards: Array [time].
        scores: Array [time], the task's progress in [0, 1] after each step; the reward, on whatever scale, where a task
            has no score.
        success: Whether the task's success condition was met at any step.
        mode: Which of the task's solution modes was taken; -1 where undefined.
        reason: Why it ended: "success", "failure", "time", "unstable", "stopped" or "broken: ...".
        signals: What the controller noted at each replanning, name -> array [plans]: scores of uncertainty, and
            INTERVENING; empty without a gate.
        start: Fingerprint of the first observation; empty where it is not known, the seed then stands for it.
        broken: Whether the environment failed, so that the episode has no score and says nothing of the policy.
        tells_success: Whether the environment had told of success, true or false, by the end of this episode.
        ended: Whether it came to an end of its own, and not because its time was up; a success that an environment goes
            on after is none.
        clipped: Which numbers of the actions were clipped on their way to the environment, bool [time, a]; empty where
            that is not known.
    """

    episode: int
    seed: int
    obs: dict[str, Array]
    actions: Array
    rewards: Array
    scores: Array
    success: bool
    mode: int
    reason: str
    signals: dict[str, Array] = field(default_factory=dict)
    start: str = ""
    broken: bool = False
    tells_success: bool = True
    ended: bool = False
    clipped: Array = field(default_factory=lambda: np.zeros((0, 0), bool))

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def episode_return(self) -> float:
        """Sum of the rewards."""
        return float(self.rewards.sum())

    @property
    def max_score(self) -> float:
        """Best score along the way, in [0, 1]."""
        return float(self.scores.max()) if len(self.scores) else 0.0

    @property
    def final_score(self) -> float:
        """Score after the last step, in [0, 1]."""
        return float(self.scores[-1]) if len(self.scores) else 0.0
