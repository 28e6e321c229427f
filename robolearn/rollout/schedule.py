"""The coming actions of each environment, and what a newer chunk does to older plans for the same steps.

With action_horizon 6, exec_horizon 2 and delay 1, the chunk from which each coming action is (the first is next):

    first chunk           0 0 0 0 0 0     an episode begins: its first chunk is there at once
    two actions later     0 0 0 0         the rest
    second chunk          0 1 1 1 1 1     its first action comes too late; the older chunk's is committed
    two actions later     1 1 1 1

With temporal ensembling a step has the average of all chunks that reach it, instead of the newest.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn.rollout.execution import Execution


class Schedule:
    """Plans of ``num_envs`` environments.

    Args:
        num_envs: Environments.
        chunk_shape: (action_horizon, action_dim).
        execution: Of which period, delay and ensembling count. Ensembling is that of Zhao et al. 2023 (ACT,
            algorithm 2): the weights of the chunks that reach a step are exp(-ensembling * i), i = 0 the oldest.

    Attributes:
        actions: Coming actions, index 0 is next, [n, t, a]; those that no chunk has reached are zero.
    """

    def __init__(self, num_envs: int, chunk_shape: tuple[int, int], execution: Execution):
        self.period, self.delay = execution.period, execution.delay
        self.actions = np.zeros((num_envs, *chunk_shape))
        self.counts = np.zeros((num_envs, chunk_shape[0]), int)
        # Of a chunk in the average with those before it, by their number.
        self.shares = np.ones(chunk_shape[0])
        if execution.ensembling is not None:
            weights = np.exp(-execution.ensembling * np.arange(chunk_shape[0]))
            self.shares = weights / np.cumsum(weights)

    def clear(self, slot: int) -> None:
        """Forget the plans of an environment."""
        self.actions[slot], self.counts[slot] = 0, 0

    def begun(self, slots: Int[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
        """Which of these environments have a plan already."""
        return self.counts[slots, 0] > 0

    def rest(self, slots: Int[np.ndarray, " s"]) -> Float[np.ndarray, "s r a"]:
        """What is left of older plans; meaningless where none has begun."""
        return self.actions[slots, : self.actions.shape[1] - self.period]

    def plan(self, slots: Int[np.ndarray, " s"], chunks: Float[np.ndarray, "s t a"]) -> None:
        """Take over new chunks, whose index 0 is the next action."""
        reached = (np.arange(chunks.shape[1]) >= self.delay) | ~self.begun(slots)[:, None]
        share = (reached * self.shares[self.counts[slots]])[..., None]
        self.actions[slots] = share * chunks + (1 - share) * self.actions[slots]
        self.counts[slots] += 1

    def execute(self, slots: Int[np.ndarray, " s"]) -> Float[np.ndarray, "n h a"]:
        """Give the next h = period actions of some environments, zeros for the others, and go on to what follows."""
        actions = np.zeros((len(self.actions), self.period, self.actions.shape[2]), np.float32)
        actions[slots] = self.actions[slots, : self.period]
        for memory in (self.actions, self.counts):
            memory[slots] = np.concatenate(
                [memory[slots, self.period :], np.zeros_like(memory[slots, : self.period])], 1
            )
        return actions
