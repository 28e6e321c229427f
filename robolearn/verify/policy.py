"""The door to policies: what of them can be verified, as functions of one observation in physical units."""

from __future__ import annotations

import math

from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.coded import Coded
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.policies.tokens import Tokens
from robolearn.verify.loop.codes import Codes


def codes_of(policy: Policy) -> Codes:
    """A policy that draws one of finitely many codes, with the floor of probabilities that it acts with.

    Its observation is that of all keys and of the whole obs_horizon in a row, the oldest first.

    Args:
        policy: In evaluation mode, as it acts.

    Raises:
        UserError: Its chunks are not finitely many, or it observes images.
    """
    family, cfg = policy.family, policy.cfg
    if not isinstance(family, Tokens | Mixture):
        raise UserError("codes are of families `tokens`, variant bins, and `mixture`, variant plain")
    if policy.encoder.cameras or cfg.symmetry_use == "canonical":
        what = "images" if policy.encoder.cameras else "observations that were turned to a standard position"
        raise UserError(f"a policy of {what} cannot be verified; watch it by a gate: python -m robolearn calibrate")
    coded: Coded = family.coded()
    policy.requires_grad_(False)
    sizes = {key: math.prod(shape) for key, shape in cfg.obs_shapes.items()}

    def features(seen: Tensor) -> Tensor:
        parts = seen.unflatten(1, (cfg.obs_horizon, -1)).split(list(sizes.values()), dim=2)
        obs = {key: part.unflatten(2, cfg.obs_shapes[key] or (1,)) for key, part in zip(sizes, parts, strict=True)}
        return coded.features(policy.encode(obs))

    def chunk(found: Tensor, code: int) -> Tensor:
        return policy.normalizer.unnormalize("action", coded.chunk(found, code))

    size = cfg.obs_horizon * sum(sizes.values())
    return Codes(features, coded.logits, chunk, size, family.cfg.min_code_probability)
