"""Residual MLP: the fastest backbone on low-dimensional tasks, with FiLM or, for tight bounds on it, without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from robolearn.config import since
from robolearn.errors import UserError
from robolearn.nets.backbone import (
    BackboneConfig,
    Conditioned,
    Factors,
    FiLM,
    Shapes,
    TimeEmbedding,
    ahead,
    by_step,
    modulate,
)
from robolearn.nets.dropout import Dropout, check_dropout
from robolearn.nets.interval import Interval
from robolearn.nets.sizes import check_sizes

MIN_WIDTH = 256
Activation = Literal["silu", "relu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class MLPConfig(BackboneConfig):
    """Residual MLP over the flattened chunk, conditioned by FiLM."""

    width: int | None = None
    """Channels of the residual stream; by default 256, or more where a chunk has more numbers than two thirds of it."""
    depth: int = 3
    """Residual blocks."""
    dropout: float | None = since(None, before=0.0)
    """Share of a block's channels dropped in training, in [0, 1); by default 0.1 for the families that learn chunks by
    heart without it (`tokens`, `regression`, `mip`, `gmm`, `gp`), 0 for others."""
    activation: Activation = "silu"
    """What is between a block's two layers."""
    plain: bool = False
    """Blocks without normalization and FiLM, for policies that are to be verified: bounds of products are loose."""

    def __post_init__(self) -> None:
        check_sizes("mlp", width=self.channels(0), depth=self.depth)
        if self.activation not in ACTIVATIONS:
            choices = ", ".join(get_args(Activation))
            raise UserError(f"mlp activation {self.activation!r} is unknown; choose from {choices}")
        check_dropout("mlp", self.dropout)

    def channels(self, numbers: int) -> int:
        """Channels for chunks of so many numbers.

        What a flow or a diffusion is to predict holds the noise of the whole chunk. A stream that is narrower than the
        chunk loses a part of it, however long it is trained: 26 joints times 16 steps do not pass through 256.
        """
        return max(MIN_WIDTH, -(-3 * numbers // 128) * 64) if self.width is None else self.width

    def build(self, shapes: Shapes) -> MLP:
        """Build the network."""
        return MLP(self, shapes)


class MLP(nn.Module):
    """Flattened chunk -> residual blocks, each modulated by (observations, time) -> flattened chunk.

    Plain blocks are not modulated, and nothing is normalized: observations and time enter the stream alone.
    """

    def __init__(self, cfg: MLPConfig, shapes: Shapes):
        super().__init__()
        self.shapes = shapes
        # Of logits and mixtures there are many, but they are about a chunk; of latents too: the smaller one passes.
        width = cfg.channels(shapes.action_horizon * min(shapes.dim_in, shapes.dim_out))
        self.time = TimeEmbedding(shapes.num_times, width)
        self.cond = nn.Linear(shapes.obs_horizon * shapes.cond_dim, width)
        self.embed = nn.Linear(shapes.action_horizon * shapes.dim_in, width)
        kind, self.plain = PlainBlock if cfg.plain else Block, cfg.plain
        dropped = shapes.dropped(cfg.dropout)
        self.blocks = nn.ModuleList(kind(width, cfg.activation, dropped) for _ in range(cfg.depth))
        self.norm = nn.Identity() if cfg.plain else nn.LayerNorm(width)
        self.out = nn.Linear(width, shapes.action_horizon * shapes.dim_out)

    def forward(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """See Backbone."""
        seen, moment = self.cond(cond.flatten(1)), self.time(time, len(x))
        return self._evaluate(x, seen, moment, self._films(seen + moment))

    def condition(self, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
        """See `backbone.condition`: FiLM's products are taken for all evaluations at once."""
        seen = self.cond(cond.flatten(1))

        def prepare(times: Tensor) -> list[tuple[Tensor, Sequence[Factors]]]:
            moments = self.time(times, len(times))[:, None]  # [n, 1, w]
            films = by_step(self._films(seen + moments)) or [()] * len(times)
            return list(zip(moments.unbind(), films, strict=True))

        at = ahead(prepare, times, len(cond))
        return lambda x, step: self._evaluate(x, seen, *at(step))

    def _films(self, c: Float[Tensor, "*n w"]) -> list[Factors]:
        """How each block is modulated; plain ones are not."""
        if self.plain:
            return []
        c = nn.functional.silu(c)
        blocks: Any = self.blocks
        return [block.film(c) for block in blocks]

    def _evaluate(
        self, x: Float[Tensor, "b t d_in"], seen: Tensor, moment: Tensor, films: Sequence[Factors]
    ) -> Float[Tensor, "b t d_out"]:
        # The condition also enters the stream itself: FiLM alone starts as the identity.
        h = self.embed(x.flatten(1)) + seen
        if self.plain:
            h = h + moment
        for block, film in zip_longest(self.blocks, films):
            h = block(h, film)
        return self.out(self.norm(h)).view(len(x), self.shapes.action_horizon, self.shapes.dim_out)

    def interval(self, cond: Interval) -> Interval:
        """Bounds on the chunk [b, t, d_out] for observations [b, o, c] in intervals; the chunk put in and times are 0.

        Of plain blocks alone.
        """
        assert self.plain, "no intervals pass through normalization and FiLM"
        flat = Interval(cond.center.flatten(1), cond.radius.flatten(1))
        moment = self.time(None, len(flat.center)) + self.embed(self.embed.weight.new_zeros(self.embed.in_features))
        h = flat.linear(self.cond).moved(moment)
        for block in self.blocks:
            assert isinstance(block, PlainBlock)
            h = block.interval(h)
        out, shape = h.linear(self.out), (self.shapes.action_horizon, self.shapes.dim_out)
        return Interval(out.center.unflatten(1, shape), out.radius.unflatten(1, shape))


class Block(nn.Module):
    """h + W2 dropout(act(W1 FiLM(LN(h))))."""

    def __init__(self, width: int, activation: Activation, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = FiLM(width, width)
        self.up = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(width, width)

    def forward(self, h: Float[Tensor, "b w"], film: Factors) -> Float[Tensor, "b w"]:
        """Add the block's update to the stream."""
        return h + self.down(self.dropout(self.activation(self.up(modulate(self.norm(h), film)))))


class PlainBlock(nn.Module):
    """h + W2 dropout(act(W1 h))."""

    def __init__(self, width: int, activation: Activation, dropout: float):
        super().__init__()
        self.up = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(width, width)

    def forward(self, h: Float[Tensor, "b w"], film: None = None) -> Float[Tensor, "b w"]:
        """Add the block's update to the stream."""
        return h + self.down(self.dropout(self.activation(self.up(h))))

    def interval(self, h: Interval) -> Interval:
        """Bounds on the same."""
        return h + h.linear(self.up).activated(self.activation).linear(self.down)
