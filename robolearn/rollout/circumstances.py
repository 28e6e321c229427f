"""What an episode depends on beside its policy, its seed and the configuration of its environment.

Episodes that are kept while others are rolled out go with these only where all of it is still the same: how the machine
computes, and the code, which whoever stopped the work may have stopped to mend.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import find_spec, modules_of

PACKAGES = ("torch", "numpy", "mujoco")


def circumstances(env: EnvConfig, device: torch.device) -> list[Any]:
    """All of that, as JSON has it.

    Args:
        env: Which environment; its module has been imported.
        device: On which the policy computes.
    """
    versions = {name: metadata.version(name) for name in PACKAGES}
    return [device.type, torch.get_num_threads(), env.timeout, versions, hash_code(env)]


def hash_code(env: EnvConfig) -> str:
    """sha256 of the code of robolearn and of whatever packages register and make an environment.

    Code that lies in no file, such as that of a notebook's cells, has another hash each time: nobody knows whether it
    is still the same.
    """
    home = (env.id or "").rpartition(":")[0]
    tops = {name.partition(".")[0] for name in ("robolearn", home, *modules_of(find_spec(env))) if name}
    files = {top: list(_files(top)) for top in sorted(tops)}
    if not all(files.values()):
        return uuid.uuid4().hex
    code = hashlib.sha256()
    for top, paths in files.items():
        for path in paths:
            code.update(f"{top}/{path.name}".encode())
            code.update(path.read_bytes())
    return code.hexdigest()


def _files(top: str) -> Iterator[Path]:
    """Of a module that was imported: its own, or all of a package."""
    module = sys.modules.get(top)
    for folder in getattr(module, "__path__", ()):
        yield from sorted(Path(folder).rglob("*.py"))
    if module is not None and not hasattr(module, "__path__"):
        path = Path(getattr(module, "__file__", None) or "")
        if path.is_file():
            yield path
