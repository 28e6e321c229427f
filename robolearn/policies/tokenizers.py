"""Chunks to codes and back: the bins of k-means, and a residual vector quantizer that is trained."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.policies.family import Loss
from robolearn.policies.losses import masked_mean, perplexity

WIDTH, LATENT = 128, 16  # channels of the quantizer's networks, and of the latent that it quantizes
DECAY = 0.95  # of the moving averages of a codebook, per batch
DEAD = 0.01  # used less than this share of the mean code, a code is dead
COMMITMENT = 0.25  # weight of the pull of latents to their codes (van den Oord et al. 2017, eq. 3)


class Bins(nn.Module):
    """One code per chunk: the nearest of K centers (Shafiullah et al. 2022, section 3.1, over whole chunks).

    Args:
        num_bins: K.
        chunk_shape: Steps and action dimensions.
    """

    centres: Tensor

    def __init__(self, num_bins: int, chunk_shape: tuple[int, int]):
        super().__init__()
        self.register_buffer("centres", torch.zeros(num_bins, *chunk_shape))

    @torch.no_grad()
    def fit(self, chunks: Float[Tensor, "n t a"], *, generator: torch.Generator) -> None:
        """Find the centers by k-means.

        Raises:
            UserError: There are fewer chunks than bins.
        """
        # Here, because importing them takes seconds that only this line needs.
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        if len(chunks) < len(self.centres):
            raise UserError(
                f"tokens: {len(chunks)} chunks without padding are too few for {len(self.centres)} bins; give more "
                "demonstrations, or a lower `family.num_bins` or `action_horizon`"
            )
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        with threadpool_limits(1):  # several threads add up in any order, and the bins would differ in the last bit
            means = KMeans(len(self.centres), random_state=seed).fit(chunks.flatten(1).cpu().numpy()).cluster_centers_
        self.centres.copy_(torch.from_numpy(means).view_as(self.centres))

    def encode(self, actions: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b 1"]:
        """Nearest center, over the valid steps."""
        valid = mask[:, :, None].expand_as(actions).flatten(1).float()
        centers = self.centres.flatten(1)
        # |x - c|^2 without |x|^2, which is the same for every center; in float32, as bfloat16 would blur the least.
        with torch.autocast(actions.device.type, enabled=False):
            distance = valid @ centers.square().T - 2 * (actions.float().flatten(1) * valid) @ centers.T
        return distance.argmin(1, keepdim=True)

    def decode(self, codes: Int[Tensor, "b 1"]) -> Float[Tensor, "b t a"]:
        """Centers of the bins."""
        return self.centres[codes[:, 0]]


class ResidualVQ(nn.Module):
    """L codes per chunk: each level quantizes what the levels before left over of a latent (Lee et al. 2024, 4.1).

    Codebooks are moving averages of the latents that chose them (van den Oord et al. 2017, appendix A.1).

    Args:
        num_levels: L.
        num_codes: Codes per level.
        chunk_shape: Steps and action dimensions.
    """

    codebooks: Tensor
    usage: Tensor

    def __init__(self, num_levels: int, num_codes: int, chunk_shape: tuple[int, int]):
        super().__init__()
        horizon, action_dim = self.chunk_shape = chunk_shape
        self.encoder = perceptron(horizon * (action_dim + 1), LATENT)
        self.decoder = perceptron(LATENT, horizon * action_dim)
        self.register_buffer("codebooks", torch.randn(num_levels, num_codes, LATENT))
        # Share of the latents that choose a code. Zero: all are dead, and the first batch seeds them.
        self.register_buffer("usage", torch.zeros(num_levels, num_codes))

    def loss(self, actions: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Loss:
        """Squared error of the reconstruction, straight through the quantization, and the commitment.

        In training mode it also moves the codebooks, as batch normalization moves its statistics: of several processes
        the first one's share of the batch counts.
        """
        latent = self.latent(actions, mask)
        codes = self.quantize(latent.detach())
        quantized = self.embed(codes)
        if self.training:
            self.update(latent.detach())
        chunks = self.decoder(latent + (quantized - latent).detach()).unflatten(1, self.chunk_shape)
        error = masked_mean((chunks - actions).square(), mask)
        commitment = (latent - quantized).square().mean()
        return error + COMMITMENT * commitment, {
            "error": error.detach(),
            "codes_used": perplexity(self.usage).mean(),
        }

    def encode(self, actions: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b l"]:
        """Code of every level; padded steps do not count."""
        return self.quantize(self.latent(actions, mask))

    def decode(self, codes: Int[Tensor, "b l"]) -> Float[Tensor, "b t a"]:
        """Chunks; from the first levels alone a coarser one."""
        return self.decoder(self.embed(codes)).float().unflatten(1, self.chunk_shape)

    def latent(self, actions: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """What is quantized; in float32, for bfloat16 would blur the distances."""
        valid = mask[:, :, None].to(actions)
        return self.encoder(torch.cat([actions * valid, valid], dim=2).flatten(1)).float()

    def quantize(self, latent: Float[Tensor, "b d"]) -> Int[Tensor, "b l"]:
        """Nearest code of every level, coarse to fine."""
        codes, rest = [], latent
        for codebook in self.codebooks:
            code = nearest(rest, codebook)
            codes.append(code)
            rest = rest - codebook[code]
        return torch.stack(codes, dim=1)

    def embed(self, codes: Int[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """Sum of the codes' entries."""
        levels = torch.arange(codes.shape[1], device=codes.device)
        return self.codebooks[levels, codes].sum(1)

    @torch.no_grad()
    def update(self, latent: Float[Tensor, "b d"]) -> None:
        """Move every code toward the mean of what chooses it; seed dead ones with rows of the batch."""
        rest = latent
        rows = torch.arange(self.codebooks.shape[1], device=latent.device) % len(latent)
        for codebook, usage in zip(self.codebooks, self.usage, strict=True):
            chose = nn.functional.one_hot(nearest(rest, codebook), len(codebook)).to(rest)
            share = DECAY * usage + (1 - DECAY) * chose.mean(0)
            total = DECAY * usage[:, None] * codebook + (1 - DECAY) * (chose[:, :, None] * rest[:, None]).mean(0)
            dead = share < DEAD / len(codebook)
            codebook.copy_(torch.where(dead[:, None], rest[rows], total / share.clamp(min=1e-9)[:, None]))
            usage.copy_(torch.where(dead, 1 / len(codebook), share))
            # By the new entries: finer levels are seeded with what these leave over.
            rest = rest - codebook[nearest(rest, codebook)]


def nearest(x: Float[Tensor, "b d"], codebook: Float[Tensor, "k d"]) -> Int[Tensor, " b"]:
    """Index of the nearest entry."""
    return (x[:, None] - codebook).square().sum(2).argmin(1)


def perceptron(dim_in: int, dim_out: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(dim_in, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, dim_out)
    )
