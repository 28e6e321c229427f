"""Transformer: an encoder over observation tokens, a decoder over action tokens with cross-attention.

The layout follows Diffusion Policy's transformer (Chi et al. 2023, section 4.1), without its causal mask: all
actions of a chunk are denoised together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from robolearn.config import since
from robolearn.errors import UserError
from robolearn.nets.backbone import BackboneConfig, Conditioned, Shapes, TimeEmbedding, ahead
from robolearn.nets.dropout import check_dropout, replace_dropout
from robolearn.nets.sizes import check_sizes

LONGEST_PLAIN = 128
"""Actions up to which a CPU trains faster with attention as matrix products: the way back through the fused kernel
takes nearly twice as long for 16 actions, and less from about 200 on."""


@dataclass(frozen=True)
class TransformerConfig(BackboneConfig):
    """Encoder over observation and time tokens, decoder with cross-attention over action tokens."""

    width: int = 128
    """Channels of a token; a multiple of num_heads."""
    num_heads: int = 4
    """Attention heads."""
    encoder_depth: int = 2
    """Encoder layers."""
    decoder_depth: int = 4
    """Decoder layers."""
    dropout: float | None = since(None, before=0.0)
    """Dropout probability in attention and feed-forward, in [0, 1); by default what the family wants, as for mlp."""

    def __post_init__(self) -> None:
        check_sizes("transformer", width=self.width, num_heads=self.num_heads)
        check_sizes("transformer", encoder_depth=self.encoder_depth, decoder_depth=self.decoder_depth)
        check_dropout("transformer", self.dropout)
        if self.width % self.num_heads:
            raise UserError(f"transformer: width {self.width} is not a multiple of num_heads {self.num_heads}")

    def build(self, shapes: Shapes) -> Transformer:
        """Build the network."""
        return Transformer(self, shapes)


class Transformer(nn.Module):
    """Tokens: one per observation, one for the time (memory); one per action (queries)."""

    def __init__(self, cfg: TransformerConfig, shapes: Shapes):
        super().__init__()
        layer = {
            "d_model": cfg.width,
            "nhead": cfg.num_heads,
            "dim_feedforward": 4 * cfg.width,
            "dropout": shapes.dropped(cfg.dropout),
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        self.time = TimeEmbedding(shapes.num_times, cfg.width)
        self.cond = nn.Linear(shapes.cond_dim, cfg.width)
        self.embed = nn.Linear(shapes.dim_in, cfg.width)
        self.cond_position, self.action_position = (
            nn.Parameter(nn.init.normal_(torch.empty(steps, cfg.width), std=0.02))
            for steps in (shapes.obs_horizon, shapes.action_horizon)
        )
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**layer), cfg.encoder_depth, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**layer), cfg.decoder_depth)
        self.norm = nn.LayerNorm(cfg.width)
        self.out = nn.Linear(cfg.width, shapes.dim_out)
        replace_dropout(self)

    def forward(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """See Backbone."""
        plain = self.training and x.device.type == "cpu" and x.shape[1] <= LONGEST_PLAIN
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            return self._decode(x, self._remember(self._tokens(cond), self.time(time, len(x))))

    def condition(self, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
        """See `backbone.condition`: the encoder sees the observations with all times at once."""
        observations = self._tokens(cond)

        def prepare(times: Tensor) -> tuple[Tensor, ...]:
            pairs = len(times), len(cond)
            moments = self.time(times, len(times)).repeat_interleave(len(cond), dim=0)
            memory = self._remember(observations.expand(len(times), -1, -1, -1).flatten(0, 1), moments)
            return memory.unflatten(0, pairs).unbind()

        at = ahead(prepare, times, len(cond))
        return lambda x, step: self._decode(x, at(step))

    def _tokens(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b o w"]:
        return self.cond(cond) + self.cond_position

    def _remember(self, observations: Float[Tensor, "b o w"], moment: Float[Tensor, "b w"]) -> Tensor:
        """The encoder's memory [b, o + 1, w]."""
        return self.encoder(torch.cat([observations, moment[:, None]], dim=1))

    def _decode(self, x: Float[Tensor, "b t d_in"], memory: Tensor) -> Float[Tensor, "b t d_out"]:
        return self.out(self.norm(self.decoder(self.embed(x) + self.action_position, memory)))


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as matrix products: the fused kernels have neither second nor forward-mode derivatives."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
