"""How a trained run acts, is evaluated and is calibrated; nothing here imports torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.trust.conformal.thresholds import smallest_number, too_few, written
from robolearn.trust.fallback import Fallback, StoppingFallback

MAX_EPISODES = 1_000_000
MAX_SAMPLES = 4096  # chunks of one call of what was deployed
MAX_BAND_EPISODES = 10_000  # a file with the scores of so many is read

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
        if not self.is_watched and (
            self.record_interventions or self.fallback or self.budgets or self.budget is not None
        ):
            raise UserError("`fallback`, `budget`(s) and `record_interventions` need `gate` or `safety_set`")
        super().__post_init__()


@dataclass(frozen=True)
class CalibrateConfig(PolicyChoice):
    """Options of a calibration; sampler, steps, execution and environment have to be those that will be used."""

    score: str | None = None
    """What is thresholded; disagreement if the run has several members, else stac."""
    alpha: float = 0.1
    """Largest share of false alarms: successful episodes in which the gate alarms. Of a safety set, of episodes that
    leave a tube."""
    beta: float | None = None
    """Largest share of misses: failed episodes in which it does not; where no threshold keeps both promises, no gate
    is made. By default nothing is promised of misses."""
    band: bool = False
    """Of a gate: let the threshold follow the course of the score over an episode, which half of the successful
    episodes give; the others say how high above it."""
    within_set: bool = False
    """Of a gate: let the run's safety set act while it is calibrated, for --gate with --safety-set."""
    episodes: int = 200
    """Episodes; of n successful ones at least 1 / alpha - 1 are needed, for a safety set or a band twice as many."""
    seed: int = seeds.CALIBRATION.start
    """Episode i starts from seed + i; apart from those of demonstrations and evaluations."""
    num_samples: int = 16
    """Chunks that every member draws at each replanning."""
    num_envs: int = 32
    """Environments side by side; does not change the result."""
    safety_set: bool = False
    """Calibrate a safety set instead of a gate; give --candidates as it will be used, e.g. 32."""
    rounds: int = 0
    """Of a safety set: most times to calibrate it again on as many new episodes in which it acts itself, until they
    ask for no wider tube. Without any its certificate covers no episode in which it acts."""
    key: str = "state"
    """Of a safety set: the observation that is predicted."""
    position: tuple[int, ...] = (0, 1)
    """Of a safety set: its numbers that are the position."""
    fallback: StoppingFallback = "hold"
    """What is done where a safety set acts and nothing is admissible, as it will be used."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of the training run."""

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise UserError(f"`rounds` {self.rounds} must not be negative")
        if self.rounds and not self.safety_set:
            raise UserError("`rounds` is for `safety_set`")
        of_gate = self.within_set or self.band or self.score is not None or self.beta is not None
        if self.safety_set and of_gate:
            raise UserError("`within_set`, `band`, `score` and `beta` are for a gate; `safety_set` makes a safety set")
        if self.band and self.episodes > MAX_BAND_EPISODES:
            raise UserError(f"`band` keeps every score of every episode: at most {MAX_BAND_EPISODES} episodes")
        self._check_episodes()
        self._check_seeds()

    @property
    def num_rollouts(self) -> int:
        """Episodes of all rounds together, if none is left out."""
        return self.episodes * (1 + self.rounds)

    @property
    def has_halves(self) -> bool:
        """Whether half of the episodes fit the model, or the form of a band."""
        return self.safety_set or self.band

    @property
    def fewest_starts(self) -> int:
        """Distinct starts without which no threshold keeps the promise, however the episodes end."""
        return smallest_number(self.alpha) * (2 if self.has_halves else 1)

    def _check_episodes(self) -> None:
        """Refuse to calibrate on too few episodes; one half may be used for something else."""
        if self.episodes > len(seeds.CALIBRATION):
            raise UserError(f"`episodes` {self.episodes}: at most {len(seeds.CALIBRATION)} are rolled out")
        calibrating = self.episodes // 2 if self.has_halves else self.episodes
        if calibrating < smallest_number(self.alpha):
            half = " (half of the episodes fit the model, or the form of a band)" if self.has_halves else ""
            raise UserError(too_few(calibrating, self.alpha) + half)
        if self.beta is not None:
            written(self.beta, "beta")

    def _check_seeds(self) -> None:
        """Refuse to calibrate on episodes that others are judged by."""
        if self.seed < 0:
            raise UserError(f"seed {self.seed} must not be negative; calibrate from {seeds.CALIBRATION.start} on")
        last = self.seed + self.num_rollouts - 1
        for purpose, taken in seeds.TAKEN.items():
            if self.seed < taken.stop and taken.start <= last:
                raise UserError(
                    f"seeds {self.seed} .. {last} overlap with those of {purpose} ({taken.start} .. "
                    f"{taken.stop - 1}); calibrate from {seeds.CALIBRATION.start} on"
                )


@dataclass(frozen=True)
class SideConfig(Sampling, Watch):
    """How one of two compared policies acts."""


@dataclass(frozen=True)
class CompareConfig:
    """Options of a comparison of two policies, A and B; pair i is one episode of each from seed + i."""

    by: Literal["success", "score", "return"] = "success"
    """What is compared: success, the best score along the way, or the return as a share of --env.return-range."""
    margin: float | None = None
    """Ask whether B is not worse than A by more than this, in [0, 1); by default whether B is better than A."""
    alpha: float = 0.05
    """Probability of a wrong verdict, however often one looks and whenever one stops."""
    max_episodes: int = 500
    """Pairs of episodes after which it is left undecided."""
    seed: int = seeds.EVALUATION.start
    """Pair i starts from seed + i; the noise of both policies depends on (seed, i) only."""
    num_envs: int = 16
    """Pairs side by side, which are rolled out between two looks; does not change the verdict."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policies run."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""
    out: Path | str | None = None
    """Where the pairs and the verdict go; by default a folder in RUN_B/compare, named after A and what is compared."""
    a: SideConfig = field(default_factory=SideConfig)
    """How A acts."""
    b: SideConfig = field(default_factory=SideConfig)
    """How B acts."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of both training runs."""

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 <= self.margin < 1:
            raise UserError(f"`margin` {self.margin:g} must be in [0, 1): a part of the range from failure to success")
        if not 0 < self.alpha <= 0.5:
            raise UserError(f"`alpha` {self.alpha:g} must be above 0 and at most 0.5")
        if not (1 <= self.max_episodes <= MAX_EPISODES and self.num_envs >= 1):
            ranges = f"must be in 1..{MAX_EPISODES}, `num_envs` {self.num_envs} at least 1"
            raise UserError(f"`max_episodes` {self.max_episodes} {ranges}")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")

    def acting(self, side: SideConfig) -> ActConfig:
        """How a side acts, with the seed, device and threads that both share."""
        chosen = {f.name: getattr(side, f.name) for f in fields(SideConfig)}
        return ActConfig(**chosen, seed=self.seed, device=self.device, threads=self.threads)


@dataclass(frozen=True)
class VerifyConfig:
    """How long a property of a network is searched."""

    timeout: float = 60.0
    """Seconds of the search, without reading the files."""
    precision: Literal["float32", "exact"] = "float32"
    """float32: what is proved holds for all that float32 arithmetic may make of the network, in any order of its sums;
    exact: for the network in real numbers."""
    seed: int = seeds.FIXED
    """Of the random points that the attack starts from."""
    threads: int | None = 1
    """CPU threads; None takes one per two cores, at most 4."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise UserError(f"`timeout` {self.timeout} must be a number of seconds above 0")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")


@dataclass(frozen=True)
class ClaimConfig(Sampling):
    """What is claimed of a policy, and for which boxes around its held-out observations."""

    claim: Literal["limits", "robustness", "clearance", "codes"] = "limits"
    """limits: executed actions stay within limits; robustness: a sensor error moves them by at most delta; clearance:
    none is a position in the task's keep-out set; codes: the codes whose actions are not proved to be within limits (or
    clear, with --clearance-of-codes) are drawn with at most --probability."""
    eps: float = 0.01
    """Half a side of a box, as a share of the range that each observed number has in the demonstrations."""
    delta: float = 0.01
    """Of robustness: most that an action may move, as a share of its range in the demonstrations."""
    low: tuple[float, ...] | None = None
    """Of limits: the least numbers of an action; by default the action space of the run's environment."""
    high: tuple[float, ...] | None = None
    """Of limits: the greatest ones."""
    least_clearance: float = 0.0
    """Of clearance: the distance that is kept [m]."""
    clearance_of_codes: bool = False
    """Of codes: actions are safe where they keep clear, instead of within limits."""
    probability: float = 0.0
    """Of codes: the share of unsafe codes that is allowed, in [0, 1)."""
    noise_share: float = 0.95
    """Of families that take noise: probability of the box of noise that the claim is for, in (0, 1)."""
    observations: int = 50
    """Held-out observations, spread evenly over the held-out episodes; 0 for all."""
    seconds: float = 10.0
    """For each observation that the first bounds do not decide."""
    precision: Literal["float32", "exact"] = "float32"
    """float32: proved of all that float32 arithmetic may make of the network; exact: of the network in real numbers."""
    threads: int | None = 1
    """CPU threads; None takes one per two cores, at most 4."""
    out: Path | str | None = None
    """Certificate; by default RUN/claims/CLAIM.json."""

    def __post_init__(self) -> None:
        take_paths(self, "out")
        for name, least in (("eps", self.eps), ("delta", self.delta), ("seconds", self.seconds)):
            if not 0 <= least < math.inf:
                raise UserError(f"`{name}` {least} must be a number that is not negative")
        if not 0 < self.noise_share < 1 or not 0 <= self.probability < 1:
            raise UserError(
                f"`noise_share` {self.noise_share} must be in (0, 1), `probability` {self.probability} in [0, 1)"
            )
        if not math.isfinite(self.least_clearance):
            raise UserError(f"`least_clearance` {self.least_clearance} must be a finite number")
        if self.observations < 0:
            raise UserError(f"`observations` {self.observations} must not be negative; 0 stands for all")
        if (self.low is None) != (self.high is None):
            raise UserError("`low` and `high` go together")
