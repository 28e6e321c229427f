"""How files break: bytes that are flipped, cut or replaced, and documents whose values are absurd."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
DEEP = "deep"  # stands for a document nested 131,072 times
ABSURD: tuple[Any, ...] = (
    *(None, True, -1, 2**70, -(2**63), 0.5, 1e308, math.nan, math.inf, -math.inf),
    *("", "text", "\x1b[2Jevil", "../../outside", "\udcff", "é" * 300, 10**400),
    *([], {}, [[]], [1] * 1000, [None], {"type": "unknown"}, {"": 0}, DEEP),
)


def flip(content: bytes, rng: Rng) -> bytes:
    """Flip one bit."""
    changed, at = bytearray(content), int(rng.integers(len(content)))
    changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, rng: Rng) -> bytes:
    """Keep a beginning."""
    return content[: int(rng.integers(len(content)))]


def lose(content: bytes, rng: Rng) -> bytes:
    """Lose some bytes in the middle."""
    at = int(rng.integers(len(content)))
    return content[:at] + content[at + int(rng.integers(1, 40)) :]


def scramble(content: bytes, rng: Rng) -> bytes:
    """Overwrite a stretch with random bytes."""
    at = int(rng.integers(len(content)))
    return (content[:at] + rng.bytes(int(rng.integers(2, 60))) + content[at + 60 :])[: len(content)]


def lengthen(content: bytes, rng: Rng) -> bytes:
    """Append random bytes."""
    return content + rng.bytes(int(rng.integers(1, 100)))


def replace(content: bytes, rng: Rng) -> bytes:
    """Nothing but random bytes, or zeros, or nothing at all."""
    size = len(content)
    return (b"", bytes(size), rng.bytes(size), b"\xff\xfe" + content, b"[" * (1 << 17))[int(rng.integers(5))]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (flip, flip, cut, lose, scramble, lengthen, replace)


def break_bytes(path: Path, rng: Rng) -> str:
    """Change the bytes of a file, or remove it; say how."""
    content = path.read_bytes()
    if not content or rng.random() < 0.05:
        path.unlink()
        return f"{path.name} removed"
    how = BYTES[int(rng.integers(len(BYTES)))]
    path.write_bytes(how(content, rng))
    return f"{path.name}: {how.__name__}"


def break_document(path: Path, rng: Rng) -> str:
    """Give one value of a JSON file an absurd one, or remove or rename it; say which."""
    document = json.loads(path.read_text())
    locations = [location for location in walk(document) if location]
    if not locations:
        path.write_text(json.dumps(ABSURD[int(rng.integers(len(ABSURD)))]))
        return f"{path.name} another value"
    location = locations[int(rng.integers(len(locations)))]
    parent = document
    for key in location[:-1]:
        parent = parent[key]
    said, last, choice = ".".join(map(str, location)), location[-1], int(rng.integers(len(ABSURD) + 2))
    if choice >= len(ABSURD):
        value = parent.pop(last)
        if choice > len(ABSURD) and isinstance(parent, dict):
            parent[f"{last}_"] = value
        said += " removed" if choice == len(ABSURD) else " renamed"
    else:
        parent[last] = ABSURD[choice]
        said += f" = {ABSURD[choice]!r:.40}"
    path.write_text(json.dumps(document).replace(f'"{DEEP}"', "[" * (1 << 17) + "]" * (1 << 17)))
    return f"{path.name}: {said}"


def walk(value: Any, location: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values of a document, that of the whole first."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [location, *(inner for key, item in items for inner in walk(item, (*location, key)))]


def break_tensors(path: Path, rng: Rng) -> str:
    """Give one tensor of a safetensors file values, a type, a shape or a name that cannot be; say which."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head, body = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    names = [name for name in head if name != "__metadata__"]
    name = names[int(rng.integers(len(names)))]
    facts = head[name]
    begin, end = facts["data_offsets"]
    choice = int(rng.integers(7))
    if choice < 2 and facts["dtype"] == "F32" and end > begin:
        at = begin + 4 * int(rng.integers((end - begin) // 4))
        body[at : at + 4] = np.float32((math.nan, math.inf)[choice]).tobytes()
        said = ("NaN", "infinite")[choice]
    elif choice == 2:
        facts["dtype"], said = "I32", "integers"
    elif choice == 3:
        facts["shape"], said = [2**40, 2**20], "huge"
    elif choice == 4:
        facts["shape"], said = [*facts["shape"], 1], "another shape"
    elif choice == 5:
        head[f"{name}x"], said = head.pop(name), "renamed"
    else:
        facts["data_offsets"], said = [begin, 2**50], "beyond the end"
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(body))
    return f"{path.name}: {name} {said}"
