"""Training of a dynamics ensemble: every member on a bootstrap of the transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robolearn.data.normalizer import Normalizer
from robolearn.dynamics.ensemble import DynamicsConfig, DynamicsEnsemble, base, features
from robolearn.errors import UserError
from robolearn.nets.descent import FitConfig, descend


@dataclass(frozen=True)
class Transitions:
    """What was seen to follow what, in physical units; a row for each, which `fit_dynamics` makes sure of.

    Attributes:
        states: Before.
        actions: Executed there.
        next_states: After; angles continue beyond a full turn. Outcomes stand here, and mean nothing in `states`.
    """

    states: Float[np.ndarray, "n s"]
    actions: Float[np.ndarray, "_ a"]
    next_states: Float[np.ndarray, "_ _"]

    def __len__(self) -> int:
        return len(self.states)


def fit_dynamics(cfg: DynamicsConfig, data: Transitions, fit: FitConfig, *, seed: int) -> DynamicsEnsemble:
    """Train all members on the CPU.

    Args:
        cfg: What to build.
        data: Transitions to learn from.
        fit: How to train.
        seed: The same seed gives the same ensemble.

    Returns:
        The ensemble, in evaluation mode.

    Raises:
        UserError: Without transitions, with NaN or infinity among them, or of other sizes than the configuration's.
    """
    _check_transitions(cfg, data)
    before, acted, after = (torch.from_numpy(np.ascontiguousarray(rows)) for rows in vars(data).values())
    # Differences are taken before rounding: they are small beside the states.
    deltas = (after - base(cfg, before)).float()
    if not deltas[:, cfg.num_measured :].isfinite().all():  # the rest is fitted to, which refuses them
        raise UserError("dynamics: events among the next states hold NaN or infinity")
    states, actions = before.float(), acted.float()
    rows = {"feature": features(cfg, states), "action": actions, "delta": deltas[:, : cfg.num_measured]}
    generator = torch.Generator().manual_seed(seed)
    ensemble = DynamicsEnsemble(cfg, Normalizer.fit(rows, mode="zscore"), generator=generator)
    drawn = bootstrap_members(len(data), cfg.num_members, generator)

    def draw_loss() -> Tensor:
        index = drawn.gather(1, torch.randint(len(data), (cfg.num_members, fit.batch_size), generator=generator))
        return ensemble.loss(states[index], actions[index], deltas[index])

    descend(ensemble.parameters(), draw_loss, fit)
    return ensemble.eval()


def _check_transitions(cfg: DynamicsConfig, data: Transitions) -> None:
    """Refuse arrays that do not go together, which torch would repeat until they do."""
    shapes, n = [rows.shape for rows in (data.states, data.actions, data.next_states)], len(data)
    if shapes != [(n, cfg.state_dim), (n, cfg.action_dim), (n, cfg.state_dim)]:
        raise UserError(
            f"dynamics: states {shapes[0]}, actions {shapes[1]} and next states {shapes[2]} do not fit together, or "
            f"not state_dim {cfg.state_dim} and action_dim {cfg.action_dim}"
        )


@torch.no_grad()
def prediction_error(ensemble: DynamicsEnsemble, data: Transitions) -> Float[np.ndarray, " s"]:
    """How far the members' mean is from what came next: root mean square over transitions of each number.

    In units of the spread of the changes that the ensemble was fitted to: 1 is no better than their mean, 0 is exact.
    Numbers that did not change then are in their own unit.
    """
    states, actions = (torch.from_numpy(np.ascontiguousarray(rows)).float() for rows in (data.states, data.actions))
    k = ensemble.num_members
    mean = ensemble(states.expand(k, -1, -1), actions.expand(k, -1, -1))[0].mean(0)
    error = mean.double().numpy() - data.next_states
    error[:, : ensemble.cfg.num_measured] /= ensemble.normalizer.get_buffer("delta_scale").double().numpy()
    return np.sqrt(np.square(error).mean(0))


def bootstrap_members(n: int, num_members: int, generator: torch.Generator) -> Int[Tensor, "k n"]:
    """For each member n of the numbers 0 .. n - 1, drawn with replacement."""
    return torch.randint(n, (num_members, n), generator=generator)
