"""Which of several sampled chunks to execute."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEAR = 0.25  # share of the samples that makes a mode


def most_agreed(chunks: Float[Tensor, "k b n t a"]) -> Int[Tensor, " b"]:
    """Index of the first member's sample in the densest place of the others' samples; of its own, if there are none.

    Dense is where a quarter of the samples is nearest: a sample of a mode, not one between two modes.
    """
    k, b = chunks.shape[:2]
    own = chunks[0].flatten(2).double()
    others = (chunks[1:] if k > 1 else chunks).transpose(0, 1).reshape(b, -1, own.shape[2]).double()
    distance = torch.cdist(own, others, compute_mode="donot_use_mm_for_euclid_dist").sort(2).values
    itself = int(k == 1)  # at distance 0
    nearest = math.ceil(NEAR * (others.shape[1] - itself)) + itself
    return distance[:, :, min(nearest, others.shape[1]) - 1].argmin(1)
