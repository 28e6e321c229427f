"""Denoising diffusion (Ho et al. 2020; Chi et al. 2023), with DDPM, DDIM and DPM-Solver++(2M) samplers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.backbone import Conditioned, condition
from robolearn.nets.unallocated import is_unallocated
from robolearn.policies.denoiser import Denoiser, DenoiserConfig
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Loss, MakeNet
from robolearn.policies.losses import masked_mean
from robolearn.policies.options import check_choice, check_last_noise, check_steps, runtime

Prediction = Literal["eps", "x0", "v"]
DiffusionSampler = Literal["ddpm", "ddim", "dpm++"]


@dataclass(frozen=True)
class DiffusionConfig(DenoiserConfig):
    """Denoising with the squared-cosine schedule."""

    prediction: Prediction = "v"
    """What the network predicts: the noise, the clean chunk, or v; eps is of no use with few steps."""
    train_steps: int = 100
    """Noise levels K."""
    sampler: DiffusionSampler = runtime("dpm++")  # noqa: RUF009
    """ddpm, stochastic; ddim, deterministic; dpm++, DPM-Solver++(2M), deterministic and second order."""
    steps: int = runtime(10)
    """Sampling steps, at most train_steps."""
    last_noise: float | None = runtime(None)
    """Noise over signal, sqrt((1 - abar) / abar), from whose level the last step goes to the clean chunk; by default
    that of equal steps over the levels."""

    def __post_init__(self) -> None:
        self.check_draws("diffusion")
        check_choice("diffusion prediction", self.prediction, get_args(Prediction))
        check_choice("diffusion sampler", self.sampler, get_args(DiffusionSampler))
        check_steps("diffusion", self.steps, self.train_steps)
        check_last_noise("diffusion", self.last_noise, self.steps)

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Diffusion:
        """Build the family."""
        return Diffusion(self, make_net, action_horizon, action_dim)


class Diffusion(Denoiser):
    """x_k = sqrt(abar_k) a + sqrt(1 - abar_k) e; the network sees k / K.

    ``alpha_bar[k]`` is the signal power after k levels: index 0 is clean (1.0), index K is almost pure noise.
    """

    drawn = ("noise", "level")

    alpha_bar: Tensor

    def __init__(self, cfg: DiffusionConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 1)
        self.register_buffer("alpha_bar", squared_cosine(cfg.train_steps), persistent=False)
        if not is_unallocated():
            self.levels()  # refuses a last_noise that leaves too few of them, before the training and not after it

    def corruption(self, source: DrawSource) -> Draws:
        """Noise e and levels k in 1..K."""
        return {"noise": source.normal(*self.chunk_shape), "level": source.integers(1, self.cfg.train_steps + 1)}

    def denoising_loss(self, data: Chunks, draws: Draws) -> Loss:
        """Squared error of the prediction (Ho et al. 2020, eq. 14; v: Salimans and Ho 2022, appendix D)."""
        actions, noise, level = data.actions, draws["noise"], draws["level"]
        abar = self.alpha_bar[level][:, None, None]
        x = abar.sqrt() * actions + (1 - abar).sqrt() * noise
        target = {
            "eps": lambda: noise,
            "x0": lambda: actions,
            "v": lambda: abar.sqrt() * noise - (1 - abar).sqrt() * actions,
        }[self.cfg.prediction]()
        prediction = self.net(x, data.cond, (level / self.cfg.train_steps)[:, None])
        return masked_mean((prediction - target).square(), data.mask), {}

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The initial value, and one more draw per DDPM step but the last: [draws, t, a]."""
        return (self.cfg.steps if self.cfg.sampler == "ddpm" else 1, *self.chunk_shape)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Run the chosen sampler over levels from K down to 0."""
        samplers = {"ddpm": self.ddpm, "ddim": self.ddim, "dpm++": self.dpm_solver}
        levels = self.levels()
        return samplers[self.cfg.sampler](self.denoiser(cond, levels[:-1]), noise, levels)

    def levels(self) -> list[int]:
        """Those that sampling goes through, from K down to 0, each once.

        Raises:
            UserError: There are fewer levels above that of last_noise than there are steps.
        """
        most, steps = self.cfg.train_steps, self.cfg.steps
        if self.cfg.last_noise is None:
            return torch.linspace(most, 0, steps + 1).round().long().tolist()
        noise = (1 / self.alpha_bar - 1).sqrt()
        last = int((noise <= self.cfg.last_noise).sum().clamp(min=2)) - 1
        if most - last < steps - 1:
            raise UserError(
                f"diffusion: above last_noise {self.cfg.last_noise} there are {most - last} of {most} levels, "
                f"fewer than {steps} steps need"
            )
        return [*torch.linspace(most, last, steps).round().long().tolist(), 0]

    def denoiser(self, cond: Float[Tensor, "b o c"], levels: list[int]) -> Conditioned:
        """What predicts the clean chunk from one at the i-th of these levels, clipped to where chunks are."""
        times = self.alpha_bar.new_tensor([[level / self.cfg.train_steps] for level in levels])
        predict, scales = condition(self.net, cond, times), self.scales(levels)

        def denoise(x: Tensor, i: int) -> Tensor:
            output, (signal, sigma) = predict(x, i), scales[i]
            clean = {
                "eps": lambda: (x - sigma * output) / signal,
                "x0": lambda: output,
                "v": lambda: signal * x - sigma * output,
            }[self.cfg.prediction]()
            return clean.clamp(-self.limit, self.limit)

        return denoise

    def scales(self, levels: list[int]) -> list[tuple[Tensor, Tensor]]:
        """(sqrt(abar), sqrt(1 - abar)) at each level."""
        abar = torch.stack([self.alpha_bar[level] for level in levels])  # an index would be copied to the device
        return list(zip(abar.sqrt().unbind(), (1 - abar).sqrt().unbind(), strict=True))

    def ddpm(self, denoise: Conditioned, noise: Tensor, levels: list[int]) -> Tensor:
        """Ancestral sampling (Ho et al. 2020, eq. 6-7), over any subsequence of levels.

        The variance of a step lies between beta (1 - abar') / (1 - abar), right for data that are one point, and beta,
        right for N(0, 1) (eq. 7 and below). Over neighboring levels the two hardly differ, and the first is taken;
        over a stride d of levels it is too little, and the two are mixed in the log domain (Nichol and Dhariwal 2021,
        eq. 15) with the weights 1 / d and 1 - 1 / d. With the exact denoiser of N(., 0.3^2) and K = 100 the standard
        deviation of samples is then 0.95, 0.96, 1.00 and 1.02 of what it should be with 100, 50, 20 and 10 steps; the
        first variance alone gives 0.95, 0.91, 0.82 and 0.72.
        """
        x = noise[:, 0]
        for i, (level, following) in enumerate(pairwise(levels)):
            clean = denoise(x, i)
            abar, abar_next = self.alpha_bar[level], self.alpha_bar[following]
            alpha = abar / abar_next
            mean = (abar_next.sqrt() * (1 - alpha) * clean + alpha.sqrt() * (1 - abar_next) * x) / (1 - abar)
            if following == 0:
                return mean
            small, ratio = (1 - alpha) * (1 - abar_next) / (1 - abar), (1 - abar) / (1 - abar_next)
            variance = small * ratio ** (1 - 1 / (level - following))
            x = mean + variance.sqrt() * noise[:, i + 1]
        raise AssertionError("levels end at 0")

    def ddim(self, denoise: Conditioned, noise: Tensor, levels: list[int]) -> Tensor:
        """Deterministic sampling (Song et al. 2021, eq. 12 with sigma = 0)."""
        x = noise[:, 0]
        for i, ((signal, sigma), (signal_next, sigma_next)) in enumerate(pairwise(self.scales(levels))):
            clean = denoise(x, i)
            x = signal_next * clean + sigma_next * (x - signal * clean) / sigma
        return x

    def dpm_solver(self, denoise: Conditioned, noise: Tensor, levels: list[int]) -> Tensor:
        """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); first and last step first order."""
        x, previous, h_previous = noise[:, 0], None, None
        for i, ((signal, sigma), (signal_next, sigma_next)) in enumerate(pairwise(self.scales(levels))):
            clean = denoise(x, i)
            if i == len(levels) - 2:  # log signal-to-noise ratio is infinite there, and the first-order step is exact
                return clean
            h = (signal_next / sigma_next).log() - (signal / sigma).log()
            slope = clean
            if previous is not None and h_previous is not None:
                slope = clean + (h / (2 * h_previous)) * (clean - previous)
            x = (sigma_next / sigma) * x - signal_next * torch.expm1(-h) * slope
            previous, h_previous = clean, h
        raise AssertionError("levels end at 0")

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""
        return self.cfg.steps


def squared_cosine(num_levels: int) -> Float[Tensor, " levels_plus_one"]:
    """Signal power abar_0 = 1 ... abar_K of the squared-cosine schedule (Nichol and Dhariwal 2021, eq. 17).

    Each level loses at most a share 0.999 of its power, so that abar_K stays above zero.
    """
    if is_unallocated():
        return torch.empty(num_levels + 1)
    k = torch.arange(num_levels + 1, dtype=torch.float64) / num_levels
    power = torch.cos((k + 0.008) / 1.008 * torch.pi / 2).square()
    beta = (1 - power[1:] / power[:-1]).clamp(max=0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)]).float()
