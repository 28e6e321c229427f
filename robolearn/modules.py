"""Importing a module of others, such as the one that registers an environment: it works, or one line says why not."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.machinery import PathFinder
from pathlib import Path

from robolearn.errors import UserError, one_line
from robolearn.outdated import NOT_FOUND, advice_for

EXTRAS = {"gym_pusht": "pusht", "gymnasium_robotics": "robotics"}  # module -> our extra that brings it
NOT_INSTALLED = ("DependencyNotInstalled", "NamespaceNotFound")  # as gymnasium calls it
MAX_REASON = 200  # characters of what a stranger's error says


class MissingError(UserError):
    """A module, or something that it needs, is not installed or cannot be imported here."""


def import_home(env_id: str) -> None:
    """Import the module that an environment's id names, as in MODULE:NAME; without one none is.

    What the module prints meanwhile goes to stderr, and nowhere where it cannot be imported: the line says it all.

    Raises:
        MissingError: It is not installed, or raises, or ends the program.
    """
    from robolearn.contract import load_triton  # with numpy, which no --help waits for

    load_triton()  # for one that draws
    module, said = env_id.rpartition(":")[0], io.StringIO()
    if not module:
        return
    try:
        with redirect_stdout(said), redirect_stderr(said):
            importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        raise MissingError(f"environment {env_id}: {_why(module, error, said.getvalue())}") from error
    sys.stderr.write(said.getvalue())


@contextmanager
def making(env_id: str) -> Iterator[None]:
    """Turn whatever goes wrong while an environment is made into a UserError of one line that names it.

    Raises:
        MissingError: What it needs is not installed.
        UserError: Anything else.
    """
    import_home(env_id)
    try:
        yield
    except (Exception, SystemExit) as error:
        is_missing = isinstance(error, ImportError) or type(error).__name__ in NOT_INSTALLED
        raise (MissingError if is_missing else UserError)(
            f"environment {env_id}: {explained(error, env_id)}"
        ) from error


def explained(error: BaseException, env_id: str | None) -> str:
    """What a stranger's error says, and what to do if its package is too old or too new, or another of its name."""
    said = reason_of(error)
    advice = advice_for(error, said, env_id)
    if advice is None and type(error).__name__ in NOT_FOUND:
        advice = hidden_behind((env_id or "").rpartition(":")[0])
    return said if advice is None else f"{said}; {advice}"


def _why(module: str, error: BaseException, said: str) -> str:
    """What went wrong while a module was imported, and what to do."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name is not None and f"{module}.".startswith(f"{name}."):
        if beside := beside_you(name):
            return beside
        extra = EXTRAS.get(module.partition(".")[0])
        how = f'python -m pip install "robolearn[{extra}]"' if extra else "install the package that has it"
        return f"the module {name} is not installed; {how}, or name another environment"
    last = f", after it said {said.strip().splitlines()[-1]!r:.200}" if said.strip() else ""
    what = f"importing the module {module} failed: {reason_of(error)}{last}"
    mend = f"install {name}" if name else f"repair {module} or what it needs"
    return f"{what}; {advice_for(error, reason_of(error), f'{module}:') or f'{mend}, or name another environment'}"


def beside_you(module: str) -> str:
    """What to do where a module that cannot be imported lies in the current folder; nothing where it does not.

    Python looks there for `python -m`, and not for an installed command or for a program of another folder. It is not
    added to where Python looks: whoever looks at files of a stranger, in the folder where they are, runs none of them.
    """
    top, here = module.partition(".")[0], Path.cwd()
    looked_at = any(Path(entry).absolute() == here for entry in sys.path)
    if looked_at or not any((here / name).exists() for name in (f"{top}.py", top)):
        return ""
    return (
        f"the module {top} lies in the current folder, where Python does not look; put PYTHONPATH=. before the command"
    )


def hidden_behind(module: str) -> str | None:
    """What to say where a name stands for several modules, as `envs` may: which was imported; None where it is one.

    A module of the current folder goes first for `python -m`, and for an installed command is not looked at.
    """
    top, here = module.partition(".")[0], str(Path.cwd())
    specs = [PathFinder.find_spec(top, [entry or here]) for entry in (*sys.path, here)]
    files = dict.fromkeys(Path(spec.origin).resolve() for spec in specs if spec and spec.origin)
    imported = getattr(sys.modules.get(top), "__file__", None)
    others = [file for file in files if imported and file != Path(imported).resolve()]
    if not others:
        return None
    return f"the module {top} was taken from {imported}, not from {others[0]}; rename one of them"


def reason_of(error: BaseException) -> str:
    """What a stranger's error says: its name and first line, where nothing in backticks is an option of ours."""
    try:
        text = one_line(error) if isinstance(error, OSError) else next(iter(str(error).strip().splitlines()), "")
    except Exception:  # an error that cannot even be shown still has a name
        text = ""
    name = type(error).__name__
    return name if text in ("", name) else f"{name}: {text[:MAX_REASON]}".replace("`", "'")
