"""What the next state may be, by several networks that were trained apart: each tells a mean and a variance.

All members are evaluated at once, as batched products of stacked weights.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114; stacked or in a loop, the numbers are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, silu, softplus

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.data.normalizer import Normalizer
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.nets.sizes import check_sizes
from robolearn.nets.weights import build_with_weights, save_weights

CONFIG_FILE, WEIGHTS_FILE = "dynamics.json", "dynamics.safetensors"
MIN_LOG_VAR, MAX_LOG_VAR = -10.0, 0.5  # where the learned bounds start, of changes scaled to variance 1
BOUND_WEIGHT = 0.01  # draws the two bounds together


@dataclass(frozen=True)
class DynamicsConfig:
    """Everything needed to build an ensemble, weights aside."""

    state_dim: int
    """Numbers of a state."""
    action_dim: int
    """Numbers of an action."""
    angles: tuple[int, ...] = ()
    """Which numbers of a state are angles [rad]: networks see their sine and cosine."""
    num_members: int = 5
    """Networks."""
    hidden: int = 128
    """Width of the hidden layers."""
    depth: int = 2
    """Hidden layers."""
    probabilistic: bool = True
    """False for networks that tell a mean alone (the paper's D); their variance is 0."""
    outcomes: int = 0
    """The last so many numbers of a state are what a step brought, such as its reward: no network sees them, and they
    are predicted as they are and not as a change."""
    events: int = 0
    """The last so many outcomes are 1 where something happened, else 0: networks tell how probable it is."""

    def __post_init__(self) -> None:
        check_sizes("dynamics", state_dim=self.state_dim, action_dim=self.action_dim, num_members=self.num_members)
        check_sizes("dynamics", hidden=self.hidden, depth=self.depth)
        if not 0 <= self.outcomes < self.state_dim:
            raise UserError(
                f"dynamics: outcomes {self.outcomes} must be at least 0 and below state_dim {self.state_dim}"
            )
        if not 0 <= self.events <= self.outcomes:
            raise UserError(f"dynamics: events {self.events} must be in 0..{self.outcomes}, the outcomes")
        if wrong := [i for i in self.angles if not 0 <= i < self.num_seen]:
            raise UserError(f"dynamics: angle {wrong[0]} is no number of a state; choose from 0..{self.num_seen - 1}")
        if twice := [i for i in self.angles if self.angles.count(i) > 1]:
            raise UserError(f"dynamics: angle {twice[0]} is given twice")

    @property
    def num_seen(self) -> int:
        """Numbers of a state that decide what comes next."""
        return self.state_dim - self.outcomes

    @property
    def num_measured(self) -> int:
        """Numbers of a state that are no events."""
        return self.state_dim - self.events


class StackedLinear(nn.Module):
    """One linear layer per member: [k, b, i] -> [k, b, o]."""

    def __init__(self, num_members: int, inputs: int, outputs: int, generator: torch.Generator | None = None):
        super().__init__()
        std = 1 / (2 * math.sqrt(inputs))
        weight = torch.empty(num_members, inputs, outputs)
        self.weight = nn.Parameter(nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std, generator))
        self.bias = nn.Parameter(torch.zeros(num_members, 1, outputs))

    def forward(self, x: Float[Tensor, "k b i"]) -> Float[Tensor, "k b o"]:
        """Give each member its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class DynamicsEnsemble(nn.Module):
    """State and action -> each member's mean and variance of the next state, in physical units.

    Args:
        cfg: Shapes.
        normalizer: Keys "feature" (`features` of the state), "action" and "delta" (next state - `base` of the state,
            without events).
        generator: Draws the first weights; by default the global stream does.
    """

    def __init__(self, cfg: DynamicsConfig, normalizer: Normalizer, *, generator: torch.Generator | None = None):
        super().__init__()
        self.cfg, self.normalizer = cfg, normalizer
        outputs = cfg.num_measured * (2 if cfg.probabilistic else 1) + cfg.events
        sizes = [num_features(cfg) + cfg.action_dim, *[cfg.hidden] * cfg.depth, outputs]
        self.layers = nn.ModuleList(StackedLinear(cfg.num_members, i, o, generator) for i, o in pairwise(sizes))
        if cfg.probabilistic:
            self.min_log_var = nn.Parameter(torch.full((cfg.num_measured,), MIN_LOG_VAR))
            self.max_log_var = nn.Parameter(torch.full((cfg.num_measured,), MAX_LOG_VAR))

    @property
    def num_members(self) -> int:
        """How many networks there are."""
        return self.cfg.num_members

    def forward(
        self, states: Float[Tensor, "k b s"], actions: Float[Tensor, "k b a"]
    ) -> tuple[Float[Tensor, "k b s"], Float[Tensor, "k b s"]]:
        """Predict mean and variance of the next state; member i is asked about row i of the first axis alone."""
        mean, log_var, logits = self.change(states, actions)
        measured = base(self.cfg, states)[..., : self.cfg.num_measured] + self.normalizer.unnormalize("delta", mean)
        happens = logits.sigmoid()
        mean = torch.cat([measured, happens], dim=-1)
        if log_var is None:
            return mean, torch.zeros_like(mean)
        scale = self.normalizer.get_buffer("delta_scale")
        return mean, torch.cat([log_var.exp() * scale.square(), happens * (1 - happens)], dim=-1)

    def change(
        self, states: Float[Tensor, "k b s"], actions: Float[Tensor, "k b a"]
    ) -> tuple[Float[Tensor, "k b m"], Float[Tensor, "k b m"] | None, Float[Tensor, "k b e"]]:
        """Of the normalized change its mean and log-variance, without the latter where networks tell a mean alone; and
        the log-odds of events.
        """
        x = torch.cat(
            [
                self.normalizer.normalize("feature", features(self.cfg, states)),
                self.normalizer.normalize("action", actions),
            ],
            dim=-1,
        )
        for layer in self.layers[:-1]:
            x = silu(layer(x))
        out = self.layers[-1](x)
        out, logits = out.split([out.shape[-1] - self.cfg.events, self.cfg.events], dim=-1)
        if not self.cfg.probabilistic:
            return out, None, logits
        mean, free = out.chunk(2, dim=-1)
        below = self.max_log_var - softplus(self.max_log_var - free)
        return mean, self.min_log_var + softplus(below - self.min_log_var), logits

    def loss(
        self,
        states: Float[Tensor, "k b s"],
        actions: Float[Tensor, "k b a"],
        deltas: Float[Tensor, "k b s"],
    ) -> Float[Tensor, ""]:
        """Sum over members of the mean over rows of -2 log likelihood (less a constant), and the bounds' penalty.

        (mu - y)' Sigma^-1 (mu - y) + log det Sigma with diagonal Sigma, y the normalized change; squared error for
        networks that tell a mean alone. Of events the likelihood is that of the probability that is told.
        Source: Chua et al. 2018, section 4 and appendix A.

        Args:
            states: Each member's rows.
            actions: Executed there.
            deltas: Next state - `base` of the state.
        """
        changes, events = deltas.split([self.cfg.num_measured, self.cfg.events], dim=-1)
        target = self.normalizer.normalize("delta", changes)
        mean, log_var, logits = self.change(states, actions)
        error = (mean - target).square()
        surprise = 2 * binary_cross_entropy_with_logits(logits, events, reduction="none").sum(-1).mean(1).sum()
        if log_var is None:
            return error.sum(-1).mean(1).sum() + surprise
        penalty = BOUND_WEIGHT * (self.max_log_var.sum() - self.min_log_var.sum())
        return (error * (-log_var).exp() + log_var).sum(-1).mean(1).sum() + surprise + penalty

    def save(self, directory: StrPath) -> None:
        """Write ``dynamics.json`` and ``dynamics.safetensors`` into a directory; never pickle."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / CONFIG_FILE, to_json(self.cfg, {}))
        save_weights(self, directory / WEIGHTS_FILE)

    @classmethod
    def load(cls, directory: StrPath) -> DynamicsEnsemble:
        """Read a saved ensemble; safe on files from strangers.

        Raises:
            UserError: A file is missing, damaged or does not fit.
        """
        directory = Path(directory)
        cfg = from_json(DynamicsConfig, read_json(directory / CONFIG_FILE), {}, str(directory / CONFIG_FILE))
        shapes = {"feature": (num_features(cfg),), "action": (cfg.action_dim,), "delta": (cfg.num_measured,)}
        needs = {f"normalizer.{key}_centre": shape for key, shape in shapes.items()}
        ensemble = build_with_weights(lambda: cls(cfg, Normalizer(shapes)), directory / WEIGHTS_FILE, needs=needs)
        return ensemble.eval()


def features(cfg: DynamicsConfig, states: Float[Tensor, "*shape s"]) -> Float[Tensor, "*shape f"]:
    """What networks see of a state: its numbers, of angles the sines and the cosines."""
    plain = [i for i in range(cfg.num_seen) if i not in cfg.angles]
    angles = states[..., list(cfg.angles)]
    return torch.cat([states[..., plain], angles.sin(), angles.cos()], dim=-1)


def num_features(cfg: DynamicsConfig) -> int:
    """Length of `features`."""
    return cfg.num_seen + len(cfg.angles)


def base(cfg: DynamicsConfig, states: Float[Tensor, "*shape s"]) -> Float[Tensor, "*shape s"]:
    """What a predicted change is added to: the state, with 0 for outcomes."""
    if not cfg.outcomes:
        return states
    return torch.cat([states[..., : cfg.num_seen], torch.zeros_like(states[..., cfg.num_seen :])], dim=-1)


def split_variance(
    mean: Float[Tensor, "k *shape"], var: Float[Tensor, "k *shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Epistemic variance (of the members' means) and aleatoric variance (mean of the members' own), in unit squared.

    Their sum is the variance of the members' even mixture. Source: Chua et al. 2018, section 4.
    """
    return mean.var(0, correction=0), var.mean(0)
