"""Which methods there are, by name."""

from __future__ import annotations

from robolearn.config import find
from robolearn.translation.cut import CutConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.method import MethodConfig

TRANSLATIONS: dict[str, type[MethodConfig]] = {"cyclegan": CycleGANConfig, "cut": CutConfig}


def find_translation(name: str) -> type[MethodConfig]:
    """The configuration class of a method.

    Raises:
        UserError: There is none of this name.
    """
    return find("method", name, TRANSLATIONS)
