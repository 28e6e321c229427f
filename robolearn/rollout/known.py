"""Which environments may be made because a file names them: making one imports its module, which is to run its code.

A run's config.json and a store's attributes may come from strangers. The modules below come with the project or its
extras, or are packages of environments that are widely used; another one is imported only where the user names it, or
says that the file is to be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robolearn.errors import UserError
from robolearn.modules import import_home
from robolearn.rollout.env_config import EnvConfig

KNOWN_MODULES = (
    "envs",
    "gym_pusht",
    "gymnasium_robotics",
    "gymnasium",
    "metaworld",
    "shimmy",
    "robosuite",
    "gym_aloha",
)
PLAIN = re.compile(r"[\w .+-]*")  # no path, and no module with a name in it, which some environments import
ADVICE = "give `env.id` yourself, or `trust` if you trust who made it"
COMPATIBILITY = (
    "GymV21Environment",
    "GymV26Environment",
    "compatibility-env",
)  # make whatever their keyword arguments name


def check_known(env: EnvConfig, source: Path | str, given: EnvConfig | None = None) -> None:
    """Refuse an environment that a file names, unless it is of a known module; nothing unknown is imported.

    Args:
        env: As the file has it.
        source: The file, for the message.
        given: What the user names. Where its id is the file's, the module is the user's choice, and keyword arguments
            of the file alone are looked at; of another environment the file says nothing that is used.

    Raises:
        MissingError: Its module is known and cannot be imported.
        UserError: Its module is unknown, or a keyword argument is text that could be a path or a module.
    """
    given = given or EnvConfig()
    if env.id is None or given.id not in (None, env.id):
        return
    if given.id is None:
        _check_module(env.id, source)
    for key, value in env.kwargs.items():
        strange = [text for text in _texts({key: value}) if not PLAIN.fullmatch(text)]
        if strange and key not in given.kwargs:
            raise UserError(
                f"{source} gives the environment {key} = {strange[0]!r:.80}, no plain word; give `env.kwargs` {key} "
                "yourself, or `trust` if you trust who made it"
            )


def _check_module(env_id: str, source: Path | str) -> None:
    module, _, name = env_id.rpartition(":")
    if module and module not in KNOWN_MODULES:
        raise UserError(f"{source} names the environment {env_id!r}, which would run code of {module!r}; {ADVICE}")
    if name.rpartition("/")[2].startswith(COMPATIBILITY) or not _is_registered_by_known(module, name):
        raise UserError(f"{source} names the environment {env_id!r}, which is of no known module; {ADVICE}")


def _texts(value: Any) -> Iterator[str]:
    """All text in JSON values, names among it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (name, *_texts(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _is_registered_by_known(module: str, name: str) -> bool:
    """Whether an id stands for a class of a known module; an id that is not registered makes nothing at all."""
    from gymnasium.envs.registration import registry

    from robolearn.rollout.environments import modules_of

    import_home(f"{module}:{name}")
    return all(home.partition(".")[0] in KNOWN_MODULES for home in modules_of(registry.get(name)))
