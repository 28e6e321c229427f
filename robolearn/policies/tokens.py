"""Behavior transformer: chunks as codes that are classified, plus an offset that is regressed.

bins          one code, the nearest k-means center (Shafiullah et al. 2022)
residual-vq   several codes, coarse to fine, of a quantizer that is trained first; a small causal transformer draws
              them one by one (VQ-BeT, Lee et al. 2024)

The backbone reads the observations alone and hands on features per step of the chunk. Codes are drawn from those of
the first step, which is never padding; the offset of a step follows from its own and the codes. What is coded is the
chunk relative to where it starts, see ``anchor.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.code_decoder import CodeDecoder
from robolearn.nets.sizes import check_sizes
from robolearn.policies.anchor import Anchor
from robolearn.policies.bounded import BoundedConfig, bounded_output, draw_error, radius_term
from robolearn.policies.coded import Coded
from robolearn.policies.draws import Draws, DrawSource, likely, race
from robolearn.policies.family import BY_HEART, Chunks, Examples, Family, Loss, MakeNet, Player
from robolearn.policies.losses import masked_mean
from robolearn.policies.offset import Offset
from robolearn.policies.options import check_choice, check_floor, runtime
from robolearn.policies.tokenizers import Bins, ResidualVQ

Variant = Literal["bins", "residual-vq"]
DECODER_DEPTH, NUM_HEADS = 2, 4  # of the causal transformer
NUM_EXAMPLES = 20_000  # windows from which bins and anchor are found


@dataclass(frozen=True)
class TokensConfig(BoundedConfig):
    """Classify the chunk's code, regress the rest: one evaluation, modes do not blend."""

    dropout: ClassVar[float] = BY_HEART

    variant: Variant = "bins"
    """bins, k-means centers of chunks; residual-vq, codes of a trained quantizer, drawn one after the other."""
    num_bins: int = 32
    """Variant bins: centers; have more than modes."""
    num_levels: int = 2
    """Variant residual-vq: codes per chunk."""
    num_codes: int = 16
    """Variant residual-vq: values of a code."""
    quantiser_share: float = 0.2
    """Variant residual-vq: share of the training steps that the quantizer gets, before the policy."""
    width: int = 32
    """Features per step that the backbone hands on; a multiple of 4."""
    focal_gamma: float = 0.0
    """Focal loss (2 in the papers): how much less codes count that are predicted well already; 0 for cross-entropy."""
    offset_weight: float = 10.0
    """Weight of the offsets' absolute error beside that of the codes."""
    temperature: float = runtime(1.0)
    """Below 1 rare codes are drawn less often; above 0."""
    min_code_probability: float = runtime(0.0)
    """Codes that are less probable are never drawn, of each level; the most probable one always may be."""

    def __post_init__(self) -> None:
        check_choice("tokens variant", self.variant, get_args(Variant))
        if min(self.num_bins, self.num_codes) < 2 or self.num_levels < 1:
            raise UserError("tokens: num_bins and num_codes must be at least 2, num_levels at least 1")
        check_sizes("tokens", num_bins=self.num_bins, num_levels=self.num_levels, num_codes=self.num_codes)
        check_sizes("tokens", width=self.width)
        if not 0 < self.quantiser_share < 1:
            raise UserError(f"tokens: quantiser_share {self.quantiser_share} must be in (0, 1)")
        if self.width < 1 or self.width % NUM_HEADS:
            raise UserError(f"tokens: width {self.width} must be a multiple of {NUM_HEADS}")
        if self.focal_gamma < 0 or self.offset_weight <= 0 or self.temperature <= 0:
            raise UserError(
                f"tokens: focal_gamma {self.focal_gamma} must not be negative, offset_weight {self.offset_weight} and "
                f"temperature {self.temperature} above 0"
            )
        check_floor("tokens", self.min_code_probability)
        self.check_bounds("tokens")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Tokens:
        """Build the family."""
        return Tokens(self, make_net, action_horizon, action_dim)


class Tokens(Family):
    """a = decode(c) + offset(o, c) with c ~ p(c_1 | o) p(c_2 | o, c_1) ..."""

    fitted: Tensor

    def __init__(self, cfg: TokensConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.anchor = Anchor(action_dim)
        self.register_buffer("fitted", torch.tensor(False))
        self.net = make_net(action_dim, cfg.width, 0)
        cfg.check_net(self.net)
        self.tokenizer: Bins | ResidualVQ
        self.prior: nn.Linear | CodeDecoder
        if cfg.variant == "bins":
            self.levels, self.num_codes = 1, cfg.num_bins
            self.tokenizer = Bins(self.num_codes, self.chunk_shape)
            self.prior = nn.Linear(cfg.width, self.num_codes)
        else:
            self.levels, self.num_codes = cfg.num_levels, cfg.num_codes
            self.tokenizer = ResidualVQ(self.levels, self.num_codes, self.chunk_shape)
            self.prior = CodeDecoder(self.levels, self.num_codes, cfg.width, DECODER_DEPTH, NUM_HEADS)
        self.offset = Offset(self.levels, self.num_codes, cfg.width, self.chunk_shape)

    def players(self) -> dict[str, Player]:
        """The policy; before it the quantizer, if there is one to train."""
        parts: dict[str, Any] = {"net": self.net, "prior": self.prior, "offset": self.offset}
        policy = nn.ModuleDict(parts)
        if isinstance(self.tokenizer, Bins):
            return {"policy": Player(policy)}
        share = self.cfg.quantiser_share
        quantizer = Player(self.tokenizer, (0.0, share), trains_encoder=False)
        return {"quantiser": quantizer, "policy": Player(policy, (share, 1.0))}

    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Find what chunks are relative to, and the bins; a resumed run keeps those it has."""
        if self.fitted:
            return
        data = examples(NUM_EXAMPLES)
        observed = data.cond.shape[2] - examples.prefix_dim  # a known action is a part of what is decided
        self.anchor.fit(data.cond[:, :, :observed], data.actions)
        if isinstance(self.tokenizer, Bins):
            self.tokenizer.fit(self.anchor(data.actions[data.mask.all(1)]), generator=generator)
        self.fitted.fill_(True)

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Focal loss or cross-entropy of the codes, and absolute error of the chunk that true codes and offset give."""
        actions, mask = data.actions, data.mask
        if player == "quantiser":
            assert isinstance(self.tokenizer, ResidualVQ), "bins are not trained"
            return self.tokenizer.loss(self.anchor(actions), mask)
        with torch.no_grad():
            codes = self.tokenizer.encode(self.anchor(actions), mask)
            coarse = self.tokenizer.decode(codes)
        features = self.features(data.cond)
        focal = focal_loss(self.logits(features, codes[:, :-1]), codes, self.cfg.focal_gamma).sum(1)
        # A chunk counts as much as it has recorded steps, like its offsets.
        focal = (focal * mask.float().mean(1)).mean()
        offset = masked_mean((coarse + self.offset(features, codes) - actions).abs(), mask)
        logged = {"focal": focal.detach(), "offset_error": offset.detach()}
        if "bound_error" not in draws:
            return focal + self.cfg.offset_weight * offset, logged
        chunk = self.offset.interval(bounded_output(self.net, data.cond, draws), codes)
        term, radius = radius_term(self.cfg, chunk, data)
        return focal + self.cfg.offset_weight * offset + term, {**logged, **radius}

    def draw(self, source: DrawSource) -> Draws:
        """The error of observations that the policy's chunk is bounded for."""
        return draw_error(self.cfg, source) if source.player == "policy" else {}

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """None: held-out windows are judged without the bounds."""
        return {}

    def features(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t w"]:
        """What the backbone makes of the observations; in float32, for logits and small offsets."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond).float()

    def logits(self, features: Float[Tensor, "b t w"], codes: Int[Tensor, "b l"]) -> Float[Tensor, "b m k"]:
        """Logits of the first m = l + 1 codes, given l of them."""
        if isinstance(self.prior, CodeDecoder):
            return self.prior(features[:, 0], codes)
        return self.prior(features[:, 0])[:, None]

    def tempered(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Logits of the probabilities with which a level's codes are drawn, before rare ones are left out."""
        logits = calibrated(logits, self.cfg.focal_gamma)
        return logits if self.cfg.temperature == 1 else logits / self.cfg.temperature

    def drawn(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """The same, -inf where a code is never drawn."""
        return likely(self.tempered(logits), self.cfg.min_code_probability)

    def coded(self) -> Coded:
        """Features, logits and the chunk of each code, apart from each other; variant bins.

        Raises:
            UserError: Codes of residual-vq depend on each other.
        """
        if not isinstance(self.tokenizer, Bins):
            raise UserError("tokens: variant residual-vq draws code after code; variant bins has a chunk for each")
        shape = self.chunk_shape[0], self.cfg.width

        def logits(features: Float[Tensor, "b m"]) -> Float[Tensor, "b k"]:
            return self.tempered(self.prior(features.unflatten(1, shape)[:, 0]))

        def chunk(features: Float[Tensor, "b m"], code: int) -> Float[Tensor, "b t a"]:
            codes = torch.full((len(features), 1), code)
            return self.tokenizer.decode(codes) + self.offset(features.unflatten(1, shape), codes)

        return Coded(lambda cond: self.features(cond).flatten(1), logits, chunk)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """A number for each value of each code; where they are kept, an episode keeps preferring the same codes."""
        return self.levels, self.num_codes

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Draw code after code, then add the offset."""
        features = self.features(cond)
        codes = noise.new_empty(len(cond), 0, dtype=torch.long)
        for level in range(self.levels):
            logits = self.drawn(self.logits(features, codes)[:, level])
            code = race(logits, noise[:, level])[:, None]
            codes = torch.cat([codes, code], dim=1) if level else code  # joining nothing is 1 % of an evaluation
        return self.tokenizer.decode(codes) + self.offset(features, codes)

    @property
    def nfe(self) -> int:
        """One evaluation of the backbone.

        Beside it, residual-vq evaluates its decoder of 2 layers once per code, on as many tokens: 25 thousand
        multiplications per token at the default width.
        """
        return 1


def focal_loss(logits: Float[Tensor, "b l k"], codes: Int[Tensor, "b l"], gamma: float) -> Float[Tensor, "b l"]:
    """-(1 - p)^gamma log p of the true codes (Lin et al. 2017, eq. 4)."""
    log_p = logits.float().log_softmax(2).gather(2, codes[:, :, None])[:, :, 0]
    return -((1 - log_p.exp()).clamp(min=1e-6) ** gamma) * log_p


def calibrated(logits: Float[Tensor, "b k"], gamma: float) -> Float[Tensor, "b k"]:
    """Logits of the data's probabilities q from those of focal loss's minimizer p, which is flatter than q.

    Setting the derivative of sum_k q_k (1 - p_k)^gamma (-log p_k) on the simplex to zero gives q_k proportional to
    p_k / ((1 - p_k)^gamma - gamma p_k (1 - p_k)^(gamma - 1) log p_k) (Charoenphakdee et al. 2021).
    """
    if gamma == 0:
        return logits
    log_p = logits.float().log_softmax(1)
    p = log_p.exp()
    rest = (1 - p).clamp(min=1e-6)
    return log_p - (rest ** (gamma - 1) * torch.addcmul(rest, p, log_p, value=-gamma)).log()
