"""How a trained run is calibrated; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from robolearn import seeds
from robolearn.config import check_counts
from robolearn.errors import UserError
from robolearn.evaluation.config import PolicyChoice
from robolearn.rollout.env_config import EnvConfig
from robolearn.trust.conformal.thresholds import smallest_number, too_few, written
from robolearn.trust.fallback import StoppingFallback

MAX_BAND_EPISODES = 10_000  # a file with the scores of so many is read


@dataclass(frozen=True)
class CalibrateConfig(PolicyChoice):
    """Options of a calibration; sampler, steps, execution and environment have to be those that will be used."""

    score: str | None = None
    """What is thresholded; by default disagreement if the run has several members, else stac, or stac-single where a
    policy's samples are all alike."""
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
        check_counts(self, ("num_envs",))
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
