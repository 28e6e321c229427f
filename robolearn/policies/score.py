"""Score-based model: one denoiser, sampled as EDM's differential equation or by annealed Langevin dynamics.

Sources: Karras et al. 2022 (EDM); Song and Ermon 2019 (NCSN).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.backbone import Conditioned, condition
from robolearn.policies.denoiser import Denoiser, DenoiserConfig
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Examples, Loss, MakeNet
from robolearn.policies.losses import masked_mean
from robolearn.policies.options import check_choice, check_last_noise, check_steps, runtime

ScoreSampler = Literal["heun", "euler", "langevin"]
EXAMPLES = 10_000
RHO = 7  # curvature of the noise levels (EDM, eq. 5)


@dataclass(frozen=True)
class ScoreConfig(DenoiserConfig):
    """Denoising at all noise levels with EDM's preconditioning."""

    sigma_min: float = 0.01
    """Smallest noise level, in normalized actions."""
    sigma_max: float = 10.0
    """Largest noise level; actions lie in [-1, 1], so images' 80 would waste steps."""
    log_sigma_mean: float = -0.5
    """Mean of the logarithm of the noise levels trained on."""
    log_sigma_std: float = 1.2
    """Their standard deviation."""
    sampler: ScoreSampler = runtime("heun")  # noqa: RUF009
    """heun, second order; euler, first order; langevin, several noisy steps at each noise level."""
    steps: int = runtime(10)
    """Noise levels to go through."""
    last_noise: float | None = runtime(None)
    """Noise from which the last step goes to the clean chunk, relative to the signal; by default sigma_min."""
    langevin_repeats: int = runtime(5)
    """Langevin steps at each noise level."""
    langevin_step: float = runtime(0.7)
    """Langevin step in units of sigma^2, in (0, 1): x += step sigma^2 score + sqrt(2 step) sigma noise."""

    def __post_init__(self) -> None:
        self.check_draws("score")
        check_choice("score sampler", self.sampler, get_args(ScoreSampler))
        check_steps("score", self.steps)
        check_steps("score: langevin repeats", self.langevin_repeats)
        check_last_noise("score", self.last_noise, self.steps)
        if not 0 < self.sigma_min < self.sigma_max:
            raise UserError(f"score: 0 < sigma_min {self.sigma_min} < sigma_max {self.sigma_max} must hold")
        if not self.sigma_min <= self.least_noise < self.sigma_max:
            raise UserError(
                f"score: last_noise {self.last_noise} must be in [{self.sigma_min}, {self.sigma_max}), "
                "sigma_min and sigma_max"
            )
        if self.log_sigma_std <= 0 or not 0 < self.langevin_step < 1:
            raise UserError(
                f"score: log_sigma_std {self.log_sigma_std} must be above 0, "
                f"langevin_step {self.langevin_step} in (0, 1)"
            )
        if self.sampler == "langevin" and self.langevin_growth >= 1:
            raise UserError(
                f"score: langevin with steps {self.steps}, langevin_repeats {self.langevin_repeats} and langevin_step "
                f"{self.langevin_step} lets the noise grow from level to level, by {self.langevin_growth:.3g} relative "
                "to sigma^2; it must be below 1: raise one of them"
            )

    @property
    def langevin_growth(self) -> float:
        """Factor per noise level by which Langevin's excess of noise grows relative to sigma^2; works below 1 only.

        Where the data are a point, a step of size h turns variance v into (1 - h)^2 v + 2 h sigma^2. With n steps at
        each level, r = sigma_{i-1} / sigma_i and q = (1 - h)^2n, the ratio u = v / sigma^2 at the end of a level obeys

            u' = q r^2 u + c,    c = 2 (1 - q) / (2 - h),    with the fixed point u = c / (1 - q r^2)

        where it should be 1. At growth q r^2 >= 1 there is none: the noise of the first levels is never forgotten.
        Data of standard deviation s stop contracting the noise where sigma < s, so what is there then stays: samples
        have 1.18 s with the defaults (q r^2 = 3e-5, u = 1.54), 1.07 s with 20 levels; 1.64 s with steps of 0.25.
        """
        if self.steps == 1:
            return math.inf
        ratio = (self.sigma_max / self.least_noise) ** (1 / (self.steps - 1))
        return (1 - self.langevin_step) ** (2 * self.langevin_repeats) * ratio**2

    @property
    def least_noise(self) -> float:
        """The lowest level that sampling goes through."""
        return self.sigma_min if self.last_noise is None else self.last_noise

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Score:
        """Build the family."""
        return Score(self, make_net, action_horizon, action_dim)


class Score(Denoiser):
    """D(x; s) = c_skip x + c_out F(c_in x; ln s) estimates the clean chunk; the score is (D - x) / s^2.

    ``sigma_data`` is the standard deviation of the normalized actions, measured before training.
    """

    drawn = ("noise", "level")

    sigma_data: Tensor

    def __init__(self, cfg: ScoreConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 1)
        self.register_buffer("sigma_data", torch.tensor(0.5))

    @torch.no_grad()
    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Measure sigma_data."""
        data = examples(EXAMPLES)
        self.sigma_data.copy_(data.actions[data.mask].std())

    def corruption(self, source: DrawSource) -> Draws:
        """Noise, and the place of ln sigma in its distribution."""
        return {"noise": source.normal(*self.chunk_shape), "level": source.normal()}

    def denoising_loss(self, data: Chunks, draws: Draws) -> Loss:
        """Squared error of D, weighted to unit variance at initialization (EDM, eq. 8 and table 1)."""
        cfg = self.cfg
        sigma = (cfg.log_sigma_mean + cfg.log_sigma_std * draws["level"]).exp()
        sigma = sigma.clamp(cfg.sigma_min, cfg.sigma_max)
        denoised = self.denoise(
            lambda x: self.net(x, data.cond, self.time(sigma)),
            data.actions + sigma[:, None, None] * draws["noise"],
            sigma,
        )
        weight = (sigma.square() + self.sigma_data.square()) / (sigma * self.sigma_data).square()
        return masked_mean(weight[:, None, None] * (denoised - data.actions).square(), data.mask), {}

    def denoise(
        self, net: Callable[[Tensor], Tensor], x: Float[Tensor, "b t a"], sigma: Float[Tensor, " s"]
    ) -> Float[Tensor, "b t a"]:
        """D(x; sigma, o) (EDM, eq. 7), for a level per row or one for all; ``net`` is F at these levels."""
        total = (sigma.square() + self.sigma_data.square())[:, None, None]
        s, data = sigma[:, None, None], self.sigma_data
        return (data**2 / total) * x + (s * data / total.sqrt()) * net(x / total.sqrt())

    def denoiser(self, cond: Float[Tensor, "b o c"], levels: list[float]) -> Conditioned:
        """D(x; sigma, o) at the i-th of these levels."""
        sigma = self.sigma_data.new_tensor(levels)
        net = condition(self.net, cond, self.time(sigma))
        return lambda x, i: self.denoise(lambda scaled: net(scaled, i), x, sigma[i : i + 1])

    def time(self, sigma: Float[Tensor, " s"]) -> Float[Tensor, "s 1"]:
        """What the network sees of noise levels: where ln sigma lies, in [0, 1]."""
        low, high = math.log(self.cfg.sigma_min), math.log(self.cfg.sigma_max)
        return ((sigma.log() - low) / (high - low))[:, None]

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The initial value, and one more draw per Langevin step: [draws, t, a]."""
        repeats = self.cfg.langevin_repeats if self.cfg.sampler == "langevin" else 0
        return (1 + self.cfg.steps * repeats, *self.chunk_shape)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Run the chosen sampler from sigma_max down."""
        return self.langevin(cond, noise) if self.cfg.sampler == "langevin" else self.integrate(cond, noise[:, 0])

    def integrate(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
        """dx/ds = (x - D(x; s)) / s from sigma_max to 0 (EDM, algorithm 1 without churn)."""
        low, high = self.cfg.least_noise ** (1 / RHO), self.cfg.sigma_max ** (1 / RHO)
        levels = [*(torch.linspace(high, low, self.cfg.steps, dtype=torch.float64) ** RHO).tolist(), 0.0]
        denoise = self.denoiser(cond, levels[:-1])
        x = self.cfg.sigma_max * noise
        for i, (sigma, following) in enumerate(pairwise(levels)):
            slope = (x - denoise(x, i)) / sigma
            end = x + (following - sigma) * slope
            if following > 0 and self.cfg.sampler == "heun":
                slope = 0.5 * (slope + (end - denoise(end, i + 1)) / following)
                end = x + (following - sigma) * slope
            x = end
        return x

    def langevin(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b n t a"]) -> Float[Tensor, "b t a"]:
        """Annealed Langevin dynamics (Song and Ermon 2019, algorithm 1), and a last step without noise."""
        cfg = self.cfg
        exponents = torch.linspace(math.log(cfg.sigma_max), math.log(cfg.least_noise), cfg.steps, dtype=torch.float64)
        levels = exponents.exp().tolist()
        denoise = self.denoiser(cond, [*levels, cfg.least_noise])
        x = cfg.sigma_max * noise[:, 0]
        draws = iter(noise[:, 1:].unbind(1))
        for i, sigma in enumerate(levels):
            for _ in range(cfg.langevin_repeats):
                drift = cfg.langevin_step * (denoise(x, i) - x)  # step sigma^2 score
                x = x + drift + math.sqrt(2 * cfg.langevin_step) * sigma * next(draws)
        return denoise(x, len(levels))

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""
        steps = self.cfg.steps
        return {"euler": steps, "heun": 2 * steps - 1, "langevin": steps * self.cfg.langevin_repeats + 1}[
            self.cfg.sampler
        ]
