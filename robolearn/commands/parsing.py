"""Flags from configuration classes and back, and what has to be known before flags can be parsed.

tyro fills mirrors of the configuration classes, which check nothing; the configurations are made afterwards. So what a
configuration refuses is a UserError of one line, whichever class it is of, and flags can stand in groups that the
configuration does not have.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import importlib
import inspect
import itertools
import json
import shlex
import textwrap
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from robolearn.config import kept_hints, parse_json
from robolearn.errors import UserError
from robolearn.modules import beside_you
from robolearn.paths import url_of

PLUGIN_HELP = (
    "Module of your own to import first, which registers families, backbones, scores, formats; may be repeated."
)
TRUST_HELP = "Make the environment that the run names also where that imports a module other than the known ones."
CLUSTER_HELP = (
    "Ray cluster whose nodes share the work: auto for the one that this machine belongs to, HOST:PORT of a head node, "
    "local for a new one here. Does not change the result."
)
Plugins = Annotated[tuple[str, ...], tyro.conf.arg(help=PLUGIN_HELP), tyro.conf.UseAppendAction]
Trust = Annotated[bool, tyro.conf.arg(help=TRUST_HELP)]
Cluster = Annotated[str | None, tyro.conf.arg(help=CLUSTER_HELP, metavar="{auto,local,HOST:PORT}")]


def read_value(text: str) -> Any:
    """A value as in JSON, as Python writes it, or the text as it stands: 3, true, [1, 2], None, sparse."""
    if text in ("True", "False", "None"):
        return ast.literal_eval(text)
    try:
        return parse_json(text, "value")
    except UserError:
        return text


JsonValue = Annotated[
    Any,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda arguments: read_value(arguments[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [value if isinstance(value, str) else json.dumps(value)],
    ),
]


def mirror(config: type, names: Sequence[str] = (), *, default: Any = None, doc: str | None = None) -> type:
    """A class with the fields of a dataclass, their help and no checks.

    Args:
        config: The dataclass.
        names: Fields to take; by default all.
        default: Values that the flags change; by default the class's own.
        doc: What the help says of the group; by default the first line of the dataclass's docstring.
    """
    hints, docs = kept_hints(config, extras=True), field_docs(config)
    fields, switches = [], {}
    for f in dataclasses.fields(config):
        if names and f.name not in names:
            continue
        hint, value = hints[f.name], _default(f) if default is None else getattr(default, f.name)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            hint = mirror(hint, default=None if value is dataclasses.MISSING else value)
            value = hint()
        if hint == bool | None:
            switches[f.name] = value
            fields += _switch(f.name, docs[f.name])
            continue
        hint = dict[str, JsonValue] if hint == dict[str, Any] else hint
        hint = Annotated[hint, tyro.conf.arg(help=docs[f.name])] if f.name in docs else hint
        required = value is dataclasses.MISSING
        kept = dataclasses.field() if required else dataclasses.field(default_factory=lambda value=value: value)
        fields.append((f.name, hint, kept))
    # Dozens are made at each start, and every method that a dataclass has is compiled.
    made = dataclasses.make_dataclass(config.__name__, fields, kw_only=True, repr=False, eq=False)
    made.__doc__ = doc or (inspect.getdoc(config) or "").partition("\n")[0]
    made.mirrored = config
    made.switches = switches
    return made


def build(mirrored: Any) -> Any:
    """The configuration that a mirror of its class stands for.

    Raises:
        UserError: The configuration refuses its values.
    """
    return type(mirrored).mirrored(**values(mirrored))


def values(*mirrored: Any) -> dict[str, Any]:
    """Field -> value of several mirrors, those inside them built.

    Raises:
        UserError: Two flags contradict each other, or a configuration refuses its values.
    """
    pairs = {f.name: getattr(one, f.name) for one in mirrored for f in dataclasses.fields(one)}
    switches = {name: default for one in mirrored for name, default in one.switches.items()}
    for name, default in switches.items():
        pairs[name] = _switched(name, pairs[name], pairs.pop(f"no_{name}"), default)
    return {name: build(value) if hasattr(value, "mirrored") else value for name, value in pairs.items()}


def _switch(name: str, doc: str) -> list[Any]:
    """A pair of flags for a choice that may be left open, which tyro would spell --name {None,True,False}."""
    texts = {name: doc, f"no_{name}": "The opposite, also where what it goes by says otherwise."}
    explained = {flag: tyro.conf.arg(help=text, help_behavior_hint="") for flag, text in texts.items()}
    return [(flag, Annotated[bool, tyro.conf.FlagCreatePairsOff, arg], False) for flag, arg in explained.items()]


def _switched(name: str, on: bool, off: bool, default: bool | None) -> bool | None:
    if on and off:
        raise UserError(f"`{name}` and `no_{name}` contradict each other; give one of them")
    return on if on or off else default


@functools.cache  # it parses the module of the class
def field_docs(config: type) -> dict[str, str]:
    """Field -> the string below it, of a dataclass and those that it is derived from."""
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]).body
        for statement, below in itertools.pairwise(body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text = below.value if isinstance(below, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    docs[statement.target.id] = " ".join(inspect.cleandoc(text.value).split())
    return docs


def subcommands(mirrors: Mapping[str, type]) -> Any:
    """Classes by name as a choice on the command line."""
    members = (Annotated[cls, tyro.conf.subcommand(name, prefix_name=False)] for name, cls in mirrors.items())
    return typing.Union[tuple(members)]  # noqa: UP007 (the members are only known here)


def registered(name: str, registry: Mapping[str, type], defaults: Any) -> tuple[str, Any, Any]:
    """A field for `make_dataclass`: the choice among registered classes, with the one in the defaults first.

    Raises:
        UserError: Something that is registered is no class of options.
    """
    chosen = getattr(defaults, name)
    for key, cls in registry.items():
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)) or inspect.isabstract(cls):
            missing = " and ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            lacks = f", without {missing}" if missing else ""
            shown = cls.__name__ if isinstance(cls, type) else f"an object of type {type(cls).__name__}"
            raise UserError(
                f"the {name} {key!r} is {shown}{lacks}; register the class of its options, "
                "which is decorated with @dataclass(frozen=True) and has a method build"
            )
    mirrors = {key: mirror(cls, default=chosen if type(chosen) is cls else None) for key, cls in registry.items()}
    first = next(made for made in mirrors.values() if made.mirrored is type(chosen))  # pyright: ignore
    return name, subcommands(mirrors), dataclasses.field(default_factory=first)


def flag_group(name: str, made: type, *, prefixed: bool = False) -> tuple[str, Any, Any]:
    """A field for `make_dataclass`: the flags of a class, below its docstring.

    That the docstring is the help is said here: tyro would parse a module in search of one below a field that was made.

    Args:
        name: Of the field.
        made: The class.
        prefixed: Whether flags begin with the field's name.
    """
    required = any(f.default is f.default_factory is dataclasses.MISSING for f in dataclasses.fields(made))
    default = dataclasses.MISSING if required else made
    field = dataclasses.field(default_factory=default, metadata={"help": made.__doc__})  # pyright: ignore
    return name, made if prefixed else tyro.conf.OmitArgPrefixes[made], field


def sibling(prog: str, verb: str) -> str:
    """How another command is called by who called this one so: python train.py, robolearn train."""
    *before, last = prog.split()
    return " ".join([*before, f"{verb}.py" if last.endswith(".py") else verb])


def next_step(prog: str, verb: str, *arguments: str | Path) -> str:
    """The line that says with which command to go on, as a shell takes it: next: robolearn eval runs/mine --gate."""
    return f"next: {sibling(prog, verb)} {shlex.join(map(url_of, arguments))}"


def repeated(arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """The flags of these names, with their values, as they were given: the next command needs them too."""
    kept, wanted = list[str](), False
    for argument in arguments:
        if argument.startswith("--"):
            wanted = argument[2:].partition("=")[0].replace("-", "_") in names
        if wanted:
            kept.append(argument)
    return kept


def import_plugins(arguments: Sequence[str]) -> None:
    """Import the modules that --plugin names.

    Raises:
        UserError: One cannot be found; what goes wrong inside it keeps its traceback.
    """
    for name in known(arguments).plugin or ():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            why = beside_you(name) or "there is no such module where Python looks for modules"
            raise UserError(f"`plugin` {name}: {why}") from None


def chosen(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag which decides which other flags there are."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{flag}", nargs="?", default=default)
    return getattr(parser.parse_known_args(arguments)[0], flag) or ""


def known(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags that decide which flags there are, and what their defaults are: resume, recipe and plugin."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", type=Path, nargs="?")
    parser.add_argument("--recipe", nargs="?")
    parser.add_argument("--plugin", action="append")
    return parser.parse_known_args(arguments)[0]


def _default(f: dataclasses.Field[Any]) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
