"""A variational autoencoder: features are the mean of a Gaussian from whose samples an image is reconstructed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.vision import VisionConfig
from robolearn.representation.decoder import Decoder
from robolearn.representation.method import Method, MethodConfig, Shape, levels, pixels

WIDEST = 10.0  # of the logarithm of a variance, either way


@dataclass(frozen=True)
class VAEConfig(MethodConfig):
    """Reconstruct an image from noisy features."""

    kl_weight: float = 0.01
    """Weight of the Kullback-Leibler divergence of the features from a standard normal distribution; twice the variance
    that pixels in [-1, 1] are taken to have."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.kl_weight) and self.kl_weight >= 0):
            raise UserError(f"`kl_weight` {self.kl_weight:g} must be a number, at least 0")

    def build(self, vision: VisionConfig, shape: Shape) -> Method:
        """See MethodConfig."""
        return VAE(vision, shape, self.kl_weight)


class VAE(Method):
    """(sum of squared errors + w KL(N(m, s^2) || N(0, 1))) / number of pixels, pixels being in [-1, 1].

    m are the network's features, log s^2 is a linear function of them, w the weight. That is the negative evidence
    lower bound, times w, of pixels with the variance w / 2.

    Sources: Kingma & Welling 2014, arXiv:1312.6114; with a weight Higgins et al. 2017.
    """

    def __init__(self, vision: VisionConfig, shape: Shape, kl_weight: float):
        super().__init__()
        self.decoder = Decoder(vision.features, shape)
        self.log_variance = nn.Linear(vision.features, vision.features)
        self.kl_weight = kl_weight

    def loss(self, network: nn.Module, images: Tensor, left_out: Tensor, generator: torch.Generator) -> Tensor:
        """See Method."""
        mean = network(images)
        log_variance = self.spread(mean)
        error = nn.functional.mse_loss(self.decoder(draw(mean, log_variance, generator)).float(), pixels(images))
        return error + self.kl_weight * divergence(mean, log_variance).mean() / images[0].numel()

    def spread(self, mean: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Logarithm of the variance."""
        return self.log_variance(mean).clamp(-WIDEST, WIDEST)

    def show(
        self, network: nn.Module, frames: Tensor, gallery: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Reconstructions from the mean, and from a sample."""
        mean = network(frames)
        sample = draw(mean, self.spread(mean), generator)
        return {"from the mean": levels(self.decoder(mean)), "from a sample": levels(self.decoder(sample))}


def draw(
    mean: Float[Tensor, "n f"], log_variance: Float[Tensor, "n f"], generator: torch.Generator
) -> Float[Tensor, "n f"]:
    """A sample that gradients flow through."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise


def divergence(mean: Float[Tensor, "n f"], log_variance: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
    """KL(N(mean, variance) || N(0, 1)), summed over the dimensions (Kingma & Welling 2014, appendix B)."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
