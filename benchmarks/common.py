"""What the measurements share: their options, the file of their numbers, policies without data, times taken in turn."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from robolearn import seeds
from robolearn.bench.kept import read_kept, write_kept
from robolearn.config import read_json, to_json, write_json
from robolearn.data.normalizer import Normalizer
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import BackboneConfig, FamilyConfig
from robolearn.report.facts import command_facts
from robolearn.stats.bootstrap import Draws
from robolearn.stats.differences import paired_ratio
from robolearn.stats.value import Estimate

ACTION, OBS_HORIZON, ACTION_HORIZON = 2, 2, 16
CPU = torch.device("cpu")
PACKED, DRY_RUN = ".xz", "--dry-run"


def options(doc: str | None, **out: Any) -> argparse.ArgumentParser:
    """Those that every measurement has: --dry-run, and --out FILE, of which more can be said."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for all numbers", **out)
    parser.add_argument(DRY_RUN, action="store_true", help="tiny sizes, to see that everything runs")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options that were given. Below --work a dry run has a folder of its own, so that nothing goes on with it."""
    args = parser.parse_args()
    if args.dry_run:
        args.work /= "dry"
    return args


def keep(out: Path | None, results: Mapping[str, Any], *, compact: bool = False) -> None:
    """Write numbers with how and where they were measured, if they are wanted; compact where they are many."""
    if out:
        facts = command_facts("cpu")
        write_json(out, {**results, **facts}, compact=compact)


def kept_parts(out: Path | None) -> dict[str, Any]:
    """Part -> what a file of several holds of it, packed where its name ends in .xz; nothing where there is none."""
    if out is None or not out.exists():
        return {}
    return dict(read_kept(out)) if out.suffix == PACKED else read_json(out)


def keep_part(out: Path | None, part: str, results: Mapping[str, Any]) -> None:
    """Write a part of a file that several measurements write to, each with its own command and commit, also at once.

    Raises:
        UserError: It would take the place of results, and is of a dry run.
    """
    if out:
        write, dry = write_kept if out.suffix == PACKED else write_json, DRY_RUN in sys.argv
        facts: dict[str, Any] = {**command_facts("cpu"), **({"dry_run": True} if dry else {})}
        with FileLock(out.with_name(f"{out.name}.lock")):
            there = kept_parts(out)
            if dry and part in there and not is_dry(there[part]):
                raise UserError(f"{out} holds results; give a dry run another --out")
            write(out, {**there, part: to_json({**results, **facts}, {})})


def is_dry(kept: Mapping[str, Any]) -> bool:
    """Whether a part is of a dry run."""
    return kept.get("dry_run", False)


def counts(kept: Mapping[str, Any]) -> bool:
    """Whether a part is of a dry run just where this is one."""
    return is_dry(kept) == (DRY_RUN in sys.argv)


def is_kept_of(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a part is of what is asked for, and not of a dry run where this is none."""
    return counts(kept) and all(kept.get(key) == value for key, value in asked.items())


def part(
    out: Path | None, name: str, make: Callable[[], Mapping[str, Any]], asked: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A part of a file: as it was kept, if that was for the same; else made, and kept at once.

    What a dry run left is for dry runs alone.

    Args:
        out: The file, if any.
        name: Of the part.
        make: Measures it.
        asked: What was asked for, which stands in the part too: with other seeds it is another one.
    """
    facts: dict[str, Any] = to_json(asked or {}, {})
    there = kept_parts(out).get(name)
    if there is not None and is_kept_of(there, facts):
        return there
    made = {**facts, **make()}
    keep_part(out, name, made)
    return made


def untrained_policy(
    family: FamilyConfig, backbone: BackboneConfig | None = None, *, state: int = 4, seed: int = seeds.FIXED
) -> Policy:
    """A policy with random weights, on the default MLP if nothing else is said."""
    torch.manual_seed(seed)
    shapes = {"state": (state,)}
    cfg = PolicyConfig(family, backbone or MLPConfig(), shapes, ACTION, OBS_HORIZON, ACTION_HORIZON)
    return Policy(cfg, Normalizer({**shapes, "action": (ACTION,)}))


def make_windows(state: int = 4, *, episodes: int = 50, length: int = 100, device: torch.device = CPU) -> Windows:
    """Random demonstrations."""
    generator = torch.Generator().manual_seed(seeds.FIXED)
    obs = torch.rand(episodes * length, state, generator=generator) * 2 - 1
    actions = torch.rand(episodes * length, ACTION, generator=generator) * 2 - 1
    ends = list(range(length, episodes * length + 1, length))
    return Windows({"state": obs}, actions, ends, OBS_HORIZON, ACTION_HORIZON, device=device)


def spaced_frames(store: DemoStore, keys: Sequence[str], episodes: int, each: int) -> dict[str, np.ndarray]:
    """Key -> rows [episodes * each, ...] at equal distances of the first episodes of a store."""
    frames: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    for index in range(episodes):
        episode = store.episode(index)
        some = np.linspace(0, len(episode) - 1, each).astype(int)
        for key in keys:
            frames[key].append(episode.obs[key][some])
    return {key: np.concatenate(rows) for key, rows in frames.items()}


def in_turn(
    cases: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    calls: int = 1,
    clock: Callable[[], float] = time.process_time,
    prepare: Callable[[str], object] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of a call of each case in each round, so that a busy machine slows all alike.

    Args:
        cases: What is timed.
        rounds: After one call of each to warm up.
        calls: Of each in a round.
        clock: CPU time, or time.perf_counter.
        prepare: Called with a case's name before its round, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            prepare(name)
            started = clock()
            for _ in range(calls if number else 1):
                case()
            if number:
                seconds[name].append((clock() - started) / calls)
    return seconds


def children_seconds() -> float:
    """CPU time of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ratio(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Median of first / second, of what took turns round by round, with an interval over the rounds."""
    return paired_ratio(np.array(first), np.array(second), Draws.resample(len(first), 1)).estimate
