"""What a calibration leaves in files beside the checkpoint, and the checks before it is used.

    RUN/gate/certificate.json    what may be said of it, and the hash of every other file
    RUN/gate/calibration.json    what it was made of: what was asked, and seed, largest score, success of each episode
    RUN/gate/gate.json           what decides
    RUN/gate/scores.safetensors  what its score was fitted to, where it was

A safety set has the first three and two of its own in RUN/tube, see calibrated_set.py. All files of a calibration
take their places together. When they are opened everything is derived again from the calibration episodes; of the
certificate nothing is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.files import finish_replacing, replacing_all
from robolearn.policies.policy import CONFIG_FILE, WEIGHTS_FILE
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.trust.certificate import Calibration, Certificate, Source, certify, derive_gate, hash_json
from robolearn.trust.gate import Gate
from robolearn.trust.scores.fitted import FILE, save_fitted

CERTIFICATE, CALIBRATION, GATE = "certificate.json", "calibration.json", "gate.json"
SET, EPISODES = "set.json", "episodes.safetensors"
FILES = (CERTIFICATE, CALIBRATION, GATE, SET, EPISODES, FILE)


def describe_source(
    checkpoints: Sequence[Path], env: EnvConfig, execution: Execution, sampling: Mapping[str, Any]
) -> Source:
    """What an episode depends on beside its seed, where the policy alone chooses.

    Args:
        checkpoints: Directories of the policies of all members, the acting one first.
        env: Environment.
        execution: How chunks are executed.
        sampling: Run-time choices of the family.
    """
    digest = hashlib.sha256()
    for directory in checkpoints:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            digest.update(bytes.fromhex(hash_file(directory / name)))
    place = [env.id, env.kwargs, env.max_episode_steps]
    return Source(digest.hexdigest(), str(env.id), hash_json([place, to_json(execution, {}), dict(sampling)]))


def save_gate(directory: Path, calibration: Calibration, fitted: Mapping[str, nn.Module] | None = None) -> Certificate:
    """Derive a gate and write it with everything that it rests on.

    Args:
        directory: Of the gate.
        calibration: What it is derived from.
        fitted: The score's fitted part, by name.

    Raises:
        ValueError: See derive_gate.
    """
    return save_certified(
        directory,
        calibration,
        lambda part: save_fitted(part, fitted or {}),
        lambda hashes: certify(calibration, hashes),
    )


def save_certified(
    directory: Path,
    calibration: Calibration,
    write: Callable[[Path], None],
    certified: Callable[[dict[str, str]], Certificate],
) -> Certificate:
    """Write calibration, gate and what else there is, then the certificate of these very files.

    Args:
        directory: Where to.
        calibration: What was calibrated on.
        write: Writes what else there is into a folder.
        certified: Makes the certificate from the files' hashes.
    """
    gate = derive_gate(calibration)
    with replacing_all(directory, FILES) as part:
        write(part)
        write_json(part / CALIBRATION, to_json(calibration, {}))
        write_json(part / GATE, to_json(gate, {}))
        certificate = certified(hash_files(part))
        write_json(part / CERTIFICATE, to_json(certificate, {}))
    return certificate


def open_gate(directory: Path, source: Source, seeds: range) -> tuple[Gate, Certificate]:
    """Read a gate that is to be used on episodes with these seeds, and check all that was certified of it.

    Args:
        directory: Where the files are.
        source: How it is to be used.
        seeds: On which episodes.

    Raises:
        ValueError: There is none, it is not what was certified, or it was calibrated on some of these seeds.
    """
    gate, calibration, certificate = read_certified(directory)
    hashes = check_files(directory, certificate)
    certificate.check(certify(calibration, hashes), source, str(directory))
    check_seeds(calibration.seeds, seeds)
    return gate, certificate


def read_certified(directory: Path, flags: str = "") -> tuple[Gate, Calibration, Certificate]:
    """Read what gates and safety sets have in common, and derive the threshold again.

    Args:
        directory: Where the files are.
        flags: Of the command that makes them.

    Raises:
        ValueError: There are none, one is damaged, or the threshold is not that of the calibration episodes.
    """
    finish_replacing(directory)
    if not (directory / GATE).exists():
        command = f"python -m robolearn calibrate {directory.parent} {flags}".rstrip()
        raise ValueError(f"{directory.parent} has no {directory.name}; make one with: {command}")
    certificate: Certificate = read_record(Certificate, directory / CERTIFICATE)
    calibration: Calibration = read_record(Calibration, directory / CALIBRATION)
    gate: Gate = read_record(Gate, directory / GATE)
    derived = derive_gate(calibration)
    if gate != derived:
        raise ValueError(
            f"{directory / GATE}: the gate has threshold {gate.threshold:.6g} and release {gate.release:.6g} on score "
            f"{gate.score}, its calibration episodes give {derived.threshold:.6g} and {derived.release:.6g} on "
            f"{derived.score}; calibrate again"
        )
    return gate, calibration, certificate


def check_files(directory: Path, certificate: Certificate) -> dict[str, str]:
    """Compare the files with those that were certified; return their hashes.

    Raises:
        ValueError: One is another, missing, or there is one too many.
    """
    hashes = hash_files(directory)
    for name in sorted({*hashes, *certificate.files}):
        if hashes.get(name) != certificate.files.get(name):
            raise ValueError(f"{directory / name}: the certificate is not of this file; calibrate again")
    return hashes


def check_seeds(calibrated: Sequence[int], seeds: range) -> None:
    """Raise a ValueError if episodes with some of these seeds were calibrated on."""
    shared = set(seeds).intersection(calibrated)
    if shared:
        raise ValueError(
            f"{len(shared)} of the seeds {seeds.start} .. {seeds.stop - 1} were calibrated on; choose another --seed"
        )


def read_record(kind: Any, path: Path) -> Any:
    """Read a dataclass.

    Raises:
        ValueError: The file is missing or damaged, or holds something else; the message begins with its path.
    """
    try:
        return from_json(kind, read_json(path), {}, kind.__name__)
    except ValueError as error:
        text = str(error)
        place = "" if text.startswith(str(path)) else f"{path}: "
        raise ValueError(f"{place}{text}; calibrate again") from None


def hash_files(directory: Path) -> dict[str, str]:
    """Name -> sha256 of every file of a calibration but the certificate."""
    return {name: hash_file(directory / name) for name in FILES if name != CERTIFICATE and (directory / name).exists()}


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
