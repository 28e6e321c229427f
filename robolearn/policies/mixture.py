"""One evaluation from a many-step teacher, distilled into a network whose noise picks a discrete code.

A smooth map from noise to chunks cannot jump between modes, so that it leaves samples between them. Here the noise
first picks one of K discrete codes, and the chunk is decoded from noise and code: the map jumps where the code does.

    teacher   a denoiser trained on the data and sampled by its differential equation, as in ``score.py``
    codes     K chunks per observation, fitted to samples of the teacher by annealed winner-takes-all
              (Rupprecht et al. 2017; Makansi et al. 2019) in which every code wins alike often (``balanced``);
              variant ``plain`` samples these and ends here
    policy    pairs (noise, chunk) of the teacher's differential equation, labeled with the nearest code:
              a selector learns noise -> code, the backbone learns (noise, code) -> chunk
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.nets.sizes import check_sizes
from robolearn.policies.coded import Coded
from robolearn.policies.codes import Codes, Student, balanced, squared_distances
from robolearn.policies.draws import Draws, DrawSource, draw_category, likely, standard_normal
from robolearn.policies.family import Chunks, Examples, FamilyConfig, Loss, MakeNet, Player, SampledFamily
from robolearn.policies.losses import perplexity
from robolearn.policies.options import check_choice, check_floor, runtime
from robolearn.policies.score import Score, ScoreConfig

Variant = Literal["hard-code", "plain"]
MixtureSampler = Literal["student", "teacher"]
LEAST_VARIANCE = 1e-4  # of chunks at an observation, squared normalized actions
ROWS = 256  # observations of the bank that are sampled at once
TEMPERATURES = (1.0, 0.2)  # of the winner-takes-all, at the start and from the middle of its span on


@dataclass(frozen=True)
class MixtureConfig(FamilyConfig):
    """A many-step teacher and its one-evaluation student, trained one after the other."""

    variant: Variant = "hard-code"
    """hard-code, the noise picks a code and the chunk follows from both; plain, a chunk per code."""
    teacher: ScoreConfig = field(default_factory=lambda: ScoreConfig(steps=8))
    """The family of the teacher, and how it is sampled for the student."""
    teacher_run: Path | str | None = None
    """Run of a score policy to take as the teacher; by default one is trained first."""
    teacher_share: float = 0.65
    """Share of the training steps that the teacher gets, unless it is taken from a run."""
    codes_share: float = 0.05
    """Share that the codes get; with variant plain they get the rest."""
    num_codes: int = 64
    """Codes K; have more than modes."""
    code_dim: int = 16
    """Channels of a code's embedding."""
    num_observations: int = 6_000
    """Observations at which the teacher is sampled, at least 4."""
    pairs: int = 16
    """Samples of the teacher at each of them."""
    obs_jitter: float = 0.02
    """Standard deviation of the noise added to these observations, in normalized units."""
    temperature: float = runtime(1.0)
    """Variant plain: below 1 rare codes are drawn less often."""
    min_code_probability: float = runtime(0.0)
    """Variant plain: codes that are less probable are never drawn; the most probable one always may be."""
    sampler: MixtureSampler = runtime("student")  # noqa: RUF009
    """Who samples: the student with one evaluation, or the teacher."""

    def __post_init__(self) -> None:
        take_paths(self, "teacher_run")
        check_choice("mixture variant", self.variant, get_args(Variant))
        check_choice("mixture sampler", self.sampler, get_args(MixtureSampler))
        if not (self.teacher_share > 0 and self.codes_share > 0 and self.teacher_share + self.codes_share < 1):
            raise UserError(
                f"mixture: teacher_share {self.teacher_share} and codes_share {self.codes_share} must be above 0 "
                "and leave a share for the student"
            )
        check_sizes("mixture", num_codes=self.num_codes, code_dim=self.code_dim, pairs=self.pairs)
        check_sizes("mixture", num_observations=self.num_observations)
        if self.num_codes < 2 or self.num_observations < 4 or min(self.code_dim, self.pairs) < 1:
            raise UserError("mixture: num_codes must be at least 2, num_observations 4, code_dim and pairs 1")
        if self.teacher.sampler == "langevin":
            raise UserError("mixture: the teacher must map noise to chunks deterministically; choose heun or euler")
        if self.variant == "hard-code" and self.temperature != 1:
            raise UserError("mixture: temperature is of variant plain; in hard-code the noise alone picks the code")
        if self.obs_jitter < 0 or self.temperature <= 0:
            raise UserError(
                f"mixture: obs_jitter {self.obs_jitter} must not be negative, temperature {self.temperature} above 0"
            )
        check_floor("mixture", self.min_code_probability)
        if self.variant == "hard-code" and self.min_code_probability:
            raise UserError("mixture: min_code_probability is of variant plain; in hard-code the noise alone picks")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Mixture:
        """Build the family."""
        return Mixture(self, make_net, action_horizon, action_dim)


@dataclass(frozen=True)
class Bank:
    """Samples of the teacher: p pairs of noise and chunk at each of n observations; for the student their codes."""

    cond: Float[Tensor, "n o c"]
    noise: Float[Tensor, "n p t a"]
    chunks: Float[Tensor, "n p t a"]
    codes: Int[Tensor, "n p"] | None = None


class Mixture(SampledFamily):
    """a = f(z, c(z, o), o), c = argmax of the selector; a deterministic function of z that may jump."""

    def __init__(self, cfg: MixtureConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.teacher = Score(cfg.teacher, make_net, action_horizon, action_dim)
        self.codes = Codes(make_net, cfg.num_codes, self.chunk_shape)
        self.student: Student | None = None
        if cfg.variant == "hard-code":
            self.student = Student(make_net, cfg.num_codes, cfg.code_dim, self.chunk_shape)
        self.bank: Bank | None = None

    def players(self) -> dict[str, Player]:
        """Teacher, codes and student, one after the other."""
        taught, coded = self.cfg.teacher_share, self.cfg.teacher_share + self.cfg.codes_share
        players = {"teacher": Player(self.teacher, (0.0, taught))}
        if self.cfg.teacher_run is not None:
            players, taught, coded = {}, 0.0, self.cfg.codes_share / (1 - taught)
        end = coded if self.student is not None else 1.0
        players["codes"] = Player(self.codes, (taught, end), trains_encoder=False)
        if self.student is not None:
            players["policy"] = Player(self.student, (coded, 1.0), trains_encoder=False)
        return players

    @torch.no_grad()
    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Sample the teacher for codes and student; label the student's pairs."""
        if player == "teacher":
            self.teacher.begin("policy", examples, generator=generator)
            return
        # Codes are coarse, and each is seen with all its samples at once: a quarter of the observations will do.
        cond = examples(self.cfg.num_observations // (4 if player == "codes" and self.student is not None else 1)).cond
        jitter = standard_normal(*cond.shape, generator=generator)
        cond = cond + self.cfg.obs_jitter * jitter
        noise = standard_normal(len(cond), self.cfg.pairs, *self.chunk_shape, generator=generator)
        chunks = torch.cat([self._teach(*part) for part in zip(cond.split(ROWS), noise.split(ROWS), strict=True)])
        codes = None
        if player == "policy":
            parts = zip(chunks.split(ROWS), cond.split(ROWS), strict=True)
            codes = torch.cat([squared_distances(part, self.codes(at)[1]).argmin(2) for part, at in parts])
        self.bank = Bank(cond, noise, chunks, codes)

    def _teach(self, cond: Float[Tensor, "n o c"], noise: Float[Tensor, "n p t a"]) -> Float[Tensor, "n p t a"]:
        """The teacher's chunks."""
        repeated = cond.repeat_interleave(self.cfg.pairs, dim=0)
        return self.teacher.integrate(repeated, noise.flatten(0, 1)).view_as(noise)

    def draw(self, source: DrawSource) -> Draws:
        """The teacher's draws; for the others rows of the bank, a pair in each, and the temperature."""
        if source.player == "teacher":
            return self.teacher.draw(source)
        assert self.bank is not None, "begin fills the bank"
        row = source.integers(0, len(self.bank.cond))
        if source.player == "policy":
            return {"row": row, "pair": source.integers(0, self.cfg.pairs)}
        start, end = TEMPERATURES

        def temperature(progress: float) -> float:
            return end * (start / end) ** max(0.0, 1 - 2 * progress)

        return {"row": row, "temperature": source.scheduled("temperature", temperature)}

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """The teacher learns from the batch, codes and student from the teacher's samples."""
        if player == "teacher":
            return self.teacher.loss(data, draws)
        assert self.bank is not None, "begin fills the bank"
        row, bank = draws["row"], self.bank
        if player == "codes":
            return self.codes_loss(bank.cond[row], bank.chunks[row], draws["temperature"])
        assert self.student is not None, "only the variant with a student has this player"
        assert bank.codes is not None, "begin labels the student's pairs"
        pair = (row, draws["pair"])
        return self.student.loss(bank.cond[row], bank.noise[pair], bank.codes[pair], bank.chunks[pair])

    def codes_loss(
        self, cond: Float[Tensor, "b o c"], chunks: Float[Tensor, "b p t a"], temperature: Float[Tensor, " b"]
    ) -> Loss:
        """Soft winner-takes-all, and the cross-entropy of the logits to the shares of the nearest codes.

        The temperature is in units of the variance of the chunks at an observation: where the teacher knows one way,
        chunks lie a hundred times closer together than where it knows many.
        """
        logits, centers = self.codes(cond)
        distance = squared_distances(chunks, centers)
        variance = (chunks - chunks.mean(1, keepdim=True)).square().mean((1, 2, 3)).clamp(min=LEAST_VARIANCE)
        weight = balanced(-distance.detach() / (temperature * variance)[:, None, None])
        share = nn.functional.one_hot(distance.argmin(2), self.cfg.num_codes).float().mean(1)
        error = (weight * distance).sum(2).mean()
        surprise = -(share * logits.log_softmax(1)).sum(1).mean()
        return error + 0.1 * surprise, {"error": error, "codes_used": perplexity(share.mean(0))}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """One evaluation of the student, or many of the teacher, from its initial value; plain reads one number."""
        if self.cfg.sampler == "teacher":
            return self.teacher.integrate(cond, noise)
        if self.student is not None:
            return self.student(cond, noise)
        logits, centers = self.codes(cond)
        code = draw_category(self.drawn(logits), noise[:, 0, 0])
        return centers[torch.arange(len(cond), device=cond.device), code]

    def distribution(self, cond: Float[Tensor, "b o c"]) -> tuple[Float[Tensor, "b k t a"], Float[Tensor, "b k"]]:
        """All that ``sample`` can return, chunks and their probabilities, from one evaluation; variant plain.

        Raises:
            UserError: The distribution is not finite: chunks of variant hard-code and of the teacher vary with the
                noise.
        """
        self.check_finite()
        logits, centers = self.codes(cond)
        return centers, self.drawn(logits).softmax(1)

    def drawn(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Logits of the probabilities with which codes are drawn, -inf where one never is; variant plain."""
        return likely(logits / self.cfg.temperature, self.cfg.min_code_probability)

    def coded(self) -> Coded:
        """Features, logits and the chunk of each code, apart from each other; variant plain.

        Raises:
            UserError: See ``distribution``.
        """
        self.check_finite()
        shape = self.chunk_shape[0], self.cfg.num_codes * (self.chunk_shape[1] + 1)

        def logits(features: Float[Tensor, "b m"]) -> Float[Tensor, "b k"]:
            return self.codes.split(features.unflatten(1, shape))[0] / self.cfg.temperature

        def chunk(features: Float[Tensor, "b m"], code: int) -> Float[Tensor, "b t a"]:
            return self.codes.split(features.unflatten(1, shape))[1][:, code]

        return Coded(lambda cond: self.codes.features(cond).flatten(1), logits, chunk)

    def check_finite(self) -> None:
        """Raise a UserError unless there is a finite distribution; see ``distribution``."""
        if self.student is not None or self.cfg.sampler == "teacher":
            raise UserError(
                f"mixture: variant {self.cfg.variant} with sampler {self.cfg.sampler} has no finite distribution; "
                "variant plain with sampler student has one"
            )

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk; the selector is a small head beside the network."""
        return self.teacher.nfe if self.cfg.sampler == "teacher" else 1
