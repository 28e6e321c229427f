"""What is wrong with a package that was written for other versions of what it needs, and what to do about it.

Environments outlive the libraries below them. What their code then raises names a function of numpy or a size in
MuJoCo; what helps is the name of the package, and what it asks for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from types import TracebackType

from packaging.requirements import InvalidRequirement, Requirement

GONE = {
    "gym": "was written for gym, which gymnasium replaced",
    "mujoco_py": "was written for mujoco_py, which mujoco replaced",
}
OLD_GYM = "was written for gym before 0.26: there a step had four values, and reset returned one and took no seed"
NEWER = "install a newer version of it, or wrap it in an environment of your own"
MODULE_LACKS = re.compile(r"module '([\w.]+)' has no attribute|cannot import name '\w+' from '([\w.]+)'")
FOUR_VALUES = re.compile(
    r"reset\(\) got an unexpected keyword argument|not enough values to unpack \(expected 5, got 4\)"
)
NOT_FOUND = ("NameNotFound", "NamespaceNotFound", "UnregisteredEnv")
NO_STRANGERS = {"robolearn", "gymnasium", "numpy", *sys.stdlib_module_names}


def advice_for(error: BaseException, text: str, env_id: str | None) -> str | None:
    """What to do about an error that comes of a package which does not fit what is installed; None if it is another.

    Args:
        error: What was raised, with its traceback.
        text: What it says.
        env_id: The environment, whose module is named where the traceback names no package.
    """
    module = (env_id or "").rpartition(":")[0].partition(".")[0]
    package = _package_of(error) or module or None
    name = package or "the environment"
    if isinstance(error, ModuleNotFoundError) and error.name in GONE:
        return f"{name} {GONE[error.name]}; {NEWER}"
    if FOUR_VALUES.search(text):
        return f"{name} {OLD_GYM}; {NEWER}"
    if type(error).__name__ in NOT_FOUND:
        return f"{module} registers with gym, which gymnasium replaced; {NEWER}" if "gym" in sys.modules else None
    if package is None:
        return None
    if unmet := _unmet(package):
        return f"{package} {_version(package)} asks for {' and '.join(unmet)}: install it where it finds these"
    lacking = MODULE_LACKS.search(text) if isinstance(error, AttributeError | ImportError) else None
    if lacking:
        library = (lacking[1] or lacking[2]).partition(".")[0]
        return f"{package} was written for another {library} than {_version(library)}; {NEWER}"
    if text == type(error).__name__ and (location := _place_of(error)):  # a bare assert says nothing else
        return f"raised in {location}"
    return None


def _package_of(error: BaseException) -> str | None:
    """The stranger's package in which an error arose, or that called what raised it."""
    strangers = [name for name in _modules(error.__traceback__) if name and name not in NO_STRANGERS]
    return strangers[-1] if strangers else None


def _place_of(error: BaseException) -> str | None:
    """Module and line in which an error arose; None where it was never raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else f"{trace.tb_frame.f_globals.get('__name__')}, line {trace.tb_lineno}"


def _modules(trace: TracebackType | None) -> Iterator[str]:
    """Of each frame the package that its code is of, outermost first."""
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        trace = trace.tb_next


@cache
def _unmet(package: str) -> tuple[str, ...]:
    """What a package asks for and is installed in another version, a phrase each."""
    phrases = []
    for text in metadata.requires(distribution) or () if (distribution := _distribution(package)) else ():
        try:
            asked = Requirement(text)
            version = metadata.version(asked.name)
        except (InvalidRequirement, metadata.PackageNotFoundError):
            continue
        if (asked.marker is None or asked.marker.evaluate({"extra": ""})) and version not in asked.specifier:
            phrases.append(f"{asked.name}{asked.specifier} (installed is {version})")
    return tuple(phrases)


def _version(package: str) -> str:
    """Of what is installed, as far as it says."""
    distribution = _distribution(package)
    return metadata.version(distribution) if distribution else "is installed"


@cache
def _distribution(package: str) -> str | None:
    """The name under which a package was installed."""
    return next(iter(metadata.packages_distributions().get(package, ())), None)
