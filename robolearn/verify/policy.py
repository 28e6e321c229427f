"""The door to policies: what of them can be verified, as functions of one observation in physical units."""

from __future__ import annotations

import math

import torch
from scipy.special import ndtri
from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.coded import Coded
from robolearn.policies.cvae import CVAE
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.policies.tokens import Tokens
from robolearn.verify.claims import subject
from robolearn.verify.loop.codes import Codes
from robolearn.verify.network import Network
from robolearn.verify.rounding import Precision

MOST_EVALUATIONS = 2  # of the network for a chunk; bounds of more are too loose to prove anything
INSTEAD = "watch it by a gate or a safety set: python -m robolearn calibrate"


def subject_of(policy: Policy, steps: int, precision: Precision = "float32") -> subject.Plain | subject.Coded:
    """The first actions of a policy's chunks, as claims are about them.

    Its input is what it observes, see `codes_of`, and behind it the noise of families that take it as it is.

    Args:
        policy: In evaluation mode, as it acts.
        steps: Actions of a chunk that are executed.
        precision: What bounds of a policy without codes are about; of one with codes it is float32.

    Raises:
        UserError: It asks its network many times, observes images, or has an operation without bounds.
    """
    family, cfg = policy.family, policy.cfg
    _check(policy)
    numbers = steps * cfg.action_dim
    try:
        made = _coded(policy, numbers) if isinstance(family, Tokens | Mixture) else _plain(policy, numbers, precision)
        made.prepare()
    except UserError as error:
        raise UserError(f"{error}; {INSTEAD}") from None
    return made


def _coded(policy: Policy, numbers: int) -> subject.Coded:
    return subject.Coded(codes_of(policy), numbers)


def _plain(policy: Policy, numbers: int, precision: Precision) -> subject.Plain:
    if policy.family.nfe > MOST_EVALUATIONS:
        raise UserError(f"a family that asks its network {policy.family.nfe} times for a chunk cannot be verified")
    shape, observed = noise_shape(policy), size_of(policy)
    given = shape if math.prod(shape) else policy.family.noise_shape or (0,)
    policy.requires_grad_(False)

    def act(x: Tensor) -> Tensor:
        noise = x[observed:].view(1, *shape) if math.prod(shape) else x.new_zeros(1, *given)
        return policy.act(observations(policy, x[None, :observed]), noise).flatten()[:numbers]

    return subject.Plain(Network(act, observed + math.prod(shape), numbers), precision)


def noise_shape(policy: Policy) -> tuple[int, ...]:
    """Of the noise that a chunk depends on smoothly; (0,) where it does not, or through codes alone."""
    family = policy.family
    if isinstance(family, Tokens | Mixture) or (isinstance(family, CVAE) and family.cfg.latent == "zero"):
        return (0,)
    return family.chunk_shape if family.noise_shape is None else family.noise_shape


def noise_radius(size: int, share: float) -> float:
    """The r for which a standard normal vector of so many numbers is within -r .. r in all of them with this share.

    (2 Phi(r) - 1)^d = share; rounded up, so that it is no less.

    assert noise_radius(1, 0.6826) < 1.001
    """
    return 0.0 if not size else float(ndtri((1 + share ** (1 / size)) / 2)) * (1 + 1e-9)


def size_of(policy: Policy) -> int:
    """Numbers of what a policy observes, over its obs_horizon."""
    return policy.cfg.obs_horizon * sum(map(math.prod, policy.cfg.obs_shapes.values()))


def observations(policy: Policy, seen: Tensor) -> dict[str, Tensor]:
    """What was observed [b, n], all keys of a step in a row and the oldest first, key by key [b, o, ...]."""
    shapes = policy.cfg.obs_shapes
    parts = seen.unflatten(1, (policy.cfg.obs_horizon, -1)).split(list(map(math.prod, shapes.values())), dim=2)
    return {key: part.unflatten(2, shape or (1,)) for (key, shape), part in zip(shapes.items(), parts, strict=True)}


def _check(policy: Policy) -> None:
    """Refuse what no bounds are known of."""
    if policy.encoder.cameras:
        raise UserError(f"a policy of images cannot be verified; {INSTEAD}")
    if policy.cfg.symmetry_use == "canonical":
        raise UserError(
            f"a policy of observations that were turned to a standard position cannot be verified; {INSTEAD}"
        )


def codes_of(policy: Policy) -> Codes:
    """A policy that draws one of finitely many codes, with the floor of probabilities that it acts with.

    Its observation is that of all keys and of the whole obs_horizon in a row, the oldest first.

    Args:
        policy: In evaluation mode, as it acts.

    Raises:
        UserError: Its chunks are not finitely many, or it observes images.
    """
    family = policy.family
    if not isinstance(family, Tokens | Mixture):
        raise UserError("codes are of the families tokens, variant bins, and mixture, variant plain")
    _check(policy)
    coded: Coded = family.coded()
    policy.requires_grad_(False)
    dim = policy.frame.start_dim

    def features(seen: Tensor) -> Tensor:
        cond = policy.encode(observations(policy, seen))
        return torch.cat([policy.start(cond).flatten(1), coded.features(cond)], dim=1)

    def logits(embedding: Tensor) -> Tensor:
        return coded.logits(embedding[:, dim:])

    def chunk(embedding: Tensor, code: int) -> Tensor:
        return policy.physical(coded.chunk(embedding[:, dim:], code), embedding[:, None, :dim])

    return Codes(features, logits, chunk, size_of(policy), family.cfg.min_code_probability)
