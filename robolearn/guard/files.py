"""A gate in files beside the checkpoint, and the checks before it is used.

RUN/gate/gate.json           what decides
RUN/gate/certificate.json    what may be said of it
RUN/gate/calibration.json    the episodes it was made of: seed, largest score, success
RUN/gate/scores.safetensors  what its score was fitted to, where it was

All files of a calibration take their places together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.files import finish_replacing, replacing_all
from robolearn.guard.familiarity import FILE
from robolearn.policies.policy import CONFIG_FILE, WEIGHTS_FILE
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.safety.certificate import Calibration, Certificate, Source, hash_json
from robolearn.safety.gate import Gate

FILES = ("calibration.json", "certificate.json", "gate.json", "set.json", FILE)


def describe_source(
    checkpoints: Sequence[Path], env: EnvConfig, execution: Execution, sampling: dict[str, Any], gate: Path
) -> Source:
    """What an episode depends on beside its seed.

    Args:
        checkpoints: Directories of the policies of all members, the acting one first.
        env: Environment.
        execution: How chunks are executed.
        sampling: Run-time choices of the family.
        gate: Directory that may hold a fitted score.
    """
    finish_replacing(gate)
    digest = hashlib.sha256()
    for directory in checkpoints:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            digest.update(hashlib.sha256((directory / name).read_bytes()).digest())
    if (gate / FILE).exists():
        digest.update((gate / FILE).read_bytes())
    configuration = hash_json([to_json(env, {}), to_json(execution, {}), sampling])
    return Source(digest.hexdigest(), str(env.id), configuration)


def save_gate(directory: Path, gate: Gate, certificate: Certificate, calibration: Calibration) -> None:
    """Write the three files; where there may be older ones, into the folder of `replacing_calibration`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in (("calibration", calibration), ("certificate", certificate), ("gate", gate)):
        write_json(directory / f"{name}.json", to_json(value, {}))


def replacing_calibration(directory: Path) -> AbstractContextManager[Path]:
    """A folder for everything that one calibration writes; a kill leaves the calibration before it, or this one."""
    return replacing_all(directory, FILES)


def open_gate(directory: Path, source: Source, seeds: range, flags: str = "") -> tuple[Gate, Certificate]:
    """Read a gate that is to be used on episodes with these seeds, and check all that was certified of it.

    Args:
        directory: Where the three files are.
        source: How it is to be used.
        seeds: On which episodes.
        flags: Of the command that makes it.

    Raises:
        ValueError: There is none, it is not what was certified, or it was calibrated on some of these seeds.
    """
    finish_replacing(directory)
    if not (directory / "gate.json").exists():
        command = f"python -m robolearn calibrate {directory.parent} {flags}".rstrip()
        raise ValueError(f"{directory.parent} has no {directory.name}; make one with: {command}")
    gate: Gate = _read(Gate, directory / "gate.json")
    certificate: Certificate = _read(Certificate, directory / "certificate.json")
    calibration: Calibration = _read(Calibration, directory / "calibration.json")
    certificate.check(gate, calibration, source)
    shared = set(seeds).intersection(calibration.seeds)
    if shared:
        raise ValueError(
            f"{len(shared)} of the seeds {seeds.start} .. {seeds.stop - 1} were calibrated on; choose another --seed"
        )
    return gate, certificate


def _read(kind: Any, path: Path) -> Any:
    return from_json(kind, read_json(path), {}, str(path))
