"""Kill collect, train, calibrate and eval at every kind of moment, and see what is left.

    python -m tests.campaigns.kills

A trial runs a command in a forked process that is killed (SIGKILL, or stopped by SIGTERM) before its n-th operation on
a file, or a moment after it, alone or beside a second process that runs the same command. Then it is checked that what
was finished is there and whole, and that the command, or what it advises, ends with what an undisturbed one makes.
Ctrl-C keeps the finished trials; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robolearn import seeds
from robolearn.config import write_json
from robolearn.report.facts import machine_facts
from tests.campaigns.kills.judging import Calibrate, Evaluate
from tests.campaigns.kills.process import Command, Kill
from tests.campaigns.kills.training import Train
from tests.campaigns.kills.work import Collect, Work, succeed


def works(folder: Path) -> list[Work]:
    """All commands, each in a folder of its own."""
    made: list[Work] = []
    for begun in (False, True):
        made += [
            Collect(folder / f"collect{begun}", begun=begun),
            Train(folder / f"train{begun}", begun=begun),
            Calibrate(folder / f"gate{begun}", begun=begun, safety_set=False),
            Calibrate(folder / f"tube{begun}", begun=begun, safety_set=True),
            Evaluate(folder / f"eval{begun}", begun=begun),
        ]
    for work in made:
        work.folder.mkdir(parents=True, exist_ok=True)
    return made


def trial(work: Work, kill: Kill, *, two: bool) -> str:
    """Kill a command, perhaps beside another one, and check what is left.

    Returns:
        "" where all is well, else what is wrong.
    """
    try:
        work.prepare()
        commands = [Command(work.run, work.folder, kill)] + ([Command(work.run, work.folder)] if two else [])
        ended = [command.wait() for command in commands]
        for one in ended:
            assert "Traceback" not in one.error, one.error[-1500:]
            allowed = {
                0,
                -kill.signum,
                128 + kill.signum,
                2 if two or (one.status == 2 and "--resume" in one.error) else 0,
            }
            assert one.status in allowed, f"exit status {one.status}: {one.error[-600:]}"
            assert one.status != 2 or "is being written by" in one.error or "--resume" in one.error, one.error
        work.check(max(one.announced for one in ended))
        work.go_on()
    except AssertionError as error:
        return " ".join(str(error).split()) or repr(error)
    return ""


def plan(work: Work, number: int, rng: np.random.Generator) -> Iterator[tuple[Kill, bool]]:
    """Operations spread evenly over the command; every third kill comes a moment later, every fifth trial has two."""
    work.prepare()
    ended = work.again()
    succeed(ended)
    for i in range(number):
        operation = 1 + round(i * (ended.operations - 1) / max(1, number - 1))
        delay = float(rng.uniform(0.0005, 0.02)) if i % 3 == 2 else 0.0
        signum = signal.SIGTERM if i % 4 == 3 else signal.SIGKILL
        yield Kill(operation, delay, signum), i % 5 == 4


def campaign(
    number: int, only: str, folder: Path, done: dict[str, Any], save: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run what is missing of `number` trials of each command whose name begins with `only`."""
    for work in (work for work in works(folder) if work.name.startswith(only)):
        for i, (kill, two) in enumerate(plan(work, number, np.random.default_rng(seeds.FIXED))):
            key = f"{work.name} {i}"
            if key not in done:
                signum = signal.Signals(kill.signum).name
                done[key] = {
                    "operation": kill.operation,
                    "delay_s": kill.delay,
                    "signal": signum,
                    "two": two,
                    "wrong": trial(work, kill, two=two),
                }
                save(done)
                print(key, done[key], flush=True)
    return done


def report(trials: dict[str, Any]) -> dict[str, Any]:
    """Counts per command, and every trial."""
    counts: dict[str, Any] = {}
    for key, trial in trials.items():
        row = counts.setdefault(key.rpartition(" ")[0], Counter(trials=0, two_at_once=0, stopped_by_sigterm=0, wrong=0))
        row.update(
            trials=1,
            two_at_once=trial["two"],
            stopped_by_sigterm=trial["signal"] == "SIGTERM",
            wrong=bool(trial["wrong"]),
        )
    total = sum((Counter(row) for row in counts.values()), Counter())
    return {
        "facts": {**machine_facts("cpu"), "command": " ".join(["python", *sys.orig_argv[1:]])},
        "total": {name: total[name] for name in ("trials", "two_at_once", "stopped_by_sigterm", "wrong")},
        "commands": counts,
        "trials": trials,
    }


def main() -> None:
    """Run the campaign and write its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=32, help="trials per command; there are ten commands")
    parser.add_argument("--only", default="", help="commands whose names begin so: collect, train, calibrate, eval")
    parser.add_argument("--dry-run", action="store_true", help="two trials of collect, nothing is written")
    parser.add_argument("--out", type=Path, default=Path("docs/results/robustness_kills.json"))
    args = parser.parse_args()
    done = json.loads(args.out.read_text())["trials"] if args.out.exists() else {}
    torch.set_num_threads(1)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="kills-") as folder:
        if args.dry_run:
            print(json.dumps(report(campaign(2, "collect on", Path(folder), {}, lambda _: None))["total"]))
            return
        campaign(args.number, args.only, Path(folder), done, lambda trials: write_json(args.out, report(trials)))
    print(json.dumps(report(done)["total"]))


if __name__ == "__main__":
    main()
