"""Networks fitted to the demonstrations' embeddings, whose error is large where nothing was seen.

    random distillation   |f(o) - g(o)|: f learns a frozen random network g, where there are demonstrations
    one-step flow         |o + v(o, 0)|^2: v learns the velocity e - o of the paths (1 - s) o + s e, e ~ N(0, I)

Embeddings are vectors, such as a policy's condition tokens in a row; they are whitened dimension by dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.trust.scores.score import Score

FLOOR = 1e-3  # of the standard deviation: a dimension that hardly varied must not blow up


class Novelty(nn.Module, ABC):
    """A score of embeddings [b, d], larger for less familiar ones, that is learned by ``fit``.

    Args:
        dim: Numbers of an embedding.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    @torch.no_grad()
    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return self.score((embedding - self.centre) / self.scale)

    def fit(
        self,
        embeddings: Float[Tensor, "m d"],
        *,
        generator: torch.Generator,
        steps: int = 2000,
        batch: int = 256,
        lr: float = 1e-3,
    ) -> None:
        """Fit to the demonstrations' embeddings with Adam and a cosine schedule.

        The networks' initial weights are those of the construction.

        Args:
            embeddings: Of demonstrations, and of these alone.
            generator: On the embeddings' device; picks the batches and everything else that is random.
            steps: Gradient steps.
            batch: Embeddings per step, drawn with replacement.
            lr: First learning rate.

        Raises:
            UserError: There are fewer than two embeddings, or one is not finite.
        """
        if len(embeddings) < 2 or not embeddings.isfinite().all():
            raise UserError(f"a novelty score needs at least 2 finite embeddings, got {len(embeddings)}")
        self.centre.copy_(embeddings.mean(0))
        self.scale.copy_(embeddings.std(0).clamp(min=FLOOR))
        white = (embeddings - self.centre) / self.scale
        optimizer = torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(white), (batch,), generator=generator, device=white.device)
            optimizer.zero_grad()
            self.loss(white[rows], generator).backward()
            optimizer.step()
            schedule.step()

    @abstractmethod
    def loss(self, white: Float[Tensor, "b d"], generator: torch.Generator) -> Float[Tensor, ""]:
        """What is learned from whitened embeddings."""

    @abstractmethod
    def score(self, white: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The score of whitened embeddings."""


class RandomDistillation(Novelty):
    """RND: distance between a trained predictor of six layers and a frozen random network of four.

    Args:
        dim: Numbers of an embedding.
        width: Channels of both networks.
        dim_out: Numbers that are predicted.

    Sources: Burda et al. 2019, arXiv:1810.12894; on observation embeddings Roemer et al. 2025, arXiv:2510.09459.
    """

    def __init__(self, dim: int, width: int = 256, dim_out: int = 64):
        super().__init__(dim)
        self.predictor = _mlp(dim, width, dim_out, layers=6)
        self.target = _mlp(dim, width, dim_out, layers=4).requires_grad_(False)

    def loss(self, white: Float[Tensor, "b d"], generator: torch.Generator) -> Float[Tensor, ""]:
        """Mean squared error of the predictor."""
        return (self.predictor(white) - self.target(white)).square().mean()

    def score(self, white: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Distance of the prediction."""
        return (self.predictor(white) - self.target(white)).norm(dim=1)


class OneStepFlow(Novelty):
    """logpZO: squared length of where one Euler step from the embedding arrives, with one evaluation.

    At s = 0 the true velocity is E[e] - o = -o, so that every embedding that was seen arrives at 0. The score is
    what the network gets wrong of that, which is little where there were demonstrations; it is no log-likelihood.

    Args:
        dim: Numbers of an embedding.
        width: Channels of the network.

    Source: Xu et al. 2025, FAIL-Detect, arXiv:2503.08558.
    """

    def __init__(self, dim: int, width: int = 256):
        super().__init__(dim)
        self.velocity = _mlp(dim + 1, width, dim, layers=5)

    def loss(self, white: Float[Tensor, "b d"], generator: torch.Generator) -> Float[Tensor, ""]:
        """Flow matching from embeddings, s = 0, to noise, s = 1."""
        noise = torch.randn(white.shape, generator=generator, device=white.device)
        s = torch.rand(len(white), 1, generator=generator, device=white.device)
        velocity = self.velocity(torch.cat([torch.lerp(white, noise, s), s], dim=1))
        return (velocity - (noise - white)).square().mean()

    def score(self, white: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """|o + v(o, 0)|^2."""
        arrival = white + self.velocity(torch.cat([white, white.new_zeros(len(white), 1)], dim=1))
        return arrival.square().sum(1)


def _mlp(dim_in: int, width: int, dim_out: int, *, layers: int) -> nn.Sequential:
    sizes = [dim_in, *[width] * (layers - 1), dim_out]
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*parts[:-1])


def _learned(name: str, kind: type[Novelty]) -> Score:
    def fit(embeddings: Tensor, chunks: Tensor, generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            net = kind(embeddings.shape[1]).to(embeddings.device)
        net.fit(embeddings, generator=generator)
        return net.eval()

    def restore(state: dict[str, Tensor]) -> nn.Module:
        net = kind(len(state["centre"]))
        net.load_state_dict(state)
        return net.eval()

    return Score.of_embeddings(name, fit, restore)


RND = _learned("rnd", RandomDistillation)
LOGPZO = _learned("logpzo", OneStepFlow)
