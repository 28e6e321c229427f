"""Flow matching: a velocity field from noise to actions (Lipman et al. 2023; Liu et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.nets.backbone import condition
from robolearn.policies.denoiser import Denoiser, DenoiserConfig
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Loss, MakeNet
from robolearn.policies.losses import masked_mean
from robolearn.policies.options import check_choice, check_last_noise, check_steps, runtime

TimeDensity = Literal["uniform", "logit-normal", "beta"]
FlowSampler = Literal["euler", "heun"]


@dataclass(frozen=True)
class FlowConfig(DenoiserConfig):
    """Velocity matching on straight paths; an ordinary differential equation at test time."""

    time_density: TimeDensity = "uniform"
    """Where training times fall: uniform; logit-normal(0, 1), the middle; beta(1.5, 1), noise (pi0)."""
    sampler: FlowSampler = runtime("euler")  # noqa: RUF009
    """Integrator: euler, one evaluation per step; heun, two (one in the last step)."""
    steps: int = runtime(20)
    """Integration steps."""
    last_noise: float | None = runtime(None)
    """Noise over signal, (1 - t) / t, from which the last step goes to the data, after equal ones; by default all are
    equal. That step takes the mean of what is possible: early, it is a low temperature."""

    def __post_init__(self) -> None:
        self.check_draws("flow")
        check_choice("flow time density", self.time_density, get_args(TimeDensity))
        check_choice("flow sampler", self.sampler, get_args(FlowSampler))
        check_steps("flow", self.steps)
        check_last_noise("flow", self.last_noise, self.steps)

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Flow:
        """Build the family."""
        return Flow(self, make_net, action_horizon, action_dim)


class Flow(Denoiser):
    """x_t = (1 - t) e + t a with e ~ N(0, I); L = |v(x_t, t, o) - (a - e)|^2; dx/dt = v from t = 0 to 1."""

    drawn = ("noise", "time")

    def __init__(self, cfg: FlowConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 1)

    def corruption(self, source: DrawSource) -> Draws:
        """Noise e and times t."""
        noise = source.normal(*self.chunk_shape)
        if self.cfg.time_density == "logit-normal":
            time = source.normal().sigmoid()
        else:
            time = source.uniform()
            if self.cfg.time_density == "beta":
                # u ~ Beta(1.5, 1) has the distribution u^1.5; t = 0.999 (1 - u) stays off the data end.
                time = 0.999 * (1 - time ** (2 / 3))
        return {"noise": noise, "time": time}

    def denoising_loss(self, data: Chunks, draws: Draws) -> Loss:
        """Squared error of the velocity (Lipman et al. 2023, eq. 23 with sigma_min = 0)."""
        noise, time = draws["noise"], draws["time"]
        x = torch.lerp(noise, data.actions, time[:, None, None])
        error = self.net(x, data.cond, time[:, None]) - (data.actions - noise)
        return masked_mean(error.square(), data.mask), {}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Integrate dx/dt = v."""
        x, spans = noise, self.spans()
        velocity = condition(self.net, cond, x.new_tensor([[time] for time, _ in spans]))
        for i, (_, dt) in enumerate(spans):
            slope = velocity(x, i)
            # The last step stays Euler: training hardly sees t = 1, where Heun would evaluate.
            if self.cfg.sampler == "heun" and i < len(spans) - 1:
                slope = 0.5 * (slope + velocity(x + dt * slope, i + 1))
            x = x + dt * slope
        return x

    def spans(self) -> list[tuple[float, float]]:
        """Where each step begins, and how long it is: equal ones, and a last one of its own length if so configured."""
        if self.cfg.last_noise is None:
            return [(i * (1.0 / self.cfg.steps), 1.0 / self.cfg.steps) for i in range(self.cfg.steps)]
        last = 1 / (1 + self.cfg.last_noise)
        dt = last / (self.cfg.steps - 1)
        return [*((i * dt, dt) for i in range(self.cfg.steps - 1)), (last, 1 - last)]

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""
        return self.cfg.steps if self.cfg.sampler == "euler" else 2 * self.cfg.steps - 1
