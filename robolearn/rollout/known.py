"""Which environments may be made because a file names them: making one imports its module, which is to run its code.

A run's config.json and a store's attributes may come from strangers. The modules below are installed with the project
or its extras; another one is imported only where the user names it, or says that the file is to be trusted.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig

KNOWN_MODULES = ("envs", "gym_pusht", "gymnasium_robotics", "gymnasium")
PLAIN = re.compile(r"[\w .+-]*")  # no path, and no module with a name in it, which some environments import
COMPATIBILITY = ("GymV21Environment", "GymV26Environment")  # make whatever their keyword arguments name


def check_known(env: EnvConfig, source: Path | str) -> None:
    """Refuse an environment that a file names, unless it is of a known module; nothing unknown is imported.

    Args:
        env: As the file has it.
        source: The file, for the message.

    Raises:
        UserError: Its module is unknown, or a keyword argument is text that could be a path or a module.
    """
    if env.id is None:
        return
    module, _, name = env.id.rpartition(":")
    advice = "give `env.id` yourself, or `trust` if you trust who made it"
    if module and module not in KNOWN_MODULES:
        raise UserError(f"{source} names the environment {env.id!r}, which would run code of {module!r}; {advice}")
    if name.rpartition("/")[2].startswith(COMPATIBILITY) or not _is_registered_by_known(module, name):
        raise UserError(f"{source} names the environment {env.id!r}, which is of no known module; {advice}")
    for key, value in env.kwargs.items():
        if isinstance(value, str) and not PLAIN.fullmatch(value):
            raise UserError(f"{source} gives the environment {key} = {value!r:.80}, no plain word; {advice}")


def _is_registered_by_known(module: str, name: str) -> bool:
    """Whether an id stands for a class of a known module; an id that is not registered makes nothing at all."""
    from gymnasium.envs.registration import registry

    if module:
        try:
            importlib.import_module(module)
        except ImportError:  # making it says so
            return True
    spec = registry.get(name)
    points = () if spec is None else (spec.entry_point, spec.vector_entry_point)
    for point in points:
        home = point if isinstance(point, str) else getattr(point, "__module__", None)
        if home is not None and home.partition(":")[0].partition(".")[0] not in KNOWN_MODULES:
            return False
    return True
