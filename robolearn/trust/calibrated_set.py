"""A safety set from watched episodes, and how it is derived from them again.

Half of the first episodes fits the model and the tube's form, the other half calibrates how wide it is. In them the
policy chooses its chunks alone. A set that chooses among chunks is another controller, whose errors are others: so it
can be calibrated again on episodes in which it acts, as often as it takes until they ask for no wider tube.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robolearn.errors import UserError
from robolearn.trust.certificate import Certificate, Source, check_episodes, finite_threshold, hash_json
from robolearn.trust.conformal.halves import drawn_halves
from robolearn.trust.motion import LinearDynamics
from robolearn.trust.sets import Motion, SafetySet, error_scale, position_errors
from robolearn.types import Trajectory

CONDITIONS = (
    "the checkpoint and the way chunks are sampled and executed are those of the hashes",
    "initial states are exchangeable with those of calibration: same environment, seeds that were not calibrated on",
    "it speaks of an episode up to the first intervention of a gate: what comes after that is another controller",
)
# What acted in the calibration episodes, and what follows from that.
ALONE = (
    "the policy chose its chunks alone; where the set chooses among them that is another controller, and the claim "
    "says nothing of it: calibrate with rounds"
)
WIDENED = (
    "a narrower tube acted, and its episodes asked for this one; that is one more round and not yet a fixed point, so "
    "the claim says nothing of episodes in which this one acts: calibrate with more rounds"
)
CONFIRMED = (
    "this very set acted, in round {}, and its episodes asked for no wider tube; each round is a chance of its own: "
    "alpha bounds, for each, the probability that its set is confirmed and a new episode leaves it"
)


@dataclass(frozen=True)
class SetCalibration:
    """What was asked for, the model and form that the first episodes gave, and the episodes that gave the height."""

    source: Source
    """What was rolled out to calibrate."""
    alpha: float
    """Largest share of episodes that leave a tube, in (0, 1)."""
    key: str
    """Of the observation that is predicted."""
    position: tuple[int, ...]
    """Its numbers that are the position."""
    weights: tuple[tuple[float, ...], ...]
    """Of the model."""
    scale: tuple[float, ...]
    """Form of the tube."""
    round: int
    """Times that a set acted and was calibrated again."""
    acted: float | None
    """Height of the one that acted in the calibrating episodes; None where the policy chose alone."""
    seeds: tuple[int, ...]
    """Of the calibrating episodes."""
    peaks: tuple[float, ...]
    """Largest error of each, in units of the scale."""
    spent: tuple[int, ...]
    """Seeds of the other episodes that it was made of: those that fitted the model, and those of earlier rounds."""

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.peaks):
            raise UserError(f"calibration: {len(self.seeds)} seeds and {len(self.peaks)} peaks")
        check_episodes((*self.spent, *self.seeds), self.peaks)
        finite_threshold(np.array(self.peaks), self.alpha)


@dataclass(frozen=True)
class CalibratedSet:
    """A safety set, and all that it rests on.

    Attributes:
        calibration: What was asked for, and all numbers.
        fitting: Episodes that gave model and form.
        calibrating: Episodes that gave the height.
    """

    calibration: SetCalibration
    fitting: tuple[Motion, ...]
    calibrating: tuple[Motion, ...]

    @property
    def safety_set(self) -> SafetySet:
        """What decides; never narrower than what acted while it was calibrated."""
        calibration = self.calibration
        dynamics, scale = LinearDynamics(np.array(calibration.weights)), np.array(calibration.scale)
        height = max(calibration.acted or 0.0, finite_threshold(np.array(calibration.peaks), calibration.alpha))
        return SafetySet(dynamics, calibration.key, calibration.position, scale, height)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all episodes that it was made of, of every round."""
        return (*self.calibration.spent, *self.calibration.seeds)

    @property
    def confirmed(self) -> bool:
        """Whether the very set acted in the episodes that calibrated it."""
        return self.calibration.acted == self.safety_set.height

    def certify(self, files: Mapping[str, str]) -> Certificate:
        """What may be said of it, given the hashes of its files."""
        calibration, tube = self.calibration, self.safety_set
        acted = calibration.acted is not None
        history = CONFIRMED.format(calibration.round) if self.confirmed else WIDENED if acted else ALONE
        claim = (
            f"at most {calibration.alpha:g} of the episodes leave the tube of one of their executed chunks, whose "
            f"radius is {tube.radius.max():.3g} at most, over the draw of calibration and new episodes"
        )
        return Certificate.issue(
            claim, (*CONDITIONS, history), tube.height, len(calibration.seeds), calibration.alpha, files
        )

    def check(self, where: str) -> None:
        """Derive model, form and errors again from the episodes, up to rounding.

        Args:
            where: What it is, for messages.

        Raises:
            UserError: One is another; the message names it.
        """
        key, position, period = self.calibration.key, self.calibration.position, len(self.calibration.scale)
        check_position({key: self.fitting[0].states.shape[1:]}, key, position)
        if not period:
            raise UserError(f"{where}: the tube has no steps; calibrate again")
        derived = _derive(self.fitting, key, position, period)
        scale, errors = derived.scale, derived.worst_errors(self.calibrating)
        for name, said, expected in (
            ("weights", np.array(self.calibration.weights), derived.dynamics.weights),
            ("scale", np.array(self.calibration.scale), scale),
            ("largest errors", np.array(self.calibration.peaks) * scale.max(), errors * scale.max()),
        ):
            if said.shape != expected.shape or not np.allclose(said, expected, rtol=1e-6, atol=1e-12):
                raise UserError(f"{where}: the {name} are not those of its episodes; calibrate again")


def calibrate_set(
    trajectories: Sequence[Trajectory], key: str, position: tuple[int, ...], period: int, alpha: float, source: Source
) -> CalibratedSet:
    """Safety set from episodes rolled out without a gate and without a set.

    Args:
        trajectories: Rolled out.
        key: Observation to predict, a vector.
        position: Its numbers that are the position.
        period: Steps from one replanning to the next.
        alpha: Episodes that may leave a tube, in (0, 1).
        source: What was rolled out.

    Raises:
        UserError: The observation is not there, or there are too few episodes.
    """
    check_position({name: value.shape[1:] for name, value in trajectories[0].obs.items()}, key, position)
    halves = [[trajectories[i] for i in half] for half in drawn_halves(len(trajectories))]
    (spent, others), (shaping, motions) = halves, [tuple(Motion.from_trajectory(t, key) for t in h) for h in halves]
    first = _derive(shaping, key, position, period)
    calibration = SetCalibration(
        source=source,
        alpha=alpha,
        key=key,
        position=position,
        weights=tuple(map(tuple, first.dynamics.weights.tolist())),
        scale=tuple(first.scale.tolist()),
        round=0,
        acted=None,
        seeds=tuple(t.seed for t in others),
        peaks=tuple(first.worst_errors(motions).tolist()),
        spent=tuple(t.seed for t in spent),
    )
    return CalibratedSet(calibration, shaping, motions)


def calibrate_again(before: CalibratedSet, trajectories: Sequence[Trajectory], source: Source) -> CalibratedSet:
    """The same model and form, with a height from episodes in which the set before acted; never a smaller one.

    Args:
        before: What acted.
        trajectories: Rolled out with it, from seeds that it was not made of.
        source: What was rolled out, with the set in it.

    Raises:
        UserError: There are too few episodes.
    """
    acted = before.safety_set
    motions = tuple(Motion.from_trajectory(t, acted.key) for t in trajectories)
    calibration = dataclasses.replace(
        before.calibration,
        source=source,
        round=before.calibration.round + 1,
        acted=acted.height,
        seeds=tuple(t.seed for t in trajectories),
        peaks=tuple(acted.worst_errors(motions).tolist()),
        spent=before.seeds,
    )
    return CalibratedSet(calibration, before.fitting, motions)


def choosing(source: Source, safety_set: SafetySet, fallback: str) -> Source:
    """The source where a set chooses the chunks, and the fallback acts where none is admissible."""
    parts = [safety_set.dynamics.weights.tolist(), safety_set.key, list(safety_set.position)]
    name = hash_json([*parts, safety_set.scale.tolist(), safety_set.height])[:16]
    return dataclasses.replace(source, chosen_by=f"the safety set {name} (or {fallback})")


def check_position(shapes: dict[str, tuple[int, ...]], key: str, position: tuple[int, ...]) -> None:
    """Raise a UserError unless observations of these shapes have such a position."""
    there = {name: shape[0] for name, shape in shapes.items() if len(shape) == 1}
    if key not in there:
        raise UserError(f"safety set: no vector {key!r} is observed; there are: {', '.join(there) or 'none'}")
    if not position or not all(0 <= i < there[key] for i in position):
        raise UserError(f"safety set: position {position} must be numbers of {key!r}, 0 .. {there[key] - 1}")
    if len(set(position)) < len(position):
        raise UserError(f"safety set: position {position} names a number of {key!r} twice")


def _derive(fitting: Sequence[Motion], key: str, position: tuple[int, ...], period: int) -> SafetySet:
    """Model and form of the tube from episodes; its height is still missing."""
    states = np.concatenate([m.states[:-1] for m in fitting]).astype(float)
    following = np.concatenate([m.states[1:] for m in fitting]).astype(float)
    actions = np.concatenate([m.actions for m in fitting]).astype(float)
    whole = np.isfinite(np.concatenate([states, following, actions], axis=1)).all(1)
    dynamics = LinearDynamics.fit(states[whole], actions[whole], following[whole])
    scale = error_scale([position_errors(m, dynamics, position, period) for m in fitting], period)
    return SafetySet(dynamics, key, position, scale, np.inf)
