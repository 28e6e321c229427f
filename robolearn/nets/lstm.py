"""LSTM: one over the observations, whose state starts another over the chunk (Hochreiter & Schmidhuber 1997).

The state starts anew at every plan; in robomimic's LSTM-GMM (Mandlekar et al. 2021) it goes on from observation to
observation. The layers over the chunk take turns in direction, the last one forward (Zhou & Xu 2015): a denoiser's step
must see the whole noised chunk, not its past alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.nets.backbone import BackboneConfig, Conditioned, Shapes, TimeEmbedding
from robolearn.nets.sizes import check_sizes

State = tuple[Tensor, Tensor]  # hidden and cell [b, w]


@dataclass(frozen=True)
class LSTMConfig(BackboneConfig):
    """Recurrent over the observations, then over the chunk."""

    width: int = 128
    """Channels of a layer's hidden state."""
    depth: int = 2
    """Layers over the observations, and as many over the chunk; with 1 no step sees those behind it."""

    def __post_init__(self) -> None:
        check_sizes("lstm", width=self.width, depth=self.depth)

    def build(self, shapes: Shapes) -> LSTM:
        """Build the network."""
        return LSTM(self, shapes)


class LSTM(nn.Module):
    """Layers with residual connections; the state after the last observation is the state before the chunk."""

    def __init__(self, cfg: LSTMConfig, shapes: Shapes):
        super().__init__()
        self.time = TimeEmbedding(shapes.num_times, cfg.width)
        self.cond = nn.Linear(shapes.cond_dim, cfg.width)
        self.embed = nn.Linear(shapes.dim_in, cfg.width)
        self.observe = nn.ModuleList(Layer(cfg.width) for _ in range(cfg.depth))
        # The direction of the last is forward.
        self.act = nn.ModuleList(Layer(cfg.width, reverse=(cfg.depth - i) % 2 == 0) for i in range(cfg.depth))
        self.norm = nn.LayerNorm(cfg.width)
        self.out = nn.Linear(cfg.width, shapes.dim_out)

    def forward(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """See Backbone. Any horizon works."""
        seen, states = self._observe(cond)
        return self._act(x, seen + self.time(time, len(x)), states)

    def condition(self, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
        """See `backbone.condition`: the observations are read once."""
        seen, states = self._observe(cond)
        moments = self.time(times, len(times))
        return lambda x, step: self._act(x, seen + moments[step], states)

    def _observe(self, cond: Float[Tensor, "b o c"]) -> tuple[Float[Tensor, "b w"], list[State]]:
        """What the last observation came to, and the layers' states after it."""
        seen, states = self.cond(cond), []
        for layer in self.observe:
            update, state = layer(seen, None)
            seen = seen + update
            states.append(state)
        return seen[:, -1], states

    def _act(self, x: Float[Tensor, "b t d_in"], seen: Float[Tensor, "b w"], states: list[State]) -> Tensor:
        # Observations and time enter at every step, too: a state forgets.
        h = self.embed(x) + seen[:, None]
        for layer, state in zip(self.act, states, strict=True):
            h = h + layer(h, state)[0]
        return self.out(self.norm(h))


class Layer(nn.Module):
    """c' = f c + i g, h' = o tanh(c'), written out: fused kernels have no forward-mode derivatives.

    Args:
        width: Channels of input, hidden state and output.
        reverse: Read the sequence from its end.
    """

    def __init__(self, width: int, *, reverse: bool = False):
        super().__init__()
        self.reverse = reverse
        self.input = nn.Linear(width, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        with torch.no_grad():  # remember at first (Jozefowicz et al. 2015)
            self.input.bias[width : 2 * width] += 1

    def forward(self, x: Float[Tensor, "b t w"], state: State | None) -> tuple[Float[Tensor, "b t w"], State]:
        """Hidden states of all steps, in the order of the input, and the last state; None starts from zeros."""
        hidden, cell = state or (x.new_zeros(x.shape[0], x.shape[2]),) * 2
        from_input = self.input(x).unbind(1)
        outputs = []
        for step in reversed(from_input) if self.reverse else from_input:
            i, f, g, o = (step + self.recurrent(hidden)).chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs[::-1] if self.reverse else outputs, dim=1), (hidden, cell)
