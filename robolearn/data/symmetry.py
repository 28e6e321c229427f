"""Symmetries of a task: a map g of observations and actions, g^order = 1, that leaves the task as it is.

Used in two ways. *augment* shows the policy every demonstration as it is and turned. *canonical* turns every
observation into a standard position, asks the policy there and turns the answer back (Kaba et al. 2023):
f(g o) = g f(o) then holds exactly, for every family and network, and each demonstration counts for the whole orbit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from robolearn.errors import UserError

SymmetryUse = Literal["ignore", "augment", "canonical"]
TURN = "symmetry.turn"
MAX_ORDER = 360


@dataclass(frozen=True)
class AffineMap:
    """v -> matrix v + offset, on the last axis."""

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]


@dataclass(frozen=True)
class Symmetry:
    """The generator g of a cyclic group, in physical units.

    Raises:
        UserError: There is no map of the actions, a map is not square, or g^order is not the identity.
    """

    maps: dict[str, AffineMap]
    """Key -> map; observations that are not named stay as they are. "action" must be named."""
    order: int = 2
    """Smallest number of applications that lead back: 2 for a reflection, 4 for a quarter turn."""

    def __post_init__(self) -> None:
        if self.order > MAX_ORDER:
            raise UserError(f"symmetry: order {self.order} must be at most {MAX_ORDER}")
        if "action" not in self.maps or self.order < 2:
            raise UserError(f"symmetry: needs a map of 'action' and an order of at least 2, has {list(self.maps)}")
        for key, one in self.maps.items():
            if any(len(row) != len(one.offset) for row in one.matrix) or len(one.matrix) != len(one.offset):
                raise UserError(f"symmetry: the map of {key!r} is not square")
        for key, (matrix, offset) in self.powers.items():
            size = matrix.shape[-1]
            again = matrix[1] @ matrix[-1], matrix[1] @ offset[-1] + offset[1]
            if not torch.allclose(again[0], torch.eye(size)) or not torch.allclose(
                again[1], torch.zeros(size), atol=1e-4 * (1 + offset.abs().max().item())
            ):
                raise UserError(f"symmetry: {self.order} applications to {key!r} do not lead back")

    @cached_property
    def _copies(self) -> dict[tuple[torch.device, torch.dtype], dict[str, tuple[Tensor, Tensor]]]:
        """The powers where they were asked for so far: a copy to a GPU makes the host wait."""
        return {}

    def powers_for(self, values: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """The powers on the device and in the precision of ``values``."""
        where = values.device, values.dtype
        if where not in self._copies:
            self._copies[where] = {key: (one.to(values), other.to(values)) for key, (one, other) in self.powers.items()}
        return self._copies[where]

    @cached_property
    def powers(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Key -> matrices [order, d, d] and offsets [order, d] of g^0 ... g^(order - 1)."""
        powers = {}
        for key, one in self.maps.items():
            matrix, offset = torch.tensor(one.matrix), torch.tensor(one.offset)
            matrices, offsets = [torch.eye(len(offset))], [torch.zeros(len(offset))]
            for _ in range(self.order - 1):
                matrices.append(matrix @ matrices[-1])
                offsets.append(matrix @ offsets[-1] + offset)
            powers[key] = torch.stack(matrices), torch.stack(offsets)
        return powers

    def turn(self, key: str, values: Tensor, times: Int[Tensor, " b"]) -> Tensor:
        """Apply g^times, row by row, to ``values`` [b, ..., *shape]; a key without a map stays as it is."""
        if key not in self.maps:
            return values
        matrices, offsets = (powers[times % self.order] for powers in self.powers_for(values)[key])
        shape, size = values.shape, offsets.shape[1]
        flat = values.reshape(len(values), -1, size)
        return (torch.einsum("bij,bnj->bni", matrices, flat) + offsets[:, None]).reshape(shape)

    def turn_all(self, obs: dict[str, Tensor], times: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """Apply g^times to every observation."""
        return {key: self.turn(key, values, times) for key, values in obs.items()}

    def to_canonical(self, obs: dict[str, Tensor]) -> Int[Tensor, " b"]:
        """How often to apply g so that the newest observation is in the standard position.

        That is the turn with the largest sum over the numbers that g changes, weighted unevenly so that none is as
        good as another; only observations that g leaves alone, such as a rod exactly on the mirror's line, have no
        better one, and keep their position.
        """
        scores: Tensor | float = 0.0
        for key in (key for key in obs if key in self.maps):
            matrices, offsets = self.powers_for(obs[key])[key]
            newest = obs[key][:, -1].reshape(len(obs[key]), -1, offsets.shape[1])
            turned = torch.einsum("kij,bnj->bkni", matrices, newest) + offsets[None, :, None]
            weights = torch.linspace(1, 2, newest[0].numel(), device=newest.device).view(newest.shape[1:])
            scores = scores + (turned * weights.to(newest)).sum((2, 3))
        assert isinstance(scores, Tensor), "a symmetry of observations that the policy does not see"
        return scores.argmax(1)


def symmetry_draws(batch: int, order: int, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw how often each row is turned."""
    return {TURN: torch.randint(order, (batch,), generator=generator, device=generator.device)}
