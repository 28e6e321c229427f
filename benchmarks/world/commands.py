"""train.py and eval.py on demonstrations of somebody else's environment, as a user types them, for several seeds."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.config import read_json
from robolearn.stats.bootstrap import grouped_share
from robolearn.stats.value import Estimate

ROOT = Path(__file__).parents[2]
KEPT = ("start", "success", "return", "length")  # of each episode
POLICIES = ("tokens", "flow", "diffusion")  # the default family, and those that take many evaluations


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Which policies are trained how often, so that a part can be measured."""
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/world"), help="where stores and runs go")


def policies(
    names: Sequence[str], out: Path, store: Path, count: int, train: Mapping[str, Any], evaluate: Mapping[str, Any]
) -> dict[str, Any]:
    """Name of the family -> its trainings, see `trainings`, and the success of all of them."""
    results = {}
    for name in names:
        runs = trainings(Path(f"{out}-{name}"), store, count, {name: "mlp", **train}, evaluate)
        results[name] = {"success": asdict(success(by_start(runs))), "trainings": runs}
    return results


def trainings(
    out: Path, store: Path, count: int, train: Mapping[str, Any], evaluate: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Train so often with default options but those given, and evaluate; what is complete is not made again.

    Args:
        out: Beginning of the runs' names; their seeds are added.
        store: The demonstrations.
        count: How many seeds.
        train: Flag -> value, of train.py; family -> backbone.
        evaluate: Flag -> value, or values in a tuple, of eval.py; None for a flag without.

    Returns:
        Of each training its seed, the summary of its evaluation, and columns of what KEPT names of the episodes.
    """
    results = []
    for seed in seeds.TRAININGS[:count]:
        folder = Path(f"{out}-{seed}").resolve()
        if not (folder / "eval" / "summary.json").exists():
            flags = {**train, "--dataset.path": store.resolve(), "--seed": seed, "--out": folder}
            run("train.py", *_words(flags), "--rollout-every", 0, "--overwrite", "--no-wandb")
            run("eval.py", folder, *_words(evaluate), "--videos", 0)
        episodes = [json.loads(line) for line in (folder / "eval" / "episodes.jsonl").read_text().splitlines()]
        columns = {name: [episode[name] for episode in episodes] for name in KEPT}
        results.append({"seed": seed, **read_json(folder / "eval" / "summary.json"), "episodes": columns})
    return results


def by_start(trainings: list[dict[str, Any]]) -> np.ndarray:
    """Share of successes of each training and start [s, c]."""
    rows, met = [], sorted(set(trainings[0]["episodes"]["start"]))
    for training in trainings:
        starts, ends = (np.array(training["episodes"][name]) for name in ("start", "success"))
        assert sorted(set(starts)) == met, "all trainings are judged by the same starts"
        rows.append([ends[starts == start].mean() for start in met])
    return np.array(rows)


def success(shares: np.ndarray) -> Estimate:
    """Over trainings and starts; an episode that begins like another says nothing new."""
    return grouped_share(shares, shares.size)


def run(*command: Any) -> None:
    """One of the toolkit's commands, shown before it runs."""
    words = [str(word) for word in command]
    print("$ python", *words, flush=True)
    subprocess.run([sys.executable, "-W", "ignore", *words], check=True, cwd=ROOT)


def _words(flags: Mapping[str, Any]) -> list[Any]:
    values = {flag: value if isinstance(value, tuple) else (value,) for flag, value in flags.items()}
    return [word for flag, of_flag in values.items() for word in (flag, *(v for v in of_flag if v is not None))]
