"""A safety set from watched episodes, in files.

    RUN/tube/set.json            model of the dynamics and form of the tube
    RUN/tube/gate.json ...       how wide it is, with certificate and calibration, as of a gate; see files.py

Of the episodes every other one fits the model and the tube's form, the rest calibrates how wide it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robolearn.config import read_json, write_json
from robolearn.guard.files import open_gate, save_gate
from robolearn.safety.certificate import Calibration, Certificate, Source, certify, derive_gate
from robolearn.safety.dynamics import LinearDynamics, fit_dynamics
from robolearn.safety.sets import SafetySet, chunk_errors, error_scale, worst_errors
from robolearn.types import Trajectory

SCORE = "tube"  # the largest normalised error of an episode


def calibrate_set(
    trajectories: Sequence[Trajectory], key: str, position: tuple[int, ...], period: int, alpha: float, source: Source
) -> tuple[SafetySet, Certificate, Calibration]:
    """Safety set and certificate from episodes rolled out without a gate.

    Args:
        trajectories: Rolled out.
        key: Observation to predict, a vector.
        position: Its numbers that are the position.
        period: Steps from one replanning to the next.
        alpha: Episodes that may leave a tube, in (0, 1).
        source: What was rolled out.

    Raises:
        ValueError: The observation is not there, or there are too few episodes.
    """
    check_position(trajectories[0], key, position)
    fitting, calibrating = trajectories[::2], trajectories[1::2]
    states = [t.obs[key].astype(float) for t in fitting]
    dynamics = fit_dynamics(
        np.concatenate([s[:-1] for s in states]),
        np.concatenate([t.actions for t in fitting]).astype(float),
        np.concatenate([s[1:] for s in states]),
    )

    def errors(episodes: Sequence[Trajectory]) -> list[np.ndarray]:
        return [chunk_errors(t, dynamics, key, position, period) for t in episodes]

    scale = error_scale(errors(fitting))
    worst = worst_errors(errors(calibrating), scale)
    calibration = Calibration(tuple(t.seed for t in calibrating), tuple(worst.tolist()), (True,) * len(calibrating))
    gate = derive_gate(calibration, alpha, SCORE, 1)
    found = SafetySet(dynamics, key, position, scale, gate.threshold)
    claim = (
        f"at most {alpha:g} of the episodes leave the tube of one of their executed chunks, whose radius is "
        f"{found.radius.max():.3g} at most, over the draw of calibration and new episodes"
    )
    return found, certify(gate, calibration, alpha, source, claim), calibration


def check_position(trajectory: Trajectory, key: str, position: tuple[int, ...]) -> None:
    """Raise a ValueError unless a trajectory's observation has such a position."""
    there = {name: value.shape[1] for name, value in trajectory.obs.items() if value.ndim == 2}
    if key not in there:
        raise ValueError(f"safety set: no vector {key!r} is observed; there are: {', '.join(there) or 'none'}")
    if not position or not all(0 <= i < there[key] for i in position):
        raise ValueError(f"safety set: position {position} must be numbers of {key!r}, 0 .. {there[key] - 1}")


def save_set(directory: Path, found: SafetySet, certificate: Certificate, calibration: Calibration) -> None:
    """Write the files."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(
        directory / "set.json",
        {
            "weights": found.dynamics.weights.tolist(),
            "key": found.key,
            "position": list(found.position),
            "scale": found.scale.tolist(),
        },
    )
    save_gate(directory, certificate.gate, certificate, calibration)


def open_set(directory: Path, source: Source, seeds: range) -> tuple[SafetySet, Certificate]:
    """Read and check a safety set.

    Raises:
        ValueError: See open_gate.
    """
    gate, certificate = open_gate(directory, source, seeds, "--safety-set")
    values = read_json(directory / "set.json")
    dynamics = LinearDynamics(np.array(values["weights"]))
    found = SafetySet(dynamics, values["key"], tuple(values["position"]), np.array(values["scale"]), gate.threshold)
    return found, certificate
