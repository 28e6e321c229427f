"""A safety set in files, each of which is derived again from the episodes when it is opened.

RUN/tube/set.json              model of the dynamics and form of the tube, and what acted while it was calibrated
RUN/tube/episodes.safetensors  what was observed and executed in the episodes that gave them
RUN/tube/gate.json ...         how wide it is, with certificate and calibration, as of a gate; see files.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from robolearn.config import to_json, write_json
from robolearn.trust.calibrated_set import CalibratedSet, Description
from robolearn.trust.certificate import Certificate, Source
from robolearn.trust.files import (
    EPISODES,
    SET,
    check_files,
    check_seeds,
    read_certified,
    read_record,
    save_certified,
)
from robolearn.trust.sets import Motion, SafetySet


def save_set(directory: Path, found: CalibratedSet) -> Certificate:
    """Write the files.

    Raises:
        ValueError: See derive_gate.
    """

    def write(part: Path) -> None:
        write_json(part / SET, to_json(found.described, {}))
        save_file({**_joined("fitting", found.fitting), **_joined("calibrating", found.calibrating)}, part / EPISODES)

    return save_certified(directory, found.calibration, write, found.certify)


def open_set(directory: Path, source: Source, seeds: range) -> tuple[SafetySet, Certificate]:
    """Read and check a safety set.

    Whether the certificate speaks of the episodes in which it is to act depends on `choosing`.

    Args:
        directory: Where the files are.
        source: How it is to be used, but for the set itself.
        seeds: On which episodes.

    Raises:
        ValueError: There is none, it is not what was certified, or it was made of some of these seeds.
    """
    _, calibration, certificate = read_certified(directory, "--safety-set")
    described: Description = read_record(Description, directory / SET)
    fitting, calibrating = (_parted(directory / EPISODES, name) for name in ("fitting", "calibrating"))
    found = CalibratedSet(described, calibration, fitting, calibrating)
    found.check(str(directory / SET))
    certificate.check(found.certify(check_files(directory, certificate)), source, str(directory))
    check_seeds(described.seeds, seeds)
    return found.safety_set, certificate


def _joined(name: str, motions: Sequence[Motion]) -> dict[str, np.ndarray]:
    return {
        f"{name}.states": np.concatenate([m.states for m in motions]),
        f"{name}.actions": np.concatenate([m.actions for m in motions]),
        f"{name}.lengths": np.array([len(m.actions) for m in motions]),
    }


def _parted(path: Path, name: str) -> tuple[Motion, ...]:
    """Read episodes.

    Raises:
        ValueError: The file is missing or damaged.
    """
    try:
        arrays = load_file(path)
        states, actions, lengths = (arrays[f"{name}.{part}"] for part in ("states", "actions", "lengths"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; calibrate again") from None
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: damaged ({error}); calibrate again") from None
    whole = states.ndim == actions.ndim == 2 and lengths.ndim == 1 and lengths.dtype.kind == "i"
    if not whole or not len(lengths) or lengths.min() < 0:
        raise ValueError(f"{path}: damaged (it holds no episodes); calibrate again")
    if (len(states), len(actions)) != (lengths.sum() + len(lengths), lengths.sum()):
        raise ValueError(f"{path}: damaged (its episodes do not fit their lengths); calibrate again")
    ends = np.cumsum(lengths)[:-1]  # a state more than actions in each
    parts = zip(np.split(states, ends + np.arange(1, len(lengths))), np.split(actions, ends), strict=True)
    return tuple(Motion(*part) for part in parts)
