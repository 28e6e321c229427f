"""Planning in a learned simulator: what plans would bring, over paths that it draws."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.dynamics.plan import Reward
from robolearn.errors import UserError
from robolearn.simulator.model import LearnedSimulator


class LearnedReturns:
    """The expected sum of rewards of plans, the mean over drawn paths; for `robolearn.dynamics.plan.Planner`.

        planner = Planner(LearnedReturns(simulator, reward, 8, generator=g), low, high, PlannerConfig(), generator=g)

    Args:
        simulator: Of a history of one state, which is all that a planner knows.
        reward: States before [..., s], actions [..., a] and states after [..., s] -> reward [...].
        num_paths: Drawn for each plan; all plans meet the same luck.
        generator: Draws them.

    Raises:
        UserError: The simulator sees more than one state.
    """

    def __init__(self, simulator: LearnedSimulator, reward: Reward, num_paths: int, *, generator: torch.Generator):
        if simulator.facts.history > 1:
            raise UserError(f"{simulator.directory} sees {simulator.facts.history} states; plan with `history` 1")
        self.simulator, self.reward, self.num_paths, self.generator = simulator, reward, num_paths, generator

    @torch.no_grad()
    def __call__(self, state: Float[Tensor, " s"], plans: Float[Tensor, "n t a"]) -> Float[Tensor, " n"]:
        """See Returns."""
        n, steps, paths = len(plans), plans.shape[1], self.num_paths
        noise = self.simulator.noise(paths, steps, generator=self.generator)
        actions = plans.repeat_interleave(paths, 0)
        rows = n * paths
        after = self.simulator.unroll(state.expand(rows, 1, -1), actions, noise.repeat(n, *[1] * (noise.dim() - 1)))
        before = torch.cat([state.expand(rows, 1, -1), after[:, :-1]], dim=1)
        return self.reward(before, actions, after).sum(1).unflatten(0, (n, paths)).mean(1)
