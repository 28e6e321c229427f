"""Run a command until one of its methods returns for the first time, and write down what the CPU time went into.

    python benchmarks/startup_probe.py FILE.json MODULE CLASS METHOD VERB ARGUMENTS...

Nothing of this repository is imported before the command itself imports it.
"""

from __future__ import annotations

import builtins
import functools
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

FILE, MODULE, CLASS, METHOD, VERB, *ARGUMENTS = sys.argv[1:]
OURS = ("robolearn", "envs")
PYTHON, REST = "start of Python", "the command itself"


class Imports:
    """Stands for `import`: tells the CPU time apart by who was being imported [s], and waits for MODULE."""

    def __init__(self) -> None:
        self.plain, self.told = builtins.__import__, time.process_time()
        self.owners = [REST]  # of what is running, within one another
        self.seconds = defaultdict[str, float](float, {PYTHON: self.told})
        self.is_watched = False

    def __call__(self, name: str, *args: Any) -> Any:
        """Import, as the plain one."""
        self.tell()
        self.owners.append(self.owner(name))
        try:
            return self.plain(name, *args)
        finally:
            self.tell()
            self.owners.pop()
            if len(self.owners) == 1:
                self.watch()

    def owner(self, name: str) -> str:
        """Whose time it is: what a package imports belongs to it, and what of it is imported later is told apart."""
        if self.owners[-1] not in (REST, *OURS):
            return self.owners[-1]
        package = name.partition(".")[0]
        return name if package in sys.modules and package not in OURS else package

    def tell(self) -> None:
        """Add what has passed to the time of who was running."""
        now = time.process_time()
        self.seconds[self.owners[-1]] += now - self.told
        self.told = now

    def watch(self) -> None:
        """Have the method end this process when it has returned, once its class is there."""
        owner = getattr(sys.modules.get(MODULE), CLASS, None)
        if owner is None or self.is_watched:
            return
        self.is_watched, method = True, getattr(owner, METHOD)

        @functools.wraps(method)
        def once(*args: Any, **options: Any) -> None:
            method(*args, **options)
            self.tell()
            Path(FILE).write_text(json.dumps(self.seconds))
            os._exit(0)

        setattr(owner, METHOD, once)


builtins.__import__ = Imports()

from robolearn.commands.main import run  # noqa: E402

run(VERB, ARGUMENTS, VERB)
