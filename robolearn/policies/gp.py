"""Sparse variational Gaussian process on what the backbone makes of the observations (a deep kernel), for few data.

    f_p ~ GP(0, s^2 k)    a_p = f_p(z(o)) + noise_p e    k(x, y) = exp(-|x - y|^2 / 2 l^2)

Every number p of the chunk has a function f_p of its own; all share the kernel, its features z and its length l. The
functions are kept at m inducing points Z, whitened: with K = L L^T the kernel between the points,

    f_p(z) given u_p is N(s w^T u_p, s^2 (1 - w^T w)),  w = L^-1 k(Z, z),  u_p ~ N(0, I),  q(u_p) = N(m_p, R R^T)

The means m_p are each number's own, R is shared. Training maximizes a lower bound of the log marginal likelihood

    sum over windows of E_q log p(a | f) - sum over p of KL(q(u_p) | p(u_p))

over batches of N windows, so that the divergence counts as one N-th beside a window's likelihood. What the backbone
hands on is taken to double precision, which autocast leaves alone: L^-1 magnifies errors up to a thousand times, and a
deployed policy is to give the same chunks.

Sources: Titsias 2009, Variational learning of inducing variables in sparse Gaussian processes; Hensman et al. 2013,
Gaussian processes for big data (arXiv:1309.6835), for batches; Hensman et al. 2015, Scalable variational Gaussian
process classification (arXiv:1411.2005), for the whitened form; Wilson et al. 2016, Deep kernel learning
(arXiv:1511.02222).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.sizes import check_sizes
from robolearn.policies.draws import Draws, standard_normal
from robolearn.policies.family import BY_HEART, Chunks, Examples, Family, FamilyConfig, Loss, MakeNet
from robolearn.policies.options import runtime

NUM_EXAMPLES = 4_000  # windows that it begins with
ROWS = 512  # of them that the backbone is shown at once
FIRST_NOISE = 0.3  # in normalized actions, until training begins
ROUNDS = 3  # of q and noise in turn, before training begins: a chunk's frame decides how large its numbers are
LEAST_SPREAD = 1e-6  # of features; those of a single window have none
APART = 0.1  # of the features' spread, by which points are moved that several of them might begin at
JITTER = 1e-6  # of the prior's variance


@dataclass(frozen=True)
class GPConfig(FamilyConfig):
    """Gaussian process regression: one evaluation, deterministic by default; knows where it has seen little."""

    dropout: ClassVar[float] = BY_HEART

    num_inducing: int = 128
    """Inducing points m: as much as it can tell apart."""
    width: int = 16
    """Features z that the backbone hands on."""
    min_std: float = 0.01
    """Smallest standard deviation of the noise, in normalized actions; keeps the likelihood bounded."""
    std_scale: float = runtime(0.0)
    """Share of the predictive standard deviation that samples carry; 0 takes the mean."""

    def __post_init__(self) -> None:
        check_sizes("gp", num_inducing=self.num_inducing, width=self.width)
        if self.min_std <= 0 or self.std_scale < 0:
            raise UserError(f"gp: min_std {self.min_std} must be above 0 and std_scale {self.std_scale} not negative")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> GP:
        """Build the family."""
        return GP(self, make_net, action_horizon, action_dim)


class GP(Family):
    """p(a | o) = N(s w^T m_p, s^2 (1 - w^T w + |R^T w|^2) + noise_p^2) for each number p of the chunk.

    Attributes:
        inducing: Z.
        mean: m_p, a column for each number; a draw from the prior until training begins.
        root: R below the diagonal, and on it the logarithm of R's.
        num_windows: N; 0 until training begins.
    """

    num_windows: Tensor

    def __init__(self, cfg: GPConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, cfg.width, 0)
        m = cfg.num_inducing
        self.inducing = nn.Parameter(nn.init.normal_(torch.empty(m, cfg.width)))
        self.mean = nn.Parameter(nn.init.normal_(torch.empty(m, action_horizon * action_dim)))
        self.root = nn.Parameter(torch.zeros(m, m))
        self.log_length = nn.Parameter(torch.full((1,), 0.5 * math.log(cfg.width)))
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.log_noise = nn.Parameter(torch.full(self.chunk_shape, math.log(FIRST_NOISE)))
        self.register_buffer("num_windows", torch.zeros(()))

    @torch.no_grad()
    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Begin with points and length of the data, and with what these say; a resumed run keeps what it has."""
        if self.num_windows:
            return
        self.num_windows.fill_(examples.total)
        data = examples(NUM_EXAMPLES)
        features = torch.cat([self.features(part) for part in data.cond.split(ROWS)])
        spread = features.var(0, correction=0).sum().sqrt().clamp(min=LEAST_SPREAD)
        rows = torch.arange(self.cfg.num_inducing, device=features.device) % len(features)
        apart = APART / math.sqrt(self.cfg.width) * standard_normal(*self.inducing.shape, generator=generator)
        self.inducing.copy_(features[rows] + spread * apart)
        self.log_length.copy_((math.sqrt(2) * spread).log())  # the root mean square of their distances
        for _ in range(ROUNDS):
            self.condition(features, data.actions)
            seen = self.whiten(features)
            error = (data.actions - self.center(seen)).square() + self.variance(seen)[:, None, None]
            noise = error.mean(0).sqrt()  # what maximizes the bound with this q
            self.log_noise.copy_((noise - self.cfg.min_std).clamp(min=self.cfg.min_std).log())
        self.condition(features, data.actions)

    @torch.no_grad()
    def condition(self, features: Float[Tensor, "n w"], actions: Float[Tensor, "n t a"]) -> None:
        """Set q to what maximizes the bound, where all numbers have the same noise and no step is padding.

        Args:
            features: z of all windows, or of some that stand for all.
            actions: Their chunks.

        Source: Titsias 2009, eq. 10.
        """
        seen, y = self.whiten(features), actions.flatten(1).double()
        precision = self.noise_std().double().square().mean().reciprocal() * self.num_windows.double() / len(y)
        eye = torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device)
        covariance = torch.linalg.inv(eye + precision * seen.T @ seen)
        root = torch.linalg.cholesky(covariance)
        self.mean.copy_(covariance @ (precision * seen.T @ y))
        self.root.copy_(root.tril(-1) + torch.diag(root.diagonal().log()))

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """The negative bound, in nats per window and number of a full chunk; of the likelihood valid steps alone."""
        seen = self.seen(data.cond)
        variance, noise = self.variance(seen), self.noise_std()
        error = (data.actions - self.center(seen)).square() + variance[:, None, None]
        log_density = -0.5 * error / noise.square() - noise.log() - 0.5 * math.log(2 * math.pi)
        likelihood = (log_density * data.mask[:, :, None]).sum((1, 2)).mean()
        loss = (self.divergence() / self.num_windows - likelihood) / noise.numel()
        return loss, {"noise": noise.mean().detach(), "doubt": variance.sqrt().mean().detach()}

    def divergence(self) -> Float[Tensor, ""]:
        """KL(q | p), the sum over the numbers of a chunk [nat]."""
        m, numbers = self.mean.shape
        spread = self.covariance_root().square().sum() - m - 2 * self.root.double().diagonal().sum()
        return (0.5 * (self.mean.double().square().sum() + numbers * spread)).to(self.mean.dtype)

    def covariance_root(self) -> Float[Tensor, "m m"]:
        """R, lower triangular."""
        root = self.root.double()
        return root.tril(-1) + root.diagonal().exp().diag_embed()

    def noise_std(self) -> Float[Tensor, "t a"]:
        """Standard deviation of the demonstrations around f, for each number of a chunk."""
        return self.cfg.min_std + self.log_noise.exp()

    def features(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b w"]:
        """z, the mean over the steps of a chunk."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond).double().mean(1)

    def seen(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b m"]:
        """What the inducing points see of observations, s w."""
        return self.whiten(self.features(cond))

    def whiten(self, features: Float[Tensor, "b w"]) -> Float[Tensor, "b m"]:
        """The same of features."""
        points = self.inducing.double()
        eye = torch.eye(len(points), dtype=points.dtype, device=points.device)
        factor, failed = torch.linalg.cholesky_ex(self.kernel(points, points) + JITTER * eye)  # waits for no device
        factor = torch.where(failed > 0, torch.nan, factor)
        # The inverse does not depend on the observations: where a policy is deployed, it is a constant.
        inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
        return self.log_scale.double().exp() * (self.kernel(features, points) @ inverse.T)

    def kernel(self, x: Float[Tensor, "n w"], y: Float[Tensor, "m w"]) -> Float[Tensor, "n m"]:
        """k; its squares are taken around the points' middle, as small numbers lose no digits."""
        middle, length = self.inducing.double().mean(0), self.log_length.double().exp()
        x, y = ((one - middle) / length for one in (x, y))
        return (x @ y.T - 0.5 * x.square().sum(1)[:, None] - 0.5 * y.square().sum(1)).exp()

    def center(self, seen: Float[Tensor, "b m"]) -> Float[Tensor, "b t a"]:
        """Mean of the chunk."""
        return (seen @ self.mean.double()).to(self.mean.dtype).unflatten(1, self.chunk_shape)

    def variance(self, seen: Float[Tensor, "b m"]) -> Float[Tensor, " b"]:
        """Variance of f, of every number of the chunk alike: what the data leave open."""
        left = (seen @ self.covariance_root()).square().sum(1) - seen.square().sum(1)
        return ((2 * self.log_scale.double()).exp() + left).clamp(min=0).to(self.mean.dtype)  # rounding

    def predict(self, cond: Float[Tensor, "b o c"]) -> tuple[Float[Tensor, "b t a"], Float[Tensor, "b t a"]]:
        """Mean and standard deviation of the chunk, the demonstrations' noise included."""
        seen = self.seen(cond)
        return self.center(seen), (self.variance(seen)[:, None, None] + self.noise_std().square()).sqrt()

    def doubt(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, " b"]:
        """Standard deviation of f: 0 where the data say everything, s where they say nothing."""
        return self.variance(self.seen(cond)).sqrt()

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """A number for each of the chunk where samples carry some of the standard deviation."""
        return self.chunk_shape if self.cfg.std_scale else (0,)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The mean, plus a share of the standard deviation."""
        if not self.cfg.std_scale:
            return self.center(self.seen(cond))
        mean, std = self.predict(cond)
        return mean + self.cfg.std_scale * std * noise
