"""Networks and properties of the verifiers' competition whose answers are known: what is answered, and how fast.

    python -m benchmarks.verify.outside FOLDER [--seconds 10] [--out docs/results/verify.json]

FOLDER has onnx/, vnnlib/ and instances.csv with network, property, answer and time limit [s]. Every instance gets at
most its limit, or --seconds if that is less, on one thread, reading included. Instances that the file of results has
already, answered by the same commit, are not asked again.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import keep_part, options
from robolearn.config import read_json
from robolearn.evaluation.verify import verify_network
from robolearn.evaluation.verify_config import VerifyConfig
from robolearn.report.facts import machine_facts


def ask(folder: Path, row: dict[str, str], seconds: float) -> dict[str, Any]:
    """One instance: the answer and what it took."""
    limit = min(float(row["timeout_s"]), seconds)
    started = time.perf_counter()
    cfg = VerifyConfig(timeout=limit, threads=1)
    verdict = verify_network(folder / "onnx" / row["network"], folder / "vnnlib" / row["property"], cfg)
    taken = time.perf_counter() - started
    return {**row, "said": verdict.answer, "seconds": round(taken, 4), "boxes": verdict.boxes, "limit": limit}


def is_wrong(one: dict[str, Any]) -> bool:
    """Whether an answer contradicts a known one."""
    return {one["said"], one["answer"]} == {"sat", "unsat"}


def known_results(out: Path | None, part: str) -> list[dict[str, Any]]:
    """Those of this commit that are kept already."""
    kept = read_json(out).get(part, {}) if out and out.exists() else {}
    same = kept.get("commit") == machine_facts("cpu")["commit"]
    return kept["instances"] if same else []


def summary(name: str, instances: list[dict[str, Any]]) -> str:
    """Lines for people."""
    seconds = [one["seconds"] for one in instances]
    counts = Counter((one["answer"], one["said"]) for one in instances)
    lines = [f"  known {answer:<9} said {said:<8} {count}" for (answer, said), count in sorted(counts.items())]
    settled = sum(one["said"] != "unknown" for one in instances)
    lines += [
        f"{name}: {settled} of {len(instances)} answered, {sum(map(is_wrong, instances))} wrong",
        f"  {sum(seconds):.1f} s in all, median {np.median(seconds):.3f} s, most {max(seconds):.1f} s",
    ]
    return "\n".join(lines)


def main() -> None:
    """Ask, print and keep after each instance."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=torch.inf)
    args = parser.parse_args()
    with (args.folder / "instances.csv").open() as file:
        rows = list(csv.DictReader(file))
    rows, name = rows[::60] if args.dry_run else rows, args.folder.name
    seconds = min(args.seconds, 1.0) if args.dry_run else args.seconds
    instances = known_results(args.out, name)
    for row in rows[len(instances) :]:
        instances.append(ask(args.folder, row, seconds))
        keep_part(args.out, name, {"instances": instances})
        one = instances[-1]
        print(f"{one['network']} {one['property']}: {one['said']} in {one['seconds']:.2f} s", flush=True)
    print(summary(name, instances))


if __name__ == "__main__":
    main()
