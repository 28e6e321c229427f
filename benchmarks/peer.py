"""Another toolkit, measured beside ours: a Python that has it, and a script that prints its CPU time."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """A script of a peer, run by its own Python on one thread; it prints JSON lines with "cpu_ms".

    Attributes:
        python: In whose environment the peer is installed.
        script: What measures it.
        arguments: Of the script.
    """

    python: Path
    script: Path
    arguments: tuple[str, ...]

    def cpu_ms(self) -> float:
        """Its own figure, the last that it prints [ms]."""
        command, env = [self.python, self.script, *self.arguments], {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=self.script.parent)
        return json.loads(done.stdout.splitlines()[-1])["cpu_ms"]


def add_peer(parser: argparse.ArgumentParser) -> None:
    """Let a peer be given."""
    parser.add_argument("--peer", type=Path, nargs=2, metavar=("PYTHON", "SCRIPT"), help="to measure beside ours")


def open_peer(given: Sequence[Path] | None, *arguments: str) -> Peer | None:
    """The peer that was given, if any; its Python may be a link, which tells it where its packages are."""
    if given is None:
        return None
    python = Path(shutil.which(given[0]) or given[0])  # a command, or a path
    return Peer(python.absolute(), given[1].resolve(), arguments)
