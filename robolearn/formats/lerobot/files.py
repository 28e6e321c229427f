"""Which files a LeRobot data set has, and what their names say.

Names are looked up among the files that are there, not made from the templates of info.json: a wrong template then
finds nothing instead of something else, and none leads out of the data set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robolearn.config import MAX_BYTES
from robolearn.errors import UserError
from robolearn.formats.pointers import is_pointer

FIELD = re.compile(r"\{(\w+)[^{}]*\}")


def list_files(root: Path) -> list[str]:
    """Names of all files below a folder, sorted, with slashes; folders that are links are entered once."""
    files, entered = [], set()
    for folder, inside, names in os.walk(root, followlinks=True):
        inside[:] = [name for name in inside if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in entered:
            inside.clear()
            continue
        entered.add(real)
        files += [Path(folder, name).relative_to(root).as_posix() for name in names]
    return sorted(files)


def match_files(names: Sequence[str], templates: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Files that the first fitting template names, each with the values of the template's fields.

    Args:
        names: Files that are there.
        templates: As in info.json, such as "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet".
    """
    for template in templates:
        pattern = _pattern(template)
        matches = [(name, match.groupdict()) for name in names if (match := pattern.fullmatch(name))]
        if matches:
            return matches
    return []


def _pattern(template: str) -> re.Pattern[str]:
    """A template as a pattern: numbers for indices, anything for the name of a camera."""
    parts, last, seen = [], 0, set()
    for field in FIELD.finditer(template):
        name = field[1] if field[1].isidentifier() else f"field_{field.start()}"
        kind = r"\d+" if name.endswith(("index", "chunk")) else r".+"
        parts += [
            re.escape(template[last : field.start()]),
            f"(?P={name})" if name in seen else f"(?P<{name}>{kind})",
        ]
        seen.add(name)
        last = field.end()
    return re.compile("".join([*parts, re.escape(template[last:])]))


def damage(path: Path, what: str, error: Any) -> UserError:
    """What to tell a user of a file that cannot be read."""
    if is_pointer(path):
        return UserError(f"{path} is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
    size = path.stat().st_size if path.is_file() else 0
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path} is no {what}, or a damaged one ({size} bytes: {reason}); download it again")


def read_text(path: Path) -> str:
    """The text of a file of facts.

    Raises:
        UserError: It cannot be read, is no text, is absurdly large, or is a pointer of Git LFS.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise damage(path, "text", error) from error
    if is_pointer(path):
        raise damage(path, "text", "")
    return text
