"""Typed configurations as JSON: frozen dataclasses in and out, with one clear line on bad input.

A value whose class is registered carries a ``type`` tag, its name in the registry; where a field's type is a base
class, the tag chooses among the registered classes below it. Where a default has changed, or a field is new, files of
before still mean what they meant: see ``since``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import numbers
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from robolearn.errors import UserError
from robolearn.files import finish_replacing, replacing
from robolearn.paths import place_of, url_of

T = TypeVar("T")
Registry = Mapping[str, type]

MAX_BYTES = 64 << 20  # of a JSON file
MAX_DEPTH = 64
LEAVES = (bool, int, float, str, dict, type(None), Any)
DECLARABLE = "a field holds bool, int, float, str, Path or Literal, or a tuple, dict or dataclass of these"
KINDS = "a number, a truth value, text, null, or lists and objects of these"


def since(default: Any, before: Any) -> Any:
    """Declare a field of which older files know nothing; read from those it is ``before``."""
    return dataclasses.field(default=default, metadata={"before": before})


def kept_hint(hint: Any) -> Any:
    """What a field holds once its dataclass is made, where it takes text for a path; see `take_paths`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple[tuple(map(kept_hint, args))]  # pyright: ignore[reportInvalidTypeForm]
    if origin not in (typing.Union, types.UnionType) or not {Path, str} <= set(args):
        return hint
    kept = [kept_hint(one) for one in args if one is not str]
    several = [one for one in kept if typing.get_origin(one) is tuple]  # and one alone has become a tuple of it
    return typing.Union[tuple(several or kept)]  # noqa: UP007 (the members are only known here)


@functools.cache  # annotations are text, which Python compiles at each look
def kept_hints(cls: type, *, extras: bool = False) -> Mapping[str, Any]:
    """Field -> what it holds once its dataclass is made, with what `Annotated` adds or without."""
    return {name: kept_hint(hint) for name, hint in typing.get_type_hints(cls, include_extras=extras).items()}


def to_json(value: Any, registry: Registry) -> Any:
    """Turn a dataclass (nested, with tuples, dicts and registered union members) into JSON values.

    Numbers of numpy become Python's.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name), registry) for f in dataclasses.fields(value)}
        tags = [name for name, cls in registry.items() if cls is type(value)]
        return {"type": tags[0], **fields} if tags else fields
    if isinstance(value, dict):
        return {key: to_json(item, registry) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_json(item, registry) for item in value]
    if isinstance(value, numbers.Real) and type(value) is not bool:
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return url_of(value) if isinstance(value, Path) else value


def checked(config: T, registry: Registry = types.MappingProxyType({})) -> T:
    """The same configuration, once each of its fields, at any depth, is known to be of the kind that it declares.

    A command line gives no others. A program can, and what is trained with one could not be opened again.

    Args:
        config: A frozen dataclass.
        registry: Names of the classes that may stand in unions.

    Raises:
        UserError: See `from_json`.
    """
    return from_json(type(config), to_json(config, registry), registry)


def first_difference(now: Any, before: Any, registry: Registry, free: Collection[str] = (), prefix: str = "") -> str:
    """What of two configurations of one class differs first, in words that name the option; empty where nothing does.

    Args:
        now: What is asked for.
        before: What was begun with.
        registry: See `to_json`.
        free: Fields that may differ.
        prefix: Of the options' names.
    """
    for name in (f.name for f in dataclasses.fields(now) if f.name not in free):
        new, old = getattr(now, name), getattr(before, name)
        if dataclasses.is_dataclass(new) and type(new) is type(old):
            if inner := first_difference(new, old, registry, prefix=f"{prefix}{name}."):
                return inner
        elif to_json(new, registry) != to_json(old, registry):
            return f"`{prefix}{name}` was {_in_words(old, registry)}, it is {_in_words(new, registry)} now"
    return ""


def _in_words(value: Any, registry: Registry) -> str:
    if dataclasses.is_dataclass(value):
        return next((name for name, cls in registry.items() if cls is type(value)), type(value).__name__)
    if isinstance(value, tuple | list):
        return " ".join(_in_words(item, registry) for item in value) or "none"
    return "not given" if value is None else str(to_json(value, registry))


def finite(value: Any) -> Any:
    """JSON values with null for what is no number: the ends of an interval of one start, the share of no episodes."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(cls: type[T], data: Any, registry: Registry, where: str = "") -> T:
    """Build ``cls`` from JSON values.

    Args:
        cls: A frozen dataclass, or a base class of registered ones.
        data: What ``to_json`` returned.
        registry: Names of the classes that may stand in unions.
        where: What the data is, for messages.

    Raises:
        UserError: An unknown field, a missing one, an unknown ``type`` or a value of the wrong kind.
    """
    return _build(cls, data, registry, where or cls.__name__)


def _build(annotation: Any, data: Any, registry: Registry, where: str) -> Any:
    if isinstance(annotation, type):
        choices = {k: cls for k, cls in registry.items() if issubclass(cls, annotation) and cls is not annotation}
        if choices:
            return _build_choice(choices, data, registry, where)
        if dataclasses.is_dataclass(annotation):
            return _build_dataclass(annotation, data, registry, where)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _build_union(args, data, registry, where)
    if origin is tuple:
        if args[-1] is Ellipsis and isinstance(data, str | int | float):
            data = [data]  # a single value will do, so that an option of one value can come to take several
        _expect(isinstance(data, list), where, "a list", data)
        kinds = [args[0]] * len(data) if args[-1] is Ellipsis else args
        _expect(len(kinds) == len(data), where, f"{len(kinds)} entries", data)
        return tuple(_build(kind, item, registry, where) for kind, item in zip(kinds, data, strict=True))
    if origin is dict:
        _expect(isinstance(data, dict), where, "an object", data)
        return {key: _build(args[1], item, registry, f"{where}.{key}") for key, item in data.items()}
    if origin is typing.Literal:
        _expect(data in args, where, f"one of {', '.join(map(str, args))}", data)
        return data
    if annotation is Path:
        _expect(isinstance(data, str), where, "a path", data)
        return place_of(data)
    if annotation is float and isinstance(data, int) and not isinstance(data, bool):
        _expect(abs(data) < 2**1023, where, "a number", data)
        return float(data)
    if annotation not in LEAVES:
        raise UserError(f"{where} is declared as {_name(annotation)}, which no file keeps; {DECLARABLE}")
    is_right = annotation is Any or (type(data) is annotation)
    _expect(is_right and data == data, where, _name(annotation), data)  # NaN is none
    return data


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _build_union(members: tuple[Any, ...], data: Any, registry: Registry, where: str) -> Any:
    if data is None and type(None) in members:
        return None
    plain = [member for member in members if member is not type(None)]
    names = " or ".join(map(_name, plain))
    _expect(len(plain) == 1 or type(data) in plain, where, names, data)
    return _build(plain[0] if len(plain) == 1 else type(data), data, registry, where)


def _build_choice(choices: Registry, data: Any, registry: Registry, where: str) -> Any:
    fields = data if isinstance(data, dict) else {}
    _expect("type" in fields, where, "an object with a type", data)
    named = isinstance(fields["type"], str) and fields["type"] in choices
    _expect(named, f"{where}.type", f"one of {', '.join(choices)}", fields["type"])
    return _build_dataclass(choices[fields["type"]], fields, registry, where)


def _build_dataclass(cls: Any, data: Any, registry: Registry, where: str) -> Any:
    _expect(isinstance(data, dict), where, "an object", data)
    if isinstance(data.get("type"), str) and registry.get(data["type"]) is cls:
        data = {key: value for key, value in data.items() if key != "type"}
    hints = kept_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name in data:
        if name not in fields:
            raise UserError(f"{where}: unknown field {name!r}; it has {', '.join(fields)}")
    for name, f in fields.items():
        if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: field {name!r} is missing")
    values = {name: _build(hints[name], item, registry, f"{where}.{name}") for name, item in data.items()}
    before = {name: f.metadata["before"] for name, f in fields.items() if "before" in f.metadata}
    try:
        return cls(**before | values)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def _expect(condition: bool, where: str, what: str, data: Any) -> None:
    if not condition:
        raise UserError(f"{where}: expected {what}, found {data!r:.80}")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing, too large, nested too deep or no JSON.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise UserError(f"{path}: {size} bytes; at most {MAX_BYTES} are read")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_json(content, str(path))


def parse_json(content: bytes | str, where: str) -> Any:
    """Parse JSON from anywhere.

    Args:
        content: Text, or bytes of it in UTF-8.
        where: What it is, for the message.

    Raises:
        UserError: It is no JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise UserError(f"{where}: nested too deep; at most {MAX_DEPTH} levels are read") from None
    except ValueError as error:  # no JSON, or not even text
        raise UserError(f"{where}: not JSON ({error})") from None
    level, depth = _nested([value]), 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:  # what walks through it later would end in a RecursionError
            raise UserError(f"{where}: nested too deep; at most {MAX_DEPTH} levels are read")
        level = [item for one in level for item in _nested(one.values() if isinstance(one, dict) else one)]
    return value


def _nested(values: Iterable[Any]) -> list[Any]:
    """Those that hold values themselves."""
    return [value for value in values if isinstance(value, dict | list)]


def check_json(value: Any, where: str) -> None:
    """Refuse what JSON cannot hold: other than numbers, text, truth values, null, and lists and objects of these.

    Raises:
        UserError: One line that names the value.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            _expect(isinstance(key, str), where, "names", key)
            check_json(item, f"{where}: {key}")
    elif isinstance(value, tuple | list):
        for item in value:
            check_json(item, where)
    else:
        number = type(value) in (int, float) and math.isfinite(value)
        _expect(number or type(value) in (bool, str, type(None)), where, KINDS, value)


def write_json(path: Path, data: Any, *, compact: bool = False) -> None:
    """Write a JSON file; a kill leaves the file that was there before.

    Args:
        path: The file.
        data: JSON values.
        compact: Without line breaks, for long arrays; by default indented, for people to read.
    """
    layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 2}
    with replacing(path) as part:
        part.write_text(json.dumps(data, **layout) + "\n", encoding="utf-8")


def write_json_lines(path: Path, records: Iterable[Any]) -> None:
    """Write JSON values, one per line, to a file of a folder that takes its place as a whole."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


def read_together(cls: type[T], directory: Path, name: str, registry: Registry, what: str) -> T:
    """Read a configuration that was written together with other files; see `replacing_all`.

    Args:
        cls: Of the configuration.
        directory: Where.
        name: Of the file.
        registry: See `from_json`.
        what: What the directory is without that file, for the message: "no translator".

    Raises:
        UserError: There is no such file, or it is damaged.
    """
    finish_replacing(directory)
    path = directory / name
    if not directory.exists():
        raise UserError(f"{directory}: no such folder")
    if not path.exists():
        raise UserError(f"{directory} is {what}: it has no {name}")
    return from_json(cls, read_json(path), registry, str(path))


def find(option: str, name: str, among: Mapping[str, T]) -> T:
    """What an option names.

    Raises:
        UserError: There is nothing of this name.
    """
    if name not in among:
        raise UserError(f"`{option}` {name}: choose from {', '.join(among)}")
    return among[name]


def check_counts(options: Any, names: Iterable[str]) -> None:
    """Raise a UserError unless each of these fields is at least 1."""
    for name in names:
        if (count := getattr(options, name)) < 1:
            raise UserError(f"`{name}` {count} must be at least 1")


def check_above_zero(options: Any, *names: str, spec: str = "") -> None:
    """Raise a UserError, with the number in this format, unless each of these fields is finite and above 0."""
    for name in names:
        if not (math.isfinite(number := getattr(options, name)) and number > 0):
            raise UserError(f"`{name}` {number:{spec}} must be above 0")
