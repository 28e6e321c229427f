"""The format of LeRobot; what needs pyarrow is imported when it is first used."""

from __future__ import annotations

from pathlib import Path

from robolearn.formats.format import Format, ImportOptions, Recording
from robolearn.formats.lerobot.info import INFO


def _read(source: Path, options: ImportOptions) -> Recording:
    from robolearn.formats.lerobot.read import read_lerobot

    return read_lerobot(source, options)


LEROBOT = Format(
    "data sets of LeRobot, v2.0, v2.1 and v3.0 (huggingface/lerobot)",
    read=_read,
    recognize=lambda path: (path / INFO).is_file(),
    packages=("pyarrow", "PIL"),
)
