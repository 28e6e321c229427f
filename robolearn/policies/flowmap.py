"""Flow maps: the average velocity over an interval, so that one or two evaluations cross from noise to actions.

Sources: Frans et al. 2025 (shortcut models); Geng et al. 2025 (MeanFlow) and its improved form, arXiv:2512.02012.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.config import since
from robolearn.errors import UserError
from robolearn.nets.backbone import condition
from robolearn.nets.transformer import plain_attention
from robolearn.policies.denoiser import Denoiser, DenoiserConfig
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Loss, MakeNet, Player
from robolearn.policies.losses import masked_mean
from robolearn.policies.options import check_choice, check_steps, runtime

Target = Literal["meanflow", "shortcut"]
Ends = Literal["uniform", "logit-normal"]
# Backbones resolve times to a thousandth, so that a derivative by time would be of the size of a thousand; average
# velocities are smooth, and times of at most this size keep the derivative of the size of the velocity.
TIME_SCALE = 0.02
WHOLE_SHARE = 0.1  # of a batch that learns meanflow's whole way from noise to actions, where ends are uniform
NUM_LEVELS = 7  # a shortcut model takes steps of length 1, 1/2, ... 2^-6


@dataclass(frozen=True)
class FlowMapConfig(DenoiserConfig):
    """Average velocities, from the data alone: few evaluations without a teacher."""

    target: Target = "meanflow"
    """What long steps learn from: meanflow, the derivative along the path; shortcut, two steps of half the length."""
    long_share: float = 0.5
    """Share of a batch that learns long steps; the rest learns the velocity. In (0, 1)."""
    ends: Ends = since("uniform", before="logit-normal")
    """Where meanflow's steps begin and end: uniform, and a tenth of the batch goes the whole way, as one step does when
    acting; logit-normal, the paper's, which hardly ever shows such a step."""
    steps: int = runtime(2)
    """Equal steps from noise to actions."""

    def __post_init__(self) -> None:
        self.check_draws("flowmap")
        check_choice("flowmap target", self.target, get_args(Target))
        check_choice("flowmap ends", self.ends, get_args(Ends))
        check_steps("flowmap", self.steps)
        if not 0 < self.long_share < 1:
            raise UserError(f"flowmap: long_share {self.long_share} must be in (0, 1)")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> FlowMap:
        """Build the family."""
        return FlowMap(self, make_net, action_horizon, action_dim)


class FlowMap(Denoiser):
    """x_{t + d} = x_t + d u(x_t, t, d, o) on the paths x_t = (1 - t) e + t a; u(x, t, 0) is the velocity."""

    drawn = ("noise", "start", "length")

    def __init__(self, cfg: FlowMapConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 2)

    def players(self) -> dict[str, Player]:
        """The network; meanflow's derivative needs its weights in float32."""
        return {"policy": Player(self, lowers=self.cfg.target != "meanflow")}

    def corruption(self, source: DrawSource) -> Draws:
        """Noise e, beginnings t and lengths d of the steps; d = 0 in the share that learns the velocity."""
        # Spread evenly, and as many in any part of a batch of one size, so that their number is known without asking
        # the device; windows come in random order anyway.
        count = torch.arange(source.batch + 1, device=source.generator.device, dtype=torch.float64)
        rank = count.mul_(self.cfg.long_share).floor_()
        is_long = rank[1:] > rank[:-1]
        if self.cfg.target == "meanflow" and self.cfg.ends == "logit-normal":
            # logit-normal(0.4, 1): MeanFlow's (-0.4, 1), whose time runs the other way
            ends = (0.4 + source.normal(2)).sigmoid().sort(dim=1).values
            start, length = ends[:, 0], (ends[:, 1] - ends[:, 0]) * is_long
        elif self.cfg.target == "meanflow":
            ends = source.uniform(2)
            low, high = ends.sort(dim=1).values.unbind(1)
            whole = source.uniform() < WHOLE_SHARE / self.cfg.long_share
            is_whole = is_long & whole
            start = torch.where(is_whole, 0.0, torch.where(is_long, low, ends[:, 0]))
            length = torch.where(is_whole, 1.0, (high - low) * is_long)
        else:
            # A step of length 2^-level begins at a multiple of its length; every length is as frequent.
            level = source.integers(0, NUM_LEVELS)
            length, uniform = 0.5**level, source.uniform()
            start = torch.where(is_long, (uniform / length).floor() * length, uniform)
            length = length * is_long
        return {"noise": source.normal(*self.chunk_shape), "start": start, "length": length}

    def denoising_loss(self, data: Chunks, draws: Draws) -> Loss:
        """Squared error to the velocity, in the share of long steps to what they should average to."""
        noise, start, length = draws["noise"], draws["start"], draws["length"]
        actions, cond = data.actions, data.cond
        x, velocity = torch.lerp(noise, actions, start[:, None, None]), actions - noise
        average = self.average(x, start, length, cond)
        target = {"meanflow": self.meanflow_target, "shortcut": self.shortcut_target}[self.cfg.target]
        rows = length.topk(math.ceil(self.cfg.long_share * len(length))).indices
        with torch.no_grad():
            learned = target(*(value[rows] for value in (x, velocity, start, length, cond))).to(velocity)
            velocity[rows] = torch.where(length[rows, None, None] > 0, learned, velocity[rows])
        return masked_mean((average - velocity).square(), data.mask), {}

    def meanflow_target(self, x: Tensor, velocity: Tensor, start: Tensor, length: Tensor, cond: Tensor) -> Tensor:
        """Add d du/dt along the path to v, with the end of the step fixed (improved MeanFlow, arXiv:2512.02012).

        The tangent is the network's own velocity, not the noisy a - e, so that the loss is plain regression.
        """
        tangent, cond = self.average(x, start, torch.zeros_like(length), cond), cond.float()
        with plain_attention(), torch.autocast(x.device.type, enabled=False):  # bfloat16 has too few digits here
            slope = torch.func.jvp(
                lambda x, start, length: self.average(x, start, length, cond),
                (x, start, length),
                (tangent.float(), torch.ones_like(start), -torch.ones_like(length)),
            )[1]
        return velocity + length[:, None, None] * slope

    def shortcut_target(self, x: Tensor, velocity: Tensor, start: Tensor, length: Tensor, cond: Tensor) -> Tensor:
        """The mean of two steps of half the length (Frans et al. 2025, eq. 5); the shortest halves are velocities."""
        half = length / 2
        asked = torch.where(half < 0.5 ** (NUM_LEVELS - 1), torch.zeros_like(half), half)
        first = self.average(x, start, asked, cond)
        second = self.average(x + half[:, None, None] * first, start + half, asked, cond)
        return 0.5 * (first + second)

    def average(
        self, x: Float[Tensor, "b t a"], start: Float[Tensor, " b"], length: Float[Tensor, " b"], cond: Tensor
    ) -> Float[Tensor, "b t a"]:
        """u(x, t, d, o)."""
        return self.net(x, cond, TIME_SCALE * torch.stack([start, length], dim=1))

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Cross from t = 0 to 1 in equal steps."""
        x, step = noise, 1.0 / self.cfg.steps
        times = TIME_SCALE * x.new_tensor([[i * step, step] for i in range(self.cfg.steps)])
        average = condition(self.net, cond, times)
        for i in range(self.cfg.steps):
            x = x + step * average(x, i)
        return x

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""
        return self.cfg.steps
