"""The format of LeRobot; what needs pyarrow is imported when it is first used."""

from __future__ import annotations

from pathlib import Path

from robolearn.data.store import DemoStore
from robolearn.formats.format import ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.lerobot.info import INFO


def _read(source: Path, options: ImportOptions) -> Recording:
    from robolearn.formats.lerobot.read import read_lerobot

    return read_lerobot(source, options)


def _write(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    from robolearn.formats.lerobot.write import write_lerobot

    return write_lerobot(store, out, options)


LEROBOT = Format(
    "data sets of LeRobot: v2.0, v2.1 and v3.0 are read, v3.0 is written (huggingface/lerobot)",
    read=_read,
    write=_write,
    recognize=lambda path: (path / INFO).is_file(),
    packages=("pyarrow", "PIL"),
)
