"""Conditional generative adversarial network (Goodfellow et al. 2014; Mirza & Osindero 2014) over chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from robolearn.errors import UserError
from robolearn.nets.backbone import Backbone
from robolearn.nets.transformer import plain_attention
from robolearn.policies.adversarial import (
    Objective,
    critic_loss,
    excess,
    generator_loss,
    normalize_spectrum,
    squared_slope,
)
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, FamilyConfig, Loss, MakeNet, Player, SampledFamily
from robolearn.policies.losses import chunk_distance
from robolearn.policies.options import check_choice

GameOptimizer = Literal["adam", "cgd"]
BETAS = (0.0, 0.99)  # momentum makes an alternating game oscillate
DIVERSITY_EVERY = 8  # rows of a batch from one to the next on which it is watched how much samples differ
# Weight of the gradient penalty at the first and at the last step.
GAMMA: dict[Objective, tuple[float, float]] = {
    "r3gan": (0.05, 0.005),
    "non-saturating": (0.05, 0.005),
    "wgan-gp": (10.0, 10.0),
}
# A critic of matrices with norm 1 is nearly linear within the unit scale of normalized chunks; seen this much larger,
# it tells modes apart.
HINGE_SCALE = 5.0


@dataclass(frozen=True)
class GanConfig(FamilyConfig):
    """A generator against a critic; one evaluation."""

    objective: Objective = "r3gan"
    """r3gan, relativistic with slopes penalized at data and samples; non-saturating, with slopes penalized at
    the data; wgan-gp, slopes above 1 penalized in between; hinge, weights of the critic with spectral norm 1."""
    optimizer: GameOptimizer = "adam"
    """adam, the players alternate; cgd, competitive gradient descent: each step anticipates the other's."""
    gamma: tuple[float, float] | None = None
    """Weight of the penalty on the critic's slope at the first and last step; by default the objective's own."""
    critic_steps: int = 1
    """Steps of the critic for each of the generator."""
    lr: float = 1e-3
    """Peak learning rate of both."""

    def __post_init__(self) -> None:
        check_choice("gan objective", self.objective, get_args(Objective))
        check_choice("gan optimizer", self.optimizer, get_args(GameOptimizer))
        if self.optimizer == "cgd" and self.objective != "wgan-gp":
            raise UserError(
                f"gan: optimizer cgd is for games in which one gains what the other loses, not objective "
                f"{self.objective!r}; choose objective wgan-gp, or optimizer adam"
            )
        if self.objective == "hinge" and self.gamma is not None:
            raise UserError(f"gan: objective hinge has no gamma; those with one: {', '.join(GAMMA)}")
        if self.optimizer == "cgd" and self.critic_steps != 1:
            raise UserError(f"gan: critic_steps {self.critic_steps}: with optimizer cgd both move at every step")
        if min(self.gamma or (1.0,)) <= 0 or self.critic_steps < 1 or self.lr <= 0:
            raise UserError(
                f"gan: gamma {self.gamma} and lr {self.lr} must be above 0, critic_steps {self.critic_steps} must be "
                f"at least 1"
            )

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Gan:
        """Build the family."""
        return Gan(self, make_net, action_horizon, action_dim)


class Gan(SampledFamily):
    """x = g(e, o) with e ~ N(0, I), trained against a critic D(x, o); see ``adversarial.py`` for what each loses."""

    def __init__(self, cfg: GanConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)
        self.critic = Critic(make_net(action_dim, 1, 0), HINGE_SCALE if cfg.objective == "hinge" else 1.0)
        if cfg.objective == "hinge":
            normalize_spectrum(self.critic)

    def players(self) -> dict[str, Player]:
        """Critic and generator by turns; with cgd both at once."""
        lr, every = self.cfg.lr, self.cfg.critic_steps
        assert isinstance(self.net, nn.Module)
        if self.cfg.optimizer == "cgd":
            return {"policy": Player(self.net, opponent=self.critic, lr=lr, compiles=False)}
        return {
            "critic": Player(self.critic, lr=lr, betas=BETAS, compiles=self.cfg.objective == "hinge"),
            "policy": Player(self.net, every=every, lr=lr, betas=BETAS),
        }

    def draw(self, source: DrawSource) -> Draws:
        """Noise of two samples; where between data and sample a slope is taken, and how much slopes cost."""
        draws = {name: source.normal(*self.chunk_shape) for name in ("first", "second")}
        draws["place"] = source.uniform(1, 1)
        if self.cfg.objective != "hinge":
            start, end = self.cfg.gamma or GAMMA[self.cfg.objective]
            draws["gamma"] = source.scheduled("gamma", lambda progress: start * (end / start) ** progress)
        return draws

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """What a player loses; with cgd the value of the game, which the generator lowers and the critic raises.

        The generator trains the observation encoder through its own input alone, never to please the critic.
        """
        with plain_attention():  # the slopes are differentiated again
            with torch.set_grad_enabled(player != "critic"):
                fake = self.net(draws["first"], data.cond).float()
            if player == "critic":
                return self._critic_loss(data, fake, draws)
            some = slice(None, None, DIVERSITY_EVERY)
            details = self._diversity(data[some], fake[some].detach(), draws["second"][some])
            data = Chunks(data.actions, data.cond.detach(), data.mask)
            if self.cfg.optimizer == "cgd":
                loss, more = self._critic_loss(data, fake, draws)
                return -loss, details | more
            return self._generator_loss(data, fake), details

    def _critic_loss(self, data: Chunks, fake: Tensor, draws: Draws) -> Loss:
        """Objective and penalty; logs the penalty and how far apart the critic holds data and samples."""
        chunks = torch.cat([data.actions, fake])
        if not chunks.requires_grad:
            chunks.requires_grad_()
        score = self.critic(chunks, torch.cat([data.cond, data.cond]), torch.cat([data.mask, data.mask]))
        real, generated = score.chunk(2)
        penalty = torch.zeros_like(real)
        if self.cfg.objective == "wgan-gp":
            between = torch.lerp(data.actions, fake.detach(), draws["place"]).requires_grad_()
            slope = (squared_slope(self.critic(between, data.cond, data.mask), between) + 1e-12).sqrt()
            penalty = draws["gamma"] * excess(slope)
        elif self.cfg.objective != "hinge":
            at_data, at_samples = squared_slope(score, chunks).chunk(2)
            slope = at_data + at_samples if self.cfg.objective == "r3gan" else at_data
            penalty = 0.5 * draws["gamma"] * slope
        loss = critic_loss(self.cfg.objective, real, generated) + penalty
        return loss.mean(), {"gap": (real - generated).mean().detach(), "penalty": penalty.mean().detach()}

    def _generator_loss(self, data: Chunks, fake: Tensor) -> Tensor:
        """Objective of the generator, against a critic that holds still."""
        weights = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        both = torch.cat([data.actions, fake]), torch.cat([data.cond, data.cond]), torch.cat([data.mask, data.mask])
        real, generated = functional_call(self.critic, weights, both).chunk(2)
        return generator_loss(self.cfg.objective, real, generated).mean()

    @torch.no_grad()
    def _diversity(self, data: Chunks, fake: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Mean distance of samples to the data, and of two samples of one observation in relation to it.

        For the true distribution both distances have one law, and spread is 1; it is 0 where the noise is ignored.
        """
        second = self.net(noise, data.cond).float()
        distance = chunk_distance(fake, data.actions, data.mask).mean()
        return {"distance": distance, "spread": chunk_distance(fake, second, data.mask).mean() / distance}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The generator."""
        return self.net(noise, cond)


class Critic(nn.Module):
    """D(x, o): a backbone's output on the scaled chunk, averaged over the chunk to one number."""

    def __init__(self, net: Backbone, scale: float):
        super().__init__()
        self.net, self.scale = net, scale

    def forward(
        self, chunk: Float[Tensor, "b t a"], cond: Float[Tensor, "b o c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, " b"]:
        """Score chunks; padded steps are set to zero, in data and samples alike."""
        return self.net(self.scale * chunk * mask[:, :, None], cond).float().mean(dim=(1, 2))
