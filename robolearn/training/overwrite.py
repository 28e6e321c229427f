"""Clearing a directory of what a run wrote, and of nothing else that lies there."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path

from robolearn.locks import hold

RESULTS = r"(partial/)?(episodes\.jsonl|summary\.json|report\.html|videos/episode_\d+\.mp4)"
CALIBRATION = r"(calibration|certificate|gate|set)\.json|(scores|episodes)\.safetensors"  # gate, set: of version 1
WRITTEN = re.compile(
    r"(members/\d+/)*("
    r"(run|config|data|heldout)\.json|metrics\.jsonl|videos/step_\d+\.mp4"
    r"|checkpoints/((last|best)|\.(last|best)\.part|\.?\d{8,}(\.part)?/(policy|train)\.(json|safetensors)(\.part)?)"
    r"|checkpoints/(last|best)/(policy|train)\.(json|safetensors)"
    rf"|eval/(\.new(\.part)?/)?{RESULTS}(\.gone)?|(gate|tube)/(\.new(\.part)?/)?({CALIBRATION}|{RESULTS})(\.gone)?"
    r"|(eval|gate|tube)/parts/[^/]+/\d{7}\.safetensors"
    r"|wandb/(((offline-)?run-[^/]*/.*)|latest-run|debug[^/]*\.log)"
    r"|\.new(\.part)?/[^/]*"
    r")(\.part)?"
)
LAST = ("run.json", "config.json", "data.json")  # they stay until new ones take their places: it is a run all the time


def clear_run(directory: Path) -> None:
    """Remove what training, evaluation and calibration wrote into a run; links are removed, never followed.

    Args:
        directory: Of the run, whose lock is held.

    Raises:
        HeldError: One of its members is still being trained, or it is being evaluated or calibrated.
    """
    with ExitStack() as held:
        for folder in (*directory.glob("members/[0-9]*/"), *(directory / name for name in ("eval", "gate", "tube"))):
            if folder.is_dir() and not folder.is_symlink():
                held.enter_context(hold(folder))
        emptied = set[Path]()
        for folder, folders, files in os.walk(directory):  # does not follow links
            for name in (*folders, *files):
                path = Path(folder, name)
                inside = path.relative_to(directory).as_posix()
                is_file = path.is_symlink() or not path.is_dir()
                if is_file and inside not in LAST and WRITTEN.fullmatch(inside):
                    path.unlink()
                    emptied.update(path.relative_to(directory).parents)
    for folder in sorted(emptied - {Path()}, key=lambda path: len(path.parts), reverse=True):
        if not any((directory / folder).iterdir()):
            (directory / folder).rmdir()
