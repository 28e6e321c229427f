"""How a trained run acts and is evaluated; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.trust.fallback import Fallback

MAX_EPISODES = 1_000_000
MAX_SAMPLES = 4096  # chunks of one call of what was deployed

CHOICES = ("sampler", "steps", "temperature", "min_code_probability", "latent", "std_scale", "langevin_repeats")
CHOICES += ("langevin_step", "last_noise")
"""What can be chosen of a family after training; each family has some of them."""


@dataclass(frozen=True)
class Sampling:
    """Which policy of a run, and how it is asked for chunks."""

    checkpoint: str = "last"
    """last, best or a step."""
    sampler: str | None = None
    """Sampler of the family; by default the trained configuration's."""
    steps: int | None = None
    """Sampling steps of the family."""
    temperature: float | None = None
    """Of tokens and plain mixtures: below 1 rare codes are drawn less often; by default as trained."""
    min_code_probability: float | None = None
    """Codes of tokens and of plain mixtures that are less probable are never drawn; by default as trained."""
    latent: Literal["sampled", "zero"] | None = None
    """How the family cvae chooses its latent; by default as trained."""
    std_scale: float | None = None
    """Of gmm and gp: share of a component's or of the prediction's standard deviation that samples carry; by default as
    trained."""
    langevin_repeats: int | None = None
    """Of score's langevin: steps at each level of noise; by default as trained."""
    langevin_step: float | None = None
    """Of score's langevin: length of a step in units of sigma^2, in (0, 1); by default as trained."""
    last_noise: float | None = None
    """Of flow, diffusion and score: noise over signal from which the last step goes to the data; by default as trained.
    The last step takes the mean of what is possible, so that early it is a low temperature."""
    execution: Execution = field(default_factory=Execution)

    @property
    def sampling(self) -> dict[str, str | int | float | None]:
        """Run-time choices of the family."""
        chosen = {name: getattr(self, name) for name in CHOICES}
        # Later ones are absent unless they are made: what was calibrated before there were these goes by a hash.
        return {name: value for name, value in chosen.items() if value is not None or name in CHOICES[:2]}

    @property
    def chosen(self) -> dict[str, str | int | float]:
        """Those of them that are made here; all others are as the policy was trained with."""
        return {name: value for name, value in self.sampling.items() if value is not None}


@dataclass(frozen=True)
class Watch:
    """What watches over a policy, and what is done where it is not trusted."""

    gate: bool = False
    """Score every plan, and let the fallback act where the run's gate says so; see python -m robolearn calibrate."""
    safety_set: bool = False
    """Execute only candidates whose predicted tube keeps clear of the task's obstacles; see calibrate --safety-set."""
    fallback: Fallback | None = None
    """watch: only note it; hold: stand still; replan: the sample most agreed on; retreat: go back; expert: let the
    scripted expert drive; stop: end the episode. By default replan, with a safety set hold."""
    budget: int | None = None
    """Most steps of an episode under intervention, after which the gate is silent; by default no limit."""

    def __post_init__(self) -> None:
        if not self.is_watched and (self.fallback or self.budget is not None):
            raise UserError("`fallback` and `budget` need `gate` or `safety_set`")
        if self.budget is not None and self.budget < 0:
            raise UserError(f"`budget` {self.budget} must not be negative")

    @property
    def is_watched(self) -> bool:
        """Whether something decides that the fallback acts."""
        return self.gate or self.safety_set

    @property
    def acting_fallback(self) -> Fallback:
        """The fallback, chosen or by default."""
        return self.fallback or ("hold" if self.safety_set else "replan")


@dataclass(frozen=True)
class PolicyChoice(Sampling):
    """Which policy of a run, how it is asked, and where it runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policy runs."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""


@dataclass(frozen=True)
class ActConfig(PolicyChoice, Watch):
    """How a run acts."""

    seed: int = seeds.EVALUATION.start
    """The noise of episode i depends on (seed, i) only."""
    translator: Path | str | None = field(default=None, kw_only=True)
    """Translator before the policy's cameras; see python -m robolearn translator."""
    translate_to: Literal["source", "target"] | None = field(default=None, kw_only=True)
    """Side of the translator that the policy was trained on; by default source."""

    @property
    def trained_side(self) -> Literal["source", "target"]:
        """The same, with its default."""
        return self.translate_to or "source"

    def __post_init__(self) -> None:
        super().__post_init__()
        take_paths(self, "translator")
        if self.translate_to is not None and self.translator is None:
            raise UserError("`translate_to` is for a `translator`")
        if self.translator is not None and self.is_watched:
            raise UserError("`translator`: gates and safety sets are calibrated without one; leave either out")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")


@dataclass(frozen=True)
class DeployConfig(ActConfig):
    """Options of a deployment."""

    device: Literal["cpu"] = "cpu"
    """Where the policy is compared; what is deployed runs on the CPU."""
    threads: int | None = 1
    """CPU threads of the comparison."""
    format: Literal["onnx", "torch"] = "onnx"
    """onnx, needs numpy and onnxruntime to act; torch, a program of torch.export, needs torch."""
    samples: tuple[int, ...] = ()
    """Numbers of chunks per observation that networks are written for, beside that of the candidates."""
    out: Path | str | None = None
    """Directory; by default RUN/deployed, where an agent finds it."""

    def __post_init__(self) -> None:
        take_paths(self, "out")
        if self.is_watched:
            what = "`gate`: a gate" if self.gate else "`safety_set`: a safety set"
            raise UserError(f"{what} is not deployed, as it asks scores that need torch; let an agent act on the run")
        super().__post_init__()
        if self.translator is not None:
            raise UserError("`translator` is not deployed, as it needs torch; let an agent act on the run")
        if any(not 1 <= count <= MAX_SAMPLES for count in self.samples):
            raise UserError(f"`samples` {' '.join(map(str, self.samples))}: each must be in 1..{MAX_SAMPLES}")


@dataclass(frozen=True)
class EvalConfig(ActConfig):
    """Options of an evaluation; episode i starts from seed + i."""

    episodes: int = 200
    """Episodes."""
    num_envs: int = 32
    """Environments side by side; does not change the result."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of the training run."""
    budgets: tuple[int, ...] = ()
    """Roll out once more with each of these budgets, for the report: success at so many steps at most."""
    record_interventions: Path | str | None = None
    """Write what the expert did when it took over as a store to train on, next to the demonstrations."""
    videos: int = 3
    """Videos of successes, and as many of failures."""
    out: Path | str | None = None
    """Where the results go; by default RUN/eval."""
    record_episodes: Path | str | None = None
    """Write all episodes as a store, failures too: for a simulator to learn from; see docs/simulator.md."""

    def __post_init__(self) -> None:
        take_paths(self, "out", "record_interventions", "record_episodes")
        if not (1 <= self.episodes <= MAX_EPISODES and self.num_envs >= 1):
            raise UserError(
                f"`episodes` {self.episodes} must be in 1..{MAX_EPISODES}, `num_envs` {self.num_envs} at least 1"
            )
        if self.videos < 0:
            raise UserError(f"`videos` {self.videos} must not be negative")
        if any(budget < 0 for budget in self.budgets):  # they are rolled out after all else
            raise UserError(f"`budgets` {' '.join(map(str, self.budgets))}: none may be negative")
        if not self.is_watched and (
            self.record_interventions or self.fallback or self.budgets or self.budget is not None
        ):
            raise UserError("`fallback`, `budget`(s) and `record_interventions` need `gate` or `safety_set`")
        super().__post_init__()
