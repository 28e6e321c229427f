"""What a reader needs to make a result again: versions, commit, hardware."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("robolearn", "torch", "numpy", "mujoco", "gymnasium", "zarr")


def machine_facts(device: str) -> dict[str, str]:
    """Label -> text for this machine and this checkout."""
    return {
        "versions": ", ".join(
            [f"python {platform.python_version()}", *(f"{p} {metadata.version(p)}" for p in PACKAGES)]
        ),
        "commit": commit(),
        "hardware": f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores, {device}",
    }


def command_facts(device: str) -> dict[str, str]:
    """The same, and the command that runs."""
    return {"command": shlex.join(["python", *sys.orig_argv[1:]]), **machine_facts(device)}


def commit(checkout: Path = Path(__file__).parent) -> str:
    """Git commit of a checkout, by default of this one, marked where files differ from it.

    Outside a checkout, as in a copy of one on another machine, what ROBOLEARN_COMMIT says, or "unknown".
    """
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("ROBOLEARN_COMMIT", "unknown")


def cpu_name() -> str:
    """Model of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
