"""What a model learns of a step beside the next state: what it was paid, and whether it was the last one.

They are the last numbers of the state that a model predicts. Ends are learned as 1 and all else as 0, and a particle's
episode is over where more than a half is predicted. A model learns of ends as soon as there has been one: what never
came to an end has none to predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robolearn.dynamics.fit import Transitions
from robolearn.planning.directory import Steps
from robolearn.planning.functions import OfTransitions
from robolearn.types import Array

ENDED = 0.5


@dataclass(frozen=True)
class Outcomes:
    """Which of both are learned.

    Attributes:
        state_dim: Numbers of the state that the environment shows, to which they are added.
        given: Functions of the user's own that take their place: "reward", "termination".
        end: Whether ends are learned.
    """

    state_dim: int
    given: Mapping[str, OfTransitions]
    end: bool

    @classmethod
    def from_episodes(cls, state_dim: int, given: Mapping[str, OfTransitions], seen: Sequence[Steps]) -> Outcomes:
        """What can be learned of these episodes."""
        return cls(state_dim, given, "termination" not in given and any(steps.ended for steps in seen))

    @property
    def reward(self) -> bool:
        """Whether rewards are learned."""
        return "reward" not in self.given

    @property
    def tells_ends(self) -> bool:
        """Whether anything says where plans end."""
        return self.end or "termination" in self.given

    @property
    def count(self) -> int:
        """How many numbers they add to a state."""
        return self.reward + self.end

    def padded(self, states: Array) -> Array:
        """States [*t, s] with room for the outcomes [*t, s + count]."""
        return np.concatenate([states, np.zeros((*states.shape[:-1], self.count), np.float32)], axis=-1)

    def transitions(self, steps: Steps) -> Transitions:
        """What was seen to follow what in an episode."""
        before, after = self.padded(steps.states[:-1]), self.padded(steps.states[1:])
        if self.reward:
            after[:, self.state_dim] = steps.rewards
        if self.end:
            after[-1, -1] = steps.ended
        return Transitions(before, steps.actions, after)

    def reward_of(self, before: Tensor, actions: Tensor, after: Tensor) -> Tensor:
        """Rewards [...] of transitions that a model predicted, states [..., s + count]."""
        return after[..., self.state_dim] if self.reward else self._ask("reward", before, actions, after)

    def ended_at(self, before: Tensor, actions: Tensor, after: Tensor) -> Tensor:
        """Whether an episode is over after them, bool [...]; where `tells_ends`."""
        return after[..., -1] > ENDED if self.end else self._ask("termination", before, actions, after)

    def _ask(self, option: str, before: Tensor, actions: Tensor, after: Tensor) -> Tensor:
        return self.given[option](before[..., : self.state_dim], actions, after[..., : self.state_dim])
