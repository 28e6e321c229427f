"""The two networks of the mixture: chunks as codes, and the student whose noise picks one."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.policies.family import Loss, MakeNet

ROUNDS = 3  # of balancing the codes
HUBER = 0.03  # where the student's error turns from squared to absolute, in normalized actions


class Codes(nn.Module):
    """K chunks per observation and the logits with which they are drawn."""

    def __init__(self, make_net: MakeNet, num_codes: int, chunk_shape: tuple[int, int]):
        super().__init__()
        self.num_codes, self.chunk_shape = num_codes, chunk_shape
        self.net = make_net(chunk_shape[1], num_codes * (chunk_shape[1] + 1), 0)

    def forward(self, cond: Float[Tensor, "b o c"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k t a"]]:
        """Logits and chunks."""
        return self.split(self.features(cond))

    def features(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t d"]:
        """What the backbone makes of the observations; in float32."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond).float()

    def split(self, features: Float[Tensor, "b t d"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k t a"]]:
        """Logits and chunks, which are what the features are made of."""
        logits, chunks = features.split([self.num_codes, features.shape[2] - self.num_codes], dim=2)
        return logits.mean(1), chunks.unflatten(2, (self.num_codes, -1)).transpose(1, 2)


class Student(nn.Module):
    """Selector (z, o) -> code and decoder (z, code, o) -> chunk."""

    def __init__(self, make_net: MakeNet, num_codes: int, code_dim: int, chunk_shape: tuple[int, int]):
        super().__init__()
        self.selector = make_net.head(math.prod(chunk_shape), num_codes)
        self.embedding = nn.Embedding(num_codes, code_dim)
        self.net = make_net(chunk_shape[1] + code_dim, chunk_shape[1], 0)

    def forward(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
        """The chunk of a noise."""
        return self.decode(cond, noise, self.selector(noise.flatten(1), cond).argmax(1))

    def decode(
        self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b t a"], code: Int[Tensor, " b"]
    ) -> Float[Tensor, "b t a"]:
        """The chunk of a noise and a code, which every step sees."""
        embedded = self.embedding(code)[:, None].expand(-1, noise.shape[1], -1)
        return self.net(torch.cat([noise, embedded], dim=2), cond)

    def loss(
        self,
        cond: Float[Tensor, "b o c"],
        noise: Float[Tensor, "b t a"],
        code: Int[Tensor, " b"],
        chunk: Float[Tensor, "b t a"],
    ) -> Loss:
        """Cross-entropy of the code, and pseudo-Huber error of the chunk decoded from the true code."""
        logits = self.selector(noise.flatten(1), cond).float()
        surprise = nn.functional.cross_entropy(logits, code)
        error = self.decode(cond, noise, code).float() - chunk
        error = ((error.square() + HUBER**2).sqrt() - HUBER).mean()
        right = (logits.argmax(1) == code).float().mean()
        return error + 0.3 * surprise, {"error": error, "codes_right": right}


def squared_distances(chunks: Float[Tensor, "b p t a"], centers: Float[Tensor, "b k t a"]) -> Float[Tensor, "b p k"]:
    """Mean squared distance of every chunk to every center; in float32, for bfloat16 would blur the least ones."""
    x, y = chunks.float().flatten(2), centers.float().flatten(2)
    with torch.autocast(x.device.type, enabled=False):
        products = torch.baddbmm(y.square().sum(2)[:, None], x, y.transpose(1, 2), alpha=-2)
    return (products + x.square().sum(2, keepdim=True)) / x.shape[2]


def balanced(logits: Float[Tensor, "b p k"]) -> Float[Tensor, "b p k"]:
    """Softmax over the codes, moved so that over all chunks every code weighs nearly the same.

    Plain winner-takes-all lets codes die that win nowhere. These are a few rounds of Sinkhorn's algorithm for optimal
    transport between chunks and codes (Cuturi 2013; over a batch as Caron et al. 2020, section 3.1). Of many processes
    each balances its own share of the batch.
    """
    log_weight = logits.flatten(0, 1)
    for _ in range(ROUNDS):
        log_weight = log_weight.log_softmax(0).log_softmax(1)
    return log_weight.exp().view_as(logits)
