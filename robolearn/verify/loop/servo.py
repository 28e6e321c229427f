"""A linear plant that follows targets, as numbers: what a robot's position control is while nothing is touched.

In every substep  s <- A s + B u,  and a target u is held for an action of several substeps. After substep i the state
is linear in the state before the chunk and in the chunk:  s_i = P_i s + sum_t Q_it u_t.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE, SPARE, gamma


@dataclass(frozen=True, eq=False)
class Servo:
    """The plant.

    Attributes:
        transition: A [n, n].
        response: B [n, a].
        substeps: Of an action.
        lower: Targets below are raised to this [a].
        upper: Targets above are lowered to this [a].
        departure: An assumption: within a chunk no number of the true plant's state departs further from this one's,
            from the same state under the same actions. It covers what float64 rounds in P and Q.
    """

    transition: Tensor
    response: Tensor
    substeps: int
    lower: Tensor
    upper: Tensor
    departure: float

    @classmethod
    def critically_damped(
        cls,
        stiffness: float,
        mass: float,
        timestep: float,
        substeps: int,
        lower: Tensor,
        upper: Tensor,
        departure: float,
    ) -> Servo:
        """Position control of every axis alike, integrated as MuJoCo's implicitfast does; states are (x, v).

        v' = v + h (k (u - x) - d v) / (m + h d) with d = 2 sqrt(k m), and x' = x + h v'.

        Args:
            stiffness: k [N/m].
            mass: m [kg].
            timestep: h [s].
            substeps: Of an action.
            lower: Least targets [a].
            upper: Greatest targets [a].
            departure: See Servo.
        """
        damping = 2 * (stiffness * mass) ** 0.5
        gain = timestep / (mass + timestep * damping)
        slower, pull = 1 - gain * damping, gain * stiffness
        one = torch.eye(len(lower), dtype=torch.float64)
        rows = [
            torch.cat([(1 - timestep * pull) * one, timestep * slower * one], 1),
            torch.cat([-pull * one, slower * one], 1),
        ]
        response = torch.cat([timestep * pull * one, pull * one])
        return cls(torch.cat(rows), response, substeps, lower.double(), upper.double(), departure)

    def unrolled(self, steps: int) -> tuple[Tensor, Tensor]:
        """P [steps * substeps, n, n] and Q [steps * substeps, n, steps, a] of a chunk of so many actions."""
        size, actions = self.response.shape
        state = torch.eye(size, dtype=torch.float64)
        held = torch.zeros(size, steps, actions, dtype=torch.float64)
        states, helds = [], []
        for step in range(steps):
            for _ in range(self.substeps):
                state = self.transition @ state
                held = torch.einsum("ij,jta->ita", self.transition, held)
                held[:, step] += self.response
                states.append(state)
                helds.append(held.clone())
        return torch.stack(states), torch.stack(helds)

    def rounding(self, steps: int) -> float:
        """More than what float64 rounds in a state after so many actions, for states and targets of at most 1."""
        states, helds = self.unrolled(steps)
        count = SPARE + (steps * self.substeps + helds[0, 0].numel()) * len(states[0])
        return float(4 * gamma(count, DOUBLE) * (states.abs().sum(2) + helds.abs().sum((2, 3))).max())

    def run(self, state: Tensor, targets: Tensor) -> Tensor:
        """States [b, steps * substeps, n] after every substep, from states [b, n] under chunks [b, steps, a]."""
        targets, states = targets.clamp(self.lower, self.upper), []
        for step in range(targets.shape[1]):
            for _ in range(self.substeps):
                state = state @ self.transition.T + targets[:, step] @ self.response.T
                states.append(state)
        return torch.stack(states, dim=1)
