"""Last-layer Laplace: how uncertain a linear last layer is of its prediction, in closed form.

For a linear map from features to targets with Gaussian noise the Laplace approximation is exact: it is Bayesian
linear regression.

    Sigma = (Phi^T Phi / s^2 + lam I)^-1      var(o) = phi(o)^T Sigma phi(o) + s^2

The features may be the inputs of a network's last layer, or a policy's embeddings with the expert's chunks as targets,
which serves any policy. It knows what the features tell: on a low-dimensional observation as it is, it is a distance
from the demonstrations along their principal axes.

Sources: Daxberger et al. 2021, Laplace Redux, arXiv:2106.14806; Bishop 2006, section 3.3.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.trust.scores.score import Score


class LastLayer(nn.Module):
    """Posterior of a linear layer, such as predicts the expert's chunk from the embedding.

    Args:
        mean: Its weights, with the bias in the last row.
        factor: Lower Cholesky factor of Sigma^-1, the same for every target.
        noise: s, standard deviation of the targets around the prediction.
    """

    mean: Tensor
    factor: Tensor
    noise: Tensor

    def __init__(
        self,
        mean: Float[Tensor, "d_plus_one p"],
        factor: Float[Tensor, "d_plus_one d_plus_one"],
        noise: Float[Tensor, ""],
    ):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)
        self.register_buffer("noise", noise)

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return self.variance(embedding)

    def variance(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Variance of each number of a new target, in squared units of the targets."""
        whitened = torch.linalg.solve_triangular(self.factor, _with_one(features).T, upper=False)
        return (whitened.square().sum(0) + self.noise**2).to(features.dtype)

    def predict(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b p"]:
        """Mean of a new target."""
        return (_with_one(features) @ self.mean).to(features.dtype)


def fit_last_layer(
    features: Float[Tensor, "m d"], targets: Float[Tensor, "m p"], precision: float = 1.0, noise: float | None = None
) -> LastLayer:
    """Fit a linear layer and its posterior.

    Args:
        features: Of demonstrations, best at a scale of about 1, for the prior treats all alike.
        targets: What the layer is to predict, such as chunks in a row.
        precision: lam of the prior N(0, I / lam) of the weights, above 0.
        noise: s; by default the root mean square error of least squares with ridge lam, which is too small where
            there are not many more demonstrations than features.

    Raises:
        UserError: precision is not above 0, or noise is not, as where targets are exactly linear.
    """
    phi, y = _with_one(features), targets.double()
    gram, eye = phi.T @ phi, torch.eye(phi.shape[1], dtype=torch.float64, device=phi.device)
    if noise is None and precision > 0:
        ridge = torch.linalg.solve(gram + precision * eye, phi.T @ y)
        noise = math.sqrt((phi @ ridge - y).square().mean().item())
    if noise is None or not (precision > 0 and noise > 0):
        raise UserError(f"last layer: precision {precision} and noise {noise} must be above 0")
    factor = torch.linalg.cholesky(gram / noise**2 + precision * eye)
    mean = torch.cholesky_solve(phi.T @ y / noise**2, factor)
    return LastLayer(mean, factor, torch.tensor(noise, dtype=torch.float64, device=phi.device))


def _with_one(features: Float[Tensor, "b d"]) -> Float[Tensor, "b d_plus_one"]:
    """Features in double precision, and a constant one for the bias."""
    return torch.nn.functional.pad(features.double(), (0, 1), value=1.0)


LAPLACE = Score.of_embeddings(
    "laplace",
    lambda embeddings, chunks, _: fit_last_layer(embeddings, chunks),
    lambda state: LastLayer(state["mean"], state["factor"], state["noise"]),
)
