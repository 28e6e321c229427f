"""A Gaussian process from embeddings to the expert's chunks: how uncertain it is of what the expert would do.

    f ~ GP(0, v k)    y = f(x) + s e, e ~ N(0, I)    var(x) = s^2 + v - Q(x, x) + what the demonstrations leave of it

k is a Matern kernel (nu = 5/2) of the distance between standardized embeddings in units of one length; every number of
a chunk has the same prior. At the demonstrations the variance is that of the expert, s^2, and away from them s^2 + v.

It is sparse: all that n demonstrations say is kept at m of them, the inducing points, in O(n m^2). Length, v / s^2 and
s maximize Titsias' bound of the marginal likelihood, s in closed form. The points are chosen one by one, each where the
variance that the others leave is largest, so that rare demonstrations have one as well as frequent ones.

Sources: Titsias 2009, Variational learning of inducing variables; Burt et al. 2020, arXiv:2008.00323, for the choice of
points; Rasmussen and Williams 2006, eq. 4.17, for the kernel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.trust.scores.score import Score

NUM_INDUCING = 256
NUM_WINDOWS = 20_000  # that it is fitted to, more than other scores: they cost little and are not kept
NUM_SEARCHED = 4000  # of them that length and ratio are found on
ROUNDS = 2  # of choosing the points for a length, and the length for the points
FLOOR = 1e-3  # of an embedding's standard deviation, and of s / sqrt(v)
JITTER = 1e-9  # of the prior's variance
SPENT = 1e-8  # of it: a point where less is left says nothing new


class Posterior(NamedTuple):
    """What the demonstrations say at the inducing points, and how probable the bound finds them.

    Attributes:
        bound: Of the logarithm of the marginal likelihood of all targets.
        prior: L, lower Cholesky factor of k between the points.
        inner: Lower Cholesky factor of I + A A^T, with A = sqrt(v / s^2) L^-1 k(points, demonstrations).
        weights: inner^-1 A y.
        noise: s, which maximizes the bound.
    """

    bound: Float[Tensor, ""]
    prior: Float[Tensor, "m m"]
    inner: Float[Tensor, "m m"]
    weights: Float[Tensor, "m p"]
    noise: Float[Tensor, ""]


class GaussianProcess(nn.Module):
    """A sparse Gaussian process that was fitted; its buffers are all that it is.

    Args:
        centre: Mean of the embeddings.
        scale: Their standard deviation.
        points: The inducing points, standardized.
        length: Of the kernel, in standard deviations.
        ratio: v / s^2.
        noise: s.
        prior: See Posterior, as for the next two.
        inner: The same.
        weights: The same.
        mean: Of the targets.
    """

    centre: Tensor
    scale: Tensor
    points: Tensor
    length: Tensor
    ratio: Tensor
    noise: Tensor
    prior: Tensor
    inner: Tensor
    weights: Tensor
    mean: Tensor

    def __init__(
        self,
        *,
        centre: Float[Tensor, " d"],
        scale: Float[Tensor, " d"],
        points: Float[Tensor, "m d"],
        length: Float[Tensor, ""],
        ratio: Float[Tensor, ""],
        noise: Float[Tensor, ""],
        prior: Float[Tensor, "m m"],
        inner: Float[Tensor, "m m"],
        weights: Float[Tensor, "m p"],
        mean: Float[Tensor, " p"],
    ):
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)
        self.register_buffer("points", points)
        self.register_buffer("length", length)
        self.register_buffer("ratio", ratio)
        self.register_buffer("noise", noise)
        self.register_buffer("prior", prior)
        self.register_buffer("inner", inner)
        self.register_buffer("weights", weights)
        self.register_buffer("mean", mean)

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return self.variance(embedding)

    def variance(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Variance of each number of a new target, in squared units of the targets; in double precision."""
        seen = self._seen(features)
        left = torch.linalg.solve_triangular(self.inner, seen, upper=False)
        return self.noise**2 * (1 + self.ratio - seen.square().sum(0) + left.square().sum(0))

    def predict(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b p"]:
        """Mean of a new target; in double precision."""
        left = torch.linalg.solve_triangular(self.inner, self._seen(features), upper=False)
        return self.mean + left.T @ self.weights

    def _seen(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "m b"]:
        """Covariance with the inducing points, whitened and in units of s."""
        distances = torch.cdist(self.points, (features.double() - self.centre) / self.scale)
        return _whitened(self.prior, distances, self.length, self.ratio)


def fit_gaussian_process(
    features: Float[Tensor, "n d"], targets: Float[Tensor, "n p"], num_inducing: int = NUM_INDUCING
) -> GaussianProcess:
    """Fit a sparse Gaussian process; nothing is random.

    Args:
        features: Of demonstrations, in any units, and in a random order: length and ratio are found on the first.
        targets: What is to be predicted, such as chunks in a row; their numbers in units of about the same size.
        num_inducing: Points at which it is kept, at most; with all demonstrations it is the exact Gaussian process.

    Raises:
        UserError: There are fewer than two demonstrations or no points, a number is not finite, or all targets are the
            same.
    """
    x, y = features.double(), targets.double()
    if len(x) < 2 or num_inducing < 1 or not (x.isfinite().all() and y.isfinite().all()):
        raise UserError(
            f"a Gaussian process needs at least 2 finite demonstrations and 1 inducing point, got {len(x)} and "
            f"{num_inducing}"
        )
    centre, scale, mean = x.mean(0), x.std(0).clamp(min=FLOOR), y.mean(0)
    x, y = (x - centre) / scale, y - mean
    if not y.any():
        raise UserError("a Gaussian process has nothing to learn of demonstrations whose chunks are all the same")
    logs = x.new_tensor([0.5 * math.log(x.shape[1]), 0.0])  # of the length, and of s^2 / v
    for _ in range(ROUNDS):
        points = x[choose_points(x, logs[0].exp(), num_inducing)]
        logs = _search(logs, torch.cdist(points, points), torch.cdist(points, x[:NUM_SEARCHED]), y[:NUM_SEARCHED])
    length, ratio = _scales(logs)
    solution = posterior(torch.cdist(points, points), torch.cdist(points, x), y, length, ratio)
    kept = solution._asdict()
    del kept["bound"]
    return GaussianProcess(centre=centre, scale=scale, points=points, length=length, ratio=ratio, mean=mean, **kept)


def choose_points(x: Float[Tensor, "n d"], length: Float[Tensor, ""], count: int) -> Int[Tensor, " m"]:
    """Choose inducing points, each where the variance that the ones before leave is largest: a pivoted Cholesky factor.

    Args:
        x: Standardized features.
        length: Of the kernel.
        count: Points, fewer where hardly any variance is left.
    """
    left, rows, chosen = x.new_ones(len(x)), x.new_zeros(min(count, len(x)), len(x)), []
    for row in range(len(rows)):
        point = int(left.argmax())
        if left[point] < SPENT:
            break
        cross = _matern(torch.cdist(x[point : point + 1], x)[0] / length)
        rows[row] = (cross - rows[:row, point] @ rows[:row]) / left[point].sqrt()
        left = left - rows[row].square()
        chosen.append(point)
    return torch.tensor(chosen, device=x.device)


def posterior(
    near: Float[Tensor, "m m"],
    across: Float[Tensor, "m n"],
    targets: Float[Tensor, "n p"],
    length: Float[Tensor, ""],
    ratio: Float[Tensor, ""],
) -> Posterior:
    """Condition on the demonstrations, at the noise that maximizes the bound.

    Args:
        near: Distances between inducing points.
        across: Distances from these to the demonstrations.
        targets: Of the demonstrations, with a mean of 0.
        length: Of the kernel.
        ratio: v / s^2.

    Source: Titsias 2009, eq. 9. Its terms without s^2 and with it are apart once everything is in units of s.
    """
    n, p = targets.shape
    eye = torch.eye(len(near), dtype=near.dtype, device=near.device)
    prior = torch.linalg.cholesky(_matern(near / length) + JITTER * eye)
    seen = _whitened(prior, across, length, ratio)
    inner = torch.linalg.cholesky(eye + seen @ seen.T)
    weights = torch.linalg.solve_triangular(inner, seen @ targets, upper=False)
    variance = (targets.square().sum() - weights.square().sum()) / (n * p)
    fit = -0.5 * n * p * (torch.log(2 * torch.pi * variance) + 1) - p * inner.diagonal().log().sum()
    lost = 0.5 * p * (n * ratio - seen.square().sum())  # variance of the demonstrations that the points do not see
    return Posterior(fit - lost, prior, inner, weights, variance.sqrt())


def _search(
    logs: Float[Tensor, "2"], near: Float[Tensor, "m m"], across: Float[Tensor, "m n"], targets: Float[Tensor, "n p"]
) -> Float[Tensor, "2"]:
    """Maximize the bound over the logarithms of length and s^2 / v."""
    logs = logs.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logs], max_iter=30, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -posterior(near, across, targets, *_scales(logs)).bound / targets.numel()
        value.backward()
        return value

    optimizer.step(loss)
    return logs.detach()


def _scales(logs: Float[Tensor, "2"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Length and v / s^2; targets without noise would have no largest ratio."""
    length, noise = logs.exp()
    return length, 1 / (noise + FLOOR**2)


def _matern(distance: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Matern kernel with nu = 5/2 of distances in units of the length."""
    far = math.sqrt(5) * distance
    return (1 + far + far.square() / 3) * torch.exp(-far)


def _whitened(
    prior: Float[Tensor, "m m"], across: Float[Tensor, "m n"], length: Float[Tensor, ""], ratio: Float[Tensor, ""]
) -> Float[Tensor, "m n"]:
    """sqrt(v / s^2) L^-1 k."""
    return ratio.sqrt() * torch.linalg.solve_triangular(prior, _matern(across / length), upper=False)


GP = Score.of_embeddings(
    "gp",
    lambda embeddings, chunks, _: fit_gaussian_process(embeddings, chunks),
    lambda state: GaussianProcess(**state),
    NUM_WINDOWS,
)
