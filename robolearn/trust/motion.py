"""A linear model of what actions do, fitted to demonstrations: good enough to predict a chunk, and its errors known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError


@dataclass(frozen=True)
class LinearDynamics:
    """x' = x + W (x, a, 1).

    Attributes:
        weights: W, in physical units.
    """

    weights: Float[np.ndarray, "d d_plus_a_plus_one"]

    def predict(
        self, state: Float[np.ndarray, "n d"], actions: Float[np.ndarray, "n t a"]
    ) -> Float[np.ndarray, "n t d"]:
        """States after each of t actions."""
        following = []
        for step in range(actions.shape[1]):
            state = state + _inputs(state, actions[:, step]) @ self.weights.T
            following.append(state)
        return np.stack(following, 1)

    @classmethod
    def fit(
        cls,
        states: Float[np.ndarray, "m d"],
        actions: Float[np.ndarray, "m a"],
        following: Float[np.ndarray, "m d"],
        ridge: float = 1e-6,
    ) -> LinearDynamics:
        """Fit by least squares.

        Args:
            states: Before a step.
            actions: Taken then.
            following: The states after it.
            ridge: Penalty on the weights of standardized inputs, per example.

        Raises:
            UserError: There are fewer examples than inputs.
        """
        inputs = _inputs(np.asarray(states, float), np.asarray(actions, float))
        if len(inputs) < inputs.shape[1]:
            raise UserError(f"dynamics of {inputs.shape[1]} inputs need as many examples, got {len(inputs)}")
        scale = np.sqrt(np.square(inputs).mean(0)) + 1e-12
        standard = inputs / scale
        gram = standard.T @ standard + ridge * len(inputs) * np.eye(inputs.shape[1])
        weights = np.linalg.solve(gram, standard.T @ (np.asarray(following, float) - states)) / scale[:, None]
        return cls(weights.T)


def _inputs(states: Float[np.ndarray, "n d"], actions: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n i"]:
    return np.concatenate([states, actions, np.ones((len(states), 1))], axis=1)
