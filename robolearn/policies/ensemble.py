"""Several policies of one configuration, trained apart or drawn: where they disagree, the data did not decide.

Deep ensembles (Lakshminarayanan et al. 2017, arXiv:1612.01474), here of generative policies. All members get the same
noise: what differs between their chunks is then not the draw. They are asked one after the other; weights stacked with
torch.func do not pay on a CPU, see docs/results/ensembles.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.prefix import Prefix


class Ensemble:
    """k policies that differ in their weights and normalizers alone.

    Attributes:
        members: The policies [k].
    """

    def __init__(self, members: Sequence[Policy]) -> None:
        """Join policies.

        Raises:
            UserError: There is none, or two differ in their configuration.
        """
        if not members:
            raise UserError("an ensemble needs at least one member")
        first = members[0].cfg
        for index, member in enumerate(members):
            for field in dataclasses.fields(PolicyConfig):
                mine, common = getattr(member.cfg, field.name), getattr(first, field.name)
                if mine != common:
                    raise UserError(f"ensemble: {field.name} of member {index} is {mine}, of member 0 {common}")
        self.members = list(members)

    @classmethod
    def load(cls, directories: Sequence[StrPath], *, device: torch.device | str = "cpu", **runtime: Any) -> Ensemble:
        """Read saved policies.

        Args:
            directories: Checkpoints, one per member, such as `Run.members` gives.
            device: Where to put the weights.
            runtime: Run-time choices of the family; see Policy.load.

        Raises:
            UserError: Those of Policy.load, and those of joining.
        """
        return cls([Policy.load(directory, device=device, **runtime) for directory in directories])

    def __len__(self) -> int:
        return len(self.members)

    @property
    def cfg(self) -> PolicyConfig:
        """The members' configuration."""
        return self.members[0].cfg

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.members[0].device

    def noise(self, batch: int, *, generator: torch.Generator) -> Float[Tensor, "m ..."]:
        """Draw everything random that `act` needs for ``batch`` chunks."""
        return self.members[0].family.noise(batch, generator=generator)

    def act(
        self, obs: dict[str, Tensor], noise: Float[Tensor, "m ..."], prefix: Prefix | None = None
    ) -> Float[Tensor, "k m t a"]:
        """Sample every member's chunks from the same noise, in physical units.

        Args:
            obs: Key -> [b, o, ...] in physical units.
            noise: As many rows as observations, or n times as many: the first n are the first observation's.
            prefix: See Policy.encode.
        """
        return torch.stack([member.act(obs, noise, prefix) for member in self.members])

    def normalize(self, chunks: Float[Tensor, "*s t a"]) -> Float[Tensor, "*s t a"]:
        """Chunks of any member in member 0's normalized units: in those of each its own they could not be compared."""
        return self.members[0].normalizer.normalize("action", chunks)

    def embed(self, obs: dict[str, Tensor]) -> Float[Tensor, "b d"]:
        """What member 0 sees of the observations: the output of its encoder, all steps in one vector.

        Low-dimensional observations are there as they are, normalized; of images it has the learned features. The
        members' encoders share no axes, so one of them serves.

        Args:
            obs: Key -> [b, o, ...] in physical units.
        """
        return self.conditions(obs)[..., : self.members[0].encoder.cond_dim].flatten(1)  # the rest tells of a prefix

    def conditions(self, obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """What member 0's family sees of observations in physical units when it acts, without known actions."""
        policy = self.members[0]
        if (symmetry := policy.canonical) is not None:
            obs = symmetry.turn_all(obs, symmetry.to_canonical(obs))
        return policy.encode(obs)
