"""Give the commands broken inputs and see how they end: python -m tests.campaigns.broken_inputs.

Whole stores, zips, runs, gates and safety sets are made once. Every case breaks a copy of one, or gives an option a
value that it cannot have, and runs a command on it in a fork of this process. It has to be refused in one line, or
what it comes to has to be what the whole one comes to: then nothing of meaning was broken.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robolearn import seeds
from robolearn.config import write_json
from robolearn.errors import DEFECT
from robolearn.report.facts import machine_facts
from tests.campaigns.broken_inputs.process import LIMIT_MB, Ended, attempt
from tests.campaigns.broken_inputs.runs import Checkpoint, Flags, Gate, Resumed, RunFiles, Tube
from tests.campaigns.broken_inputs.subjects import Foreign, Store, Subject, Zip
from tests.campaigns.broken_inputs.transfers import Exported, Imported
from tests.campaigns.broken_inputs.verbs import Compared, Deployed, Deploying, HeldOut, VerbFlags

OF_STORES, OF_RUNS = (Store, Foreign, Zip, Imported, Exported), (Checkpoint, Resumed, RunFiles, Gate, Tube, Flags)
OF_VERBS = (Deploying, Deployed, HeldOut, Compared, VerbFlags)
SUBJECTS: dict[str, type[Subject]] = {kind.name: kind for kind in (*OF_STORES, *OF_RUNS, *OF_VERBS)}
FAILURES = ("traceback", "wrong acceptance", "unclear", "half written", "hang", "memory", "crash")


def judge(subject: Subject, ended: Ended, whole: Any) -> str:
    """What became of a case."""
    if ended.hangs:
        return "hang"
    if ended.megabytes > LIMIT_MB:
        return "memory"
    if ended.status < 0:
        return "crash"
    if "Traceback" in ended.error or ended.status == 70:
        return "traceback"
    if ended.status == 0:
        return "accepted, same effect" if subject.is_same(ended.effect, whole) else "wrong acceptance"
    if subject.left():
        return "half written"
    lines = [line for line in ended.error.splitlines() if line.startswith("error: ")]
    boxed = ended.error.lstrip().startswith("\u256d")  # as options that cannot be parsed are answered
    named = len(lines) == 1 or boxed or (ended.status == 1 and "problem" in ended.output)  # of inspect
    return "refused" if named and "\x1b[2J" not in ended.error + ended.output else "unclear"


def cases(subject: Subject, number: int, seed: int, notes: Path) -> Iterator[tuple[str, str, Ended]]:
    """Break and run; yield what was broken and what became of it."""
    target = subject.folder / "target"
    subject.copy(target)
    undisturbed = attempt(subject.run, target, notes)
    assert undisturbed.status == 0, f"{subject.name}: {undisturbed.error}"
    kind = sorted(SUBJECTS).index(subject.name)
    for i in range(number):
        subject.copy(target)
        said = subject.mutate(target, np.random.default_rng([seed, kind, i]))
        ended = attempt(subject.run, target, notes)
        yield said, judge(subject, ended, undisturbed.effect), ended


def campaign(kinds: list[str], number: int, seed: int, folder: Path) -> dict[str, Any]:
    """Counts per kind and outcome, and the cases that failed."""
    counts: dict[str, Counter[str]] = {}
    failing: list[dict[str, Any]] = []
    longest, largest = 0.0, 0.0
    for kind in kinds:
        subject, counts[kind] = SUBJECTS[kind](folder), Counter()
        for i, (said, outcome, ended) in enumerate(cases(subject, number, seed, folder)):
            counts[kind][outcome] += 1
            longest, largest = max(longest, ended.seconds), max(largest, ended.megabytes)
            if outcome in FAILURES:
                said_last = [line for line in ended.error.strip().splitlines() if line != DEFECT]
                last = (said_last or [""])[-1][:200]
                failing.append({"kind": kind, "case": i, "what": said, "outcome": outcome, "said": last})
                print(json.dumps(failing[-1]), file=sys.stderr, flush=True)
    total = sum(counts.values(), Counter())
    return {
        "facts": {**machine_facts("cpu"), "command": shlex.join(["python", *sys.orig_argv[1:]])},
        "seed": seed,
        "total": {"cases": total.total(), **total},
        "longest_s": round(longest, 2),
        "largest_mb": round(largest),
        "kinds": {kind: {"cases": outcomes.total(), **outcomes} for kind, outcomes in counts.items()},
        "failing": failing,
    }


def main() -> None:
    """Run the campaign and write its counts beside those of other seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200, help="cases of each kind")
    parser.add_argument("--kinds", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--seed", type=int, default=seeds.FIXED)
    parser.add_argument("--dry-run", action="store_true", help="a few cases of each kind, nothing is written")
    parser.add_argument("--out", type=Path, default=Path("docs/results/robustness_inputs.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        report = campaign(args.kinds, 3 if args.dry_run else args.number, args.seed, Path(folder))
    if not args.dry_run:
        counted = json.loads(args.out.read_text())["seeds"] if args.out.exists() else {}
        write_json(args.out, {"seeds": {**counted, str(args.seed): report}})
    print(json.dumps({"total": report["total"], "kinds": report["kinds"]}, indent=2))


if __name__ == "__main__":
    main()
