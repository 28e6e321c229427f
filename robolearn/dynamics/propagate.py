"""Trajectory sampling: particles that carry a model's doubt forward in time, under plans of actions.

    TS1     the member that a particle asks is drawn anew at every step
    TSinf   a particle asks one member all along; what members disagree about stays apart from what each calls noise

Everything random is drawn first (`draw`), so that propagation is deterministic, and all plans meet the same luck.
Members are dealt out evenly within a step: a particle's member is uniform, and as every member serves as many
particles, a step is one batched product.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robolearn.dynamics.config import Propagation
from robolearn.errors import UserError


@runtime_checkable
class Dynamics(Protocol):
    """Several guesses at the next state, such as a `DynamicsEnsemble`."""

    @property
    def num_members(self) -> int:
        """How many guesses there are."""
        ...

    def __call__(
        self, states: Float[Tensor, "k b s"], actions: Float[Tensor, "k b a"]
    ) -> tuple[Float[Tensor, "k b s"], Float[Tensor, "k b s"]]:
        """Each member's mean and variance of the next state, of its own rows, in physical units."""
        ...


@dataclass(frozen=True)
class Noise:
    """Everything random of a propagation.

    Attributes:
        members: Whom each particle asks at each step; every member equally often within a step.
        steps: Standard normal.
    """

    members: Int[Tensor, "t p"]
    steps: Float[Tensor, "t p s"]


def draw(
    kind: Propagation,
    num_particles: int,
    horizon: int,
    num_members: int,
    state_dim: int,
    generator: torch.Generator,
) -> Noise:
    """Draw the noise of `num_particles` particles over `horizon` steps.

    Raises:
        UserError: The kind is unknown, or the particles cannot be dealt out evenly to the members.
    """
    if kind not in get_args(Propagation):
        raise UserError(f"propagation {kind!r} is unknown; choose from {', '.join(get_args(Propagation))}")
    if num_particles < 1 or num_particles % num_members:
        raise UserError(f"num_particles {num_particles} must be a multiple of the {num_members} members")
    dealt = torch.arange(num_particles) % num_members
    if kind == "ts1":
        order = torch.rand(horizon, num_particles, generator=generator).argsort(1)
        members = dealt[order]
    else:
        members = dealt.expand(horizon, -1)
    return Noise(members, torch.randn(horizon, num_particles, state_dim, generator=generator))


def propagate(
    model: Dynamics, start: Float[Tensor, " s"], plans: Float[Tensor, "n t a"], noise: Noise
) -> Float[Tensor, "t n p s"]:
    """States after each action of each plan, for every particle.

    Args:
        model: Predicts one step.
        start: Where all particles begin.
        plans: Actions.
        noise: Drawn for the horizon of the plans; the same for all of them.
    """
    n, horizon, _ = plans.shape
    assert len(noise.steps) == horizon, (len(noise.steps), horizon)
    k, p, s = model.num_members, noise.steps.shape[1], start.shape[-1]
    states, path = start.expand(n, p, s), []
    for t in range(horizon):
        by_member = noise.members[t].argsort()
        asked = states[:, by_member].reshape(n, k, p // k, s).transpose(0, 1).reshape(k, -1, s)
        actions = plans[:, t].repeat_interleave(p // k, dim=0).expand(k, -1, -1)
        mean, var = (x.reshape(k, n, p // k, s).transpose(0, 1).reshape(n, p, s) for x in model(asked, actions))
        states = torch.empty_like(mean)
        states[:, by_member] = mean + var.sqrt() * noise.steps[t, by_member]
        path.append(states)
    return torch.stack(path)


def member_moments(
    path: Float[Tensor, "t n p s"], noise: Noise
) -> tuple[Float[Tensor, "k t n s"], Float[Tensor, "k t n s"]]:
    """Mean and variance (unbiased) of each member's particles under TSinf, for `split_variance`.

    Raises:
        UserError: The particles changed members, or a member has fewer than two.
    """
    members = noise.members[0]
    if not (noise.members == members).all():
        raise UserError("particles must keep their member to tell doubt from noise; propagate with tsinf")
    k = int(members.max()) + 1
    if len(members) < 2 * k:
        raise UserError(f"num_particles {len(members)} must be at least 2 for each of the {k} members")
    groups = torch.stack([path[:, :, members == i] for i in range(k)])
    return groups.mean(3), groups.var(3)
