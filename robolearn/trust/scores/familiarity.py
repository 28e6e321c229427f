"""Scores that compare an observation's embedding with those of demonstrations, as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.trust.scores.score import Score


def neighbor_distance(
    embedding: Float[Tensor, "b d"], reference: Float[Tensor, "m d"], num_neighbors: int = 10
) -> Float[Tensor, " b"]:
    """Distance to the k-th nearest embedding of the demonstrations.

    Source: Sun et al. 2022, arXiv:2204.06507.

    Raises:
        UserError: There are fewer demonstrations than neighbors.
    """
    if not 1 <= num_neighbors <= len(reference):
        raise UserError(f"num_neighbors {num_neighbors} must be in 1..{len(reference)}")
    return torch.cdist(embedding, reference).topk(num_neighbors, dim=1, largest=False).values[:, -1]


def mahalanobis(
    embedding: Float[Tensor, "b d"], reference: Float[Tensor, "m d"], ridge: float = 1e-6
) -> Float[Tensor, " b"]:
    """Mahalanobis distance to the demonstrations' embeddings.

    Args:
        embedding: To be judged.
        reference: Of the demonstrations.
        ridge: Added to the covariance, in its mean variance: directions without spread stay finite.

    Source: Lee et al. 2018, arXiv:1807.03888.
    """
    center = reference.double().mean(0)
    offset = reference.double() - center
    covariance = offset.T @ offset / len(reference)
    floor = ridge * covariance.diagonal().mean().clamp(min=1e-12)
    factor = torch.linalg.cholesky(covariance + floor * torch.eye(len(covariance), device=covariance.device))
    whitened = torch.linalg.solve_triangular(factor, (embedding.double() - center).T, upper=False)
    return whitened.square().sum(0).sqrt().float()


class Reference(nn.Module):
    """A score that compares with the demonstrations' embeddings themselves.

    Args:
        score: (embeddings [b, d], those of demonstrations [m, d]) -> [b].
        reference: Those of demonstrations.
    """

    reference: Tensor

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor], reference: Float[Tensor, "m d"]):
        super().__init__()
        self.score = score
        self.register_buffer("reference", reference)

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return self.score(embedding, self.reference)


def _comparing(name: str, score: Callable[[Tensor, Tensor], Tensor]) -> Score:
    return Score.of_embeddings(
        name, lambda embeddings, *_: Reference(score, embeddings), lambda state: Reference(score, state["reference"])
    )


NEIGHBOR = _comparing("neighbour", neighbor_distance)
MAHALANOBIS = _comparing("mahalanobis", mahalanobis)
