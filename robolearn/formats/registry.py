"""The formats that demonstrations can be read from and written to: one dict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robolearn.catalog import Catalog
from robolearn.errors import UserError
from robolearn.formats.act import ACT
from robolearn.formats.adroit import ADROIT
from robolearn.formats.d4rl import D4RL
from robolearn.formats.diffusion_policy import DIFFUSION_POLICY
from robolearn.formats.format import Format
from robolearn.formats.lerobot.lerobot import LEROBOT
from robolearn.formats.minari import MINARI
from robolearn.formats.npz import NPZ
from robolearn.formats.pointers import refuse_pointer
from robolearn.formats.robomimic import ROBOMIMIC

AUTO = "auto"
FORMATS: Catalog[Format] = Catalog(
    "format",
    {
        "lerobot": LEROBOT,
        "robomimic": ROBOMIMIC,
        "act": ACT,
        "minari": MINARI,
        "d4rl": D4RL,
        "diffusion_policy": DIFFUSION_POLICY,
        "npz": NPZ,
        "adroit": ADROIT,
    },
    made_by=lambda entry: entry.read or entry.write,
)


def find_format(name: str, choices: Iterable[str]) -> Format:
    """The format of a name; one's own is added to FORMATS first.

    Args:
        name: In FORMATS.
        choices: Names that would do, for the message.

    Raises:
        UserError: There is none of that name.
    """
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r}; choose from {', '.join(choices)}, or add your own to FORMATS")
    return FORMATS[name]


def readable() -> tuple[str, ...]:
    """Names of the formats that can be imported."""
    return tuple(name for name, entry in FORMATS.items() if entry.read is not None)


def writable() -> tuple[str, ...]:
    """Names of the formats that can be exported to."""
    return tuple(name for name, entry in FORMATS.items() if entry.write is not None)


def recognize(path: Path) -> str:
    """The name of the format that a file or folder is of.

    Raises:
        UserError: It is not there, or of no format or of several, or only Git LFS's word for it.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or directory")
    refuse_pointer(path)
    names = [name for name in readable() if FORMATS[name].recognize(path)]
    if len(names) != 1:
        what = f"could be {' or '.join(names)}" if names else "is of no format that is recognized"
        absent = sorted({package for entry in FORMATS.values() for package in entry.absent()})
        if absent and not names:
            what += f" without {' and '.join(absent)}, not installed here (pip install 'robolearn[formats]')"
        raise UserError(f"{path} {what}; name the format, one of {', '.join(readable())}")
    return names[0]
