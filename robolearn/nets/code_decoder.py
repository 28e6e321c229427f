"""Causal transformer over the codes of a chunk: each code given the observation's features and those before it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class CodeDecoder(nn.Module):
    """Logits of code after code, p(c_1 | f) p(c_2 | f, c_1) ... (as VQ-BeT's, Lee et al. 2024, section 4.2).

    Tokens: the features, then the codes so far; a token sees itself and those before it.

    Args:
        num_levels: Codes per chunk.
        num_codes: Values of a code.
        width: Channels of features and tokens; a multiple of ``num_heads``.
        depth: Layers.
        num_heads: Attention heads.
    """

    def __init__(self, num_levels: int, num_codes: int, width: int, depth: int, num_heads: int = 4):
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(num_levels, width))
        self.embed = nn.ModuleList(nn.Embedding(num_codes, width) for _ in range(num_levels - 1))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, num_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, num_codes)

    def forward(self, features: Float[Tensor, "b w"], codes: Int[Tensor, "b l"]) -> Float[Tensor, "b m k"]:
        """Logits of the first m = l + 1 codes, given l of them."""
        embedded = [embed(code) for embed, code in zip(self.embed, codes.unbind(1), strict=False)]
        tokens = torch.stack([features, *embedded], dim=1)
        h = tokens + self.position[: tokens.shape[1]]
        ahead = torch.ones(h.shape[1], h.shape[1], dtype=torch.bool, device=h.device).triu(1)
        for layer in self.layers:
            h = layer(h, src_mask=ahead)
        return self.out(self.norm(h))
