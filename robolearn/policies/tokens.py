"""Behaviour transformer: chunks as codes that are classified, plus an offset that is regressed.

bins          one code, the nearest k-means centre (Shafiullah et al. 2022)
residual-vq   several codes, coarse to fine, of a quantiser that is trained first; a small causal transformer draws
              them one by one (VQ-BeT, Lee et al. 2024)

The backbone reads the observations alone and hands on features per step of the chunk. Codes are drawn from those of
the first step, which is never padding; the offset of a step follows from its own and the codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robolearn.nets.code_decoder import CodeDecoder
from robolearn.policies.family import (
    Draws,
    Examples,
    Family,
    MakeNet,
    Player,
    check_choice,
    choose,
    masked_mean,
    runtime,
    standard_normal,
)
from robolearn.policies.tokenizers import Bins, ResidualVQ

Variant = Literal["bins", "residual-vq"]
DECODER_DEPTH, NUM_HEADS = 2, 4  # of the causal transformer


@dataclass(frozen=True)
class TokensConfig:
    """Classify the chunk's code, regress the rest: one evaluation, modes do not blend."""

    variant: Variant = "bins"
    """bins, k-means centres of chunks; residual-vq, codes of a trained quantiser, drawn one after the other."""
    num_bins: int = 64
    """Variant bins: centres; have more than modes."""
    num_levels: int = 2
    """Variant residual-vq: codes per chunk."""
    num_codes: int = 16
    """Variant residual-vq: values of a code."""
    quantiser_share: float = 0.2
    """Variant residual-vq: share of the training steps that the quantiser gets, before the policy."""
    width: int = 64
    """Features per step that the backbone hands on; a multiple of 4."""
    focal_gamma: float = 2.0
    """Focal loss: how much less codes count that are predicted well already; 0 for cross-entropy."""
    offset_weight: float = 10.0
    """Weight of the offsets' absolute error beside the focal loss."""
    temperature: float = runtime(1.0)
    """Below 1 rare codes are drawn less often; above 0."""

    def __post_init__(self) -> None:
        check_choice("tokens variant", self.variant, get_args(Variant))
        if min(self.num_bins, self.num_codes) < 2 or self.num_levels < 1:
            raise ValueError("tokens: num_bins and num_codes must be at least 2, num_levels at least 1")
        if not 0 < self.quantiser_share < 1:
            raise ValueError(f"tokens: quantiser_share {self.quantiser_share} must be in (0, 1)")
        if self.width < 1 or self.width % NUM_HEADS:
            raise ValueError(f"tokens: width {self.width} must be a multiple of {NUM_HEADS}")
        if self.focal_gamma < 0 or self.offset_weight <= 0 or self.temperature <= 0:
            raise ValueError(
                f"tokens: focal_gamma {self.focal_gamma} must not be negative, offset_weight {self.offset_weight} and "
                f"temperature {self.temperature} above 0"
            )

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Tokens:
        """Build the family."""
        return Tokens(self, make_net, action_horizon, action_dim)


class Tokens(Family):
    """a = decode(c) + offset(o, c) with c ~ p(c_1 | o) p(c_2 | o, c_1) ..."""

    def __init__(self, cfg: TokensConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        levels, codes, depth = 1, cfg.num_bins, 0
        self.tokenizer: Bins | ResidualVQ = Bins(cfg.num_bins, self.chunk_shape)
        if cfg.variant == "residual-vq":
            levels, codes, depth = cfg.num_levels, cfg.num_codes, DECODER_DEPTH
            self.tokenizer = ResidualVQ(levels, codes, self.chunk_shape)
        self.levels = levels
        self.net = make_net(action_dim, cfg.width, 0)
        self.prior = CodeDecoder(levels, codes, cfg.width, depth, NUM_HEADS)
        self.offset = Offset(levels, codes, cfg.width, action_dim)

    def players(self) -> dict[str, Player]:
        """The policy; before it the quantiser, if there is one to train."""
        parts: dict[str, Any] = {"net": self.net, "prior": self.prior, "offset": self.offset}
        policy = nn.ModuleDict(parts)
        if isinstance(self.tokenizer, Bins):
            return {"policy": Player(policy)}
        share = self.cfg.quantiser_share
        quantiser = Player(self.tokenizer, (0.0, share), trains_encoder=False)
        return {"quantiser": quantiser, "policy": Player(policy, (share, 1.0))}

    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Find the bins."""
        if isinstance(self.tokenizer, Bins):
            self.tokenizer.fit(examples, generator=generator)

    def draws(self, batch: int, *, generator: torch.Generator, player: str = "policy", progress: float = 0.0) -> Draws:
        """Nothing is random."""
        return {}

    def loss(
        self,
        actions: Float[Tensor, "b t a"],
        cond: Float[Tensor, "b o c"],
        mask: Bool[Tensor, "b t"],
        draws: Draws,
        *,
        player: str = "policy",
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Focal loss of the codes and absolute error of the chunk that the true codes and their offset give."""
        if player == "quantiser":
            assert isinstance(self.tokenizer, ResidualVQ), "bins are not trained"
            return self.tokenizer.loss(actions, mask)
        with torch.no_grad():
            codes = self.tokenizer.encode(actions, mask)
            coarse = self.tokenizer.decode(codes)
        features = self.features(cond)
        focal = focal_loss(self.prior(features[:, 0], codes[:, :-1]), codes, self.cfg.focal_gamma).sum(1)
        # A chunk counts as much as it has recorded steps, like its offsets.
        focal = (focal * mask.float().mean(1)).mean()
        offset = masked_mean((coarse + self.offset(features, coarse, codes) - actions).abs(), mask)
        return focal + self.cfg.offset_weight * offset, {"focal": focal.detach(), "offset_error": offset.detach()}

    def features(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t w"]:
        """What the backbone makes of the observations; in float32, for logits and small offsets."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond).float()

    def noise(self, batch: int, *, generator: torch.Generator) -> Float[Tensor, "b ..."]:
        """One number per code."""
        return standard_normal(batch, self.levels, generator=generator)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Draw code after code, then add the offset."""
        features = self.features(cond)
        codes = torch.empty(len(cond), 0, dtype=torch.long, device=cond.device)
        for level in range(self.levels):
            logits = calibrated(self.prior(features[:, 0], codes)[:, level], self.cfg.focal_gamma)
            code = choose(logits / self.cfg.temperature, noise[:, level])
            codes = torch.cat([codes, code[:, None]], dim=1)
        coarse = self.tokenizer.decode(codes)
        return coarse + self.offset(features, coarse, codes)

    @property
    def nfe(self) -> int:
        """Backbone evaluations per chunk.

        Beside it, residual-vq evaluates its decoder of 2 layers once per code, on as many tokens: 0.1 M multiplications
        per token at the default width.
        """
        return 1


class Offset(nn.Module):
    """What is added to the codes' chunk, step by step.

    Args:
        num_levels: Codes per chunk.
        num_codes: Values of a code.
        width: Features per step.
        action_dim: Numbers per step.
    """

    def __init__(self, num_levels: int, num_codes: int, width: int, action_dim: int):
        super().__init__()
        self.embed = nn.ModuleList(nn.Embedding(num_codes, width) for _ in range(num_levels))
        self.coarse = nn.Linear(action_dim, width)
        self.net = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, action_dim))

    def forward(
        self, features: Float[Tensor, "b t w"], coarse: Float[Tensor, "b t a"], codes: Int[Tensor, "b l"]
    ) -> Float[Tensor, "b t a"]:
        """Offsets from features, the codes' chunk and the codes."""
        embedded = [embed(code) for embed, code in zip(self.embed, codes.unbind(1), strict=True)]
        code = torch.stack(embedded, dim=1).sum(1, keepdim=True)
        return self.net(features + self.coarse(coarse) + code).float()


def focal_loss(logits: Float[Tensor, "b l k"], codes: Int[Tensor, "b l"], gamma: float) -> Float[Tensor, "b l"]:
    """-(1 - p)^gamma log p of the true codes (Lin et al. 2017, eq. 4)."""
    log_p = logits.float().log_softmax(2).gather(2, codes[:, :, None])[:, :, 0]
    return -((1 - log_p.exp()).clamp(min=1e-6) ** gamma) * log_p


def calibrated(logits: Float[Tensor, "b k"], gamma: float) -> Float[Tensor, "b k"]:
    """Logits of the data's probabilities q from those of focal loss's minimiser p, which is flatter than q.

    Setting the derivative of sum_k q_k (1 - p_k)^gamma (-log p_k) on the simplex to zero gives q_k proportional to
    p_k / ((1 - p_k)^gamma - gamma p_k (1 - p_k)^(gamma - 1) log p_k) (Charoenphakdee et al. 2021).
    """
    log_p = logits.float().log_softmax(1)
    p = log_p.exp()
    rest = (1 - p).clamp(min=1e-6)
    return log_p - (gamma - 1) * rest.log() - (rest - gamma * p * log_p).log()
