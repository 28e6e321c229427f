"""Which methods there are, by name."""

from __future__ import annotations

from robolearn.errors import UserError
from robolearn.translation.cut import CutConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.method import MethodConfig

TRANSLATIONS: dict[str, type[MethodConfig]] = {"cyclegan": CycleGANConfig, "cut": CutConfig}


def find_translation(name: str) -> type[MethodConfig]:
    """The configuration class of a method.

    Raises:
        UserError: There is none of this name.
    """
    if name not in TRANSLATIONS:
        raise UserError(f"`method` {name}: choose from {', '.join(TRANSLATIONS)}")
    return TRANSLATIONS[name]
