"""Conditional variational autoencoder over chunks (Sohn et al. 2015; Zhao et al. 2023, ACT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.sizes import check_sizes
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Family, FamilyConfig, Loss, MakeNet
from robolearn.policies.options import check_choice, runtime

Latent = Literal["sampled", "zero"]


@dataclass(frozen=True)
class CVAEConfig(FamilyConfig):
    """Encoder, learned prior and decoder; one evaluation of the backbone."""

    latent_dim: int = 8
    """Numbers in the latent z."""
    beta: float = 0.01
    """Weight of the divergence of a chunk's latent from the prior, in nats, against the error per number.

    ACT's setting is beta 10 with latent zero."""
    free_bits: float = 0.1
    """Divergence per latent number [nat] that costs nothing, so that latents do not fall out of use."""
    learned_prior: bool = True
    """Prior p(z | o) from the observations; otherwise N(0, I)."""
    latent: Latent = runtime("sampled")  # noqa: RUF009
    """sampled, from the prior; zero, the prior's mean as in ACT: deterministic, so it covers one mode."""

    def __post_init__(self) -> None:
        check_choice("cvae latent", self.latent, get_args(Latent))
        check_sizes("cvae", latent_dim=self.latent_dim)
        if self.beta < 0 or self.free_bits < 0:
            raise UserError(f"cvae: beta {self.beta} and free_bits {self.free_bits} must not be negative")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> CVAE:
        """Build the family."""
        return CVAE(self, make_net, action_horizon, action_dim)


class CVAE(Family):
    """L = |a - f(z, o)| + beta sum_j max(KL_j(q(z | a, o), p(z | o)), free bits), z ~ q; f is the policy."""

    def __init__(self, cfg: CVAEConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(cfg.latent_dim, action_dim, 0)
        self.posterior = make_net.head(action_horizon * action_dim, 2 * cfg.latent_dim)
        self.prior = make_net.head(0, 2 * cfg.latent_dim) if cfg.learned_prior else None

    def draw(self, source: DrawSource) -> Draws:
        """Noise of the latent."""
        return {"latent": source.normal(self.cfg.latent_dim)}

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Evidence lower bound with the absolute error (ACT, eq. 2-3) and free bits (Kingma et al. 2016, eq. 15)."""
        actions, cond, valid = data.actions, data.cond, data.mask[:, :, None]
        q_mean, q_log_std = self.posterior((actions * valid).flatten(1), cond).chunk(2, dim=1)
        p_mean, p_log_std = self.prior_of(cond)
        latent = q_mean + q_log_std.exp() * draws["latent"]
        divergence = gaussian_divergence(q_mean, q_log_std, p_mean, p_log_std)
        # Free bits are a property of the distribution: they apply to the mean over the batch.
        bounded = divergence.mean(0).clamp(min=self.cfg.free_bits).sum()
        error = ((self.decode(latent, cond) - actions).abs() * valid).mean()
        return error + self.cfg.beta * bounded, {"error": error, "divergence": divergence.sum(1).mean()}

    def prior_of(self, cond: Float[Tensor, "b o c"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mean and log standard deviation of p(z | o)."""
        if self.prior is None:
            zeros = cond.new_zeros(len(cond), self.cfg.latent_dim)
            return zeros, zeros
        mean, log_std = self.prior(cond.new_zeros(len(cond), 0), cond).chunk(2, dim=1)
        return mean, log_std

    def decode(self, latent: Float[Tensor, "b z"], cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t a"]:
        """The chunk of a latent, which every step sees."""
        return self.net(latent[:, None].expand(-1, self.chunk_shape[0], -1), cond)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """That of the latent."""
        return (self.cfg.latent_dim,)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Decode a latent drawn from the prior, or the prior's mean."""
        mean, log_std = self.prior_of(cond)
        spread = log_std.exp() * noise if self.cfg.latent == "sampled" else 0.0
        return self.decode(mean + spread, cond)


def gaussian_divergence(
    q_mean: Float[Tensor, "b z"],
    q_log_std: Float[Tensor, "b z"],
    p_mean: Float[Tensor, "b z"],
    p_log_std: Float[Tensor, "b z"],
) -> Float[Tensor, "b z"]:
    """KL(N(q_mean, q_std^2) | N(p_mean, p_std^2)) of each number [nat]."""
    ratio = (2 * (q_log_std - p_log_std)).exp()
    shift = ((q_mean - p_mean) / p_log_std.exp()).square()
    return 0.5 * (ratio + shift - 1) - (q_log_std - p_log_std)
