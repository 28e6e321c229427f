"""What critic and generator of an adversarial pair lose, given the critic's scores.

A score is one number per chunk, high for chunks of the data. ``real`` and ``fake`` are scores at the same
observation.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

from robolearn.nets.unallocated import is_unallocated

Objective = Literal["r3gan", "non-saturating", "wgan-gp", "hinge"]


def critic_loss(objective: Objective, real: Float[Tensor, " b"], fake: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """What the critic loses, penalties aside.

    Sources: r3gan, relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2); non-saturating
    (Goodfellow et al. 2014, section 3); wgan-gp (Gulrajani et al. 2017, eq. 3); hinge (Miyato et al. 2018, eq. 16).
    """
    match objective:
        case "r3gan":
            return softplus(fake - real)
        case "non-saturating":
            return softplus(fake) + softplus(-real)
        case "wgan-gp":
            return fake - real
        case "hinge":
            return relu(1 + fake) + relu(1 - real)


def generator_loss(objective: Objective, real: Float[Tensor, " b"], fake: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """What the generator loses; only r3gan asks for the scores of the data."""
    match objective:
        case "r3gan":
            return softplus(real - fake)
        case "non-saturating":
            return softplus(-fake)
        case "wgan-gp" | "hinge":
            return -fake


def squared_slope(score: Float[Tensor, " b"], chunk: Float[Tensor, "b t a"]) -> Float[Tensor, " b"]:
    """|d score / d chunk|^2 of each row, differentiable again; ``score`` was computed from ``chunk``."""
    (gradient,) = torch.autograd.grad(score.sum(), chunk, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2))


def excess(slope: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Squared part of a slope above 1 (Petzka et al. 2018, eq. 8).

    Gulrajani et al. penalize slopes below 1 as well. Along one dimension a critic whose slope has the wrong sign could
    then only turn through slope 0, which costs more than being wrong: it keeps leading the generator away.
    """
    return relu(slope - 1).square()


def normalize_spectrum(net: nn.Module) -> None:
    """Divide every weight matrix by an estimate of its largest singular value (Miyato et al. 2018, section 2.1).

    The estimate is a buffer that moves at every call in training mode; it is part of the state.
    """
    for module in list(net.modules()):
        for name, weight in list(module.named_parameters(recurse=False)):
            if name.endswith("weight") and weight.dim() > 1:
                # A matrix of zeros has no direction to be normalized along.
                if not is_unallocated() and not weight.any():
                    nn.init.orthogonal_(weight)
                spectral_norm(module, name)
