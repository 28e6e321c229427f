"""What a calibration leaves in files beside the checkpoint, and the checks before it is used.

    RUN/gate/certificate.json      what may be said of it, its version, and the hash of every other file
    RUN/gate/calibration.json      what was asked, and seed, largest score (for a band: all) and success of each episode
    RUN/gate/scores.safetensors    what its score was fitted to, where it was
    RUN/tube/certificate.json      the same of a safety set
    RUN/tube/calibration.json      what was asked, model and form of the tube, seed and largest error of each episode
    RUN/tube/episodes.safetensors  what was observed and executed in them

All files of a calibration take their places together. When they are opened everything is derived again from the
calibration episodes; of the certificate nothing is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import nn

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.errors import UserError
from robolearn.files import finish_replacing, replacing_all
from robolearn.policies.policy import CONFIG_FILE, WEIGHTS_FILE
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.trust.calibrated_gate import CALIBRATIONS, GateCalibration
from robolearn.trust.calibrated_set import CalibratedSet, SetCalibration
from robolearn.trust.certificate import VERSION, Certificate, Source, hash_json
from robolearn.trust.scores.fitted import FILE, save_fitted
from robolearn.trust.sets import Motion

CERTIFICATE, CALIBRATION, EPISODES = "certificate.json", "calibration.json", "episodes.safetensors"
FILES = (CERTIFICATE, CALIBRATION, EPISODES, FILE)
OF_VERSION_1 = ("gate.json", "set.json")


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
    environment = [env.id, env.kwargs, env.max_episode_steps, *_reading(env)]
    return Source(digest.hexdigest(), str(env.id), hash_json([environment, to_json(execution, {}), dict(sampling)]))


def _reading(env: EnvConfig) -> list[Any]:
    """How an environment is read, where that is not as ever: what was calibrated before this could be said holds on."""
    reading = {"obs": list(env.obs), "success_key": env.success_key, "stop_on_success": env.stops}
    reading["unclipped"] = not env.clips
    return [chosen] if (chosen := {name: value for name, value in reading.items() if value}) else []


def save_gate(
    directory: Path, calibration: GateCalibration, fitted: Mapping[str, nn.Module] | None = None
) -> Certificate:
    """Write what a gate rests on, and its certificate.

    Args:
        directory: Of the gate.
        calibration: What it is derived from.
        fitted: What its score was fitted to, by name.

    Raises:
        UserError: See derive_gate.
    """
    return _save(directory, calibration, calibration.certify, lambda part: save_fitted(part, fitted or {}))


def save_set(directory: Path, calibrated_set: CalibratedSet) -> Certificate:
    """Write what a safety set rests on, and its certificate."""

    def write(part: Path) -> None:
        episodes = {**_joined("fitting", calibrated_set.fitting), **_joined("calibrating", calibrated_set.calibrating)}
        (part / EPISODES).write_bytes(save(episodes))

    return _save(directory, calibrated_set.calibration, calibrated_set.certify, write)


def _save(
    directory: Path,
    calibration: Any,
    certify: Callable[[Mapping[str, str]], Certificate],
    write: Callable[[Path], None],
) -> Certificate:
    """Write the calibration and what else there is, then the certificate of these very files."""
    with replacing_all(directory, (*FILES, *OF_VERSION_1)) as part:
        write(part)
        write_json(part / CALIBRATION, to_json(calibration, CALIBRATIONS))
        certificate = certify(hash_files(part))
        write_json(part / CERTIFICATE, to_json(certificate, {}))
    return certificate


def open_gate(directory: Path, source: Source, seeds: range) -> tuple[GateCalibration, Certificate]:
    """Read a gate that is to be used on episodes with these seeds, and check all that was certified of it.

    Args:
        directory: Where the files are.
        source: How it is to be used.
        seeds: On which episodes.

    Raises:
        UserError: There is none, it is not what was certified, or it was calibrated on some of these seeds.
    """
    certificate = read_certificate(directory)
    calibration: GateCalibration = read_record(GateCalibration, directory / CALIBRATION)
    calibration.source.check(source, str(directory))
    certificate.check(calibration.certify(check_files(directory, certificate)), str(directory))
    check_seeds(calibration.seeds, seeds)
    return calibration, certificate


def open_set(directory: Path, source: Source, seeds: range) -> tuple[CalibratedSet, Certificate]:
    """Read and check a safety set.

    Whether the certificate speaks of the episodes in which it is to act depends on `choosing`.

    Args:
        directory: Where the files are.
        source: How it is to be used, but for the set itself.
        seeds: On which episodes.

    Raises:
        UserError: There is none, it is not what was certified, or it was made of some of these seeds.
    """
    certificate = read_certificate(directory, "--safety-set")
    calibration: SetCalibration = read_record(SetCalibration, directory / CALIBRATION)
    fitting, calibrating = (_parted(directory / EPISODES, name) for name in ("fitting", "calibrating"))
    calibrated_set = CalibratedSet(calibration, fitting, calibrating)
    calibrated_set.check(str(directory / CALIBRATION))
    calibration.source.check(source, str(directory))
    certificate.check(calibrated_set.certify(check_files(directory, certificate)), str(directory))
    check_seeds(calibrated_set.seeds, seeds)
    return calibrated_set, certificate


def read_certificate(directory: Path, flags: str = "") -> Certificate:
    """Read a certificate, of which nothing is believed yet.

    Args:
        directory: Of the calibration.
        flags: Of the command that makes it.

    Raises:
        UserError: There is no calibration, or it is damaged or of another version.
    """
    finish_replacing(directory)
    if not any((directory / name).exists() for name in (CERTIFICATE, CALIBRATION)):
        command = f"python -m robolearn calibrate {directory.parent} {flags}".rstrip()
        raise UserError(f"{directory.parent} has no {directory.name}; make one with: {command}")
    return read_record(Certificate, directory / CERTIFICATE)


def check_files(directory: Path, certificate: Certificate) -> dict[str, str]:
    """Compare the files with those that were certified; return their hashes.

    Raises:
        UserError: One is another, missing, or there is one too many.
    """
    hashes = hash_files(directory)
    for name in sorted({*hashes, *certificate.files}):
        if hashes.get(name) != certificate.files.get(name):
            raise UserError(f"{directory / name}: the certificate is not of this file; calibrate again")
    return hashes


def check_seeds(calibrated: Sequence[int], seeds: range) -> None:
    """Raise a UserError if episodes with some of these seeds were calibrated on."""
    shared = set(seeds).intersection(calibrated)
    if shared:
        raise UserError(
            f"{len(shared)} of the seeds {seeds.start} .. {seeds.stop - 1} were calibrated on; choose another `seed`"
        )


def read_record(kind: Any, path: Path) -> Any:
    """Read a dataclass.

    Raises:
        UserError: The file is missing or damaged, or holds something else; the message begins with its path.
    """
    try:
        data = read_json(path)
        if kind is Certificate and isinstance(data, dict) and (version := data.get("version", 1)) != VERSION:
            raise UserError(f"{path} is of version {version!r:.20}, and version {VERSION} is read")
        return from_json(kind, data, CALIBRATIONS, getattr(kind, "__name__", path.stem))
    except UserError as error:
        text = str(error)
        prefix = "" if text.startswith(str(path)) else f"{path}: "
        raise UserError(f"{prefix}{text}; calibrate again") from None


def hash_files(directory: Path) -> dict[str, str]:
    """Name -> sha256 of every file of a calibration but the certificate."""
    return {name: hash_file(directory / name) for name in FILES if name != CERTIFICATE and (directory / name).exists()}


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _joined(name: str, motions: Sequence[Motion]) -> dict[str, np.ndarray]:
    return {
        f"{name}.states": np.concatenate([m.states for m in motions]),
        f"{name}.actions": np.concatenate([m.actions for m in motions]),
        f"{name}.lengths": np.array([len(m.actions) for m in motions]),
    }


def _parted(path: Path, name: str) -> tuple[Motion, ...]:
    """Read episodes.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        arrays = load_file(path)
        states, actions, lengths = (arrays[f"{name}.{part}"] for part in ("states", "actions", "lengths"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; calibrate again") from None
    except (SafetensorError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); calibrate again") from None
    whole = states.ndim == actions.ndim == 2 and lengths.ndim == 1 and lengths.dtype.kind == "i"
    if not whole or not len(lengths) or lengths.min() < 0:
        raise UserError(f"{path}: damaged (it holds no episodes); calibrate again")
    if (len(states), len(actions)) != (lengths.sum() + len(lengths), lengths.sum()):
        raise UserError(f"{path}: damaged (its episodes do not fit their lengths); calibrate again")
    ends = np.cumsum(lengths)[:-1]  # a state more than actions in each
    parts = zip(np.split(states, ends + np.arange(1, len(lengths))), np.split(actions, ends), strict=True)
    return tuple(Motion(*part) for part in parts)
