"""How many planted faults the doctor finds in clean recordings, and how often it raises a false alarm.

Each trial takes 40 episodes of a clean set, plants one fault of random strength, and asks the check that is to find it:
it has to name the dimension or one of the episodes. A false alarm is a warning about a set, or about 40 episodes of it,
as it is; what is known of a set is none. Thresholds were chosen on trials of other seeds (TUNING).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep, options
from benchmarks.doctor.faults import FAULTS, is_found, rebuilt, spans
from benchmarks.tables import table
from robolearn.config import read_json
from robolearn.data.store import DemoStore
from robolearn.doctor.recording import Recording, columns_of
from robolearn.doctor.registry import check
from robolearn.formats.adroit import load_numpy_pickle
from robolearn.stats.proportions import wilson

TUNING = range(1000, 1010)
EPISODES = 40
KNOWN = {"pusht": ("wrapped angles",)}  # the block's angle wraps in the set as it was recorded
STEP = {"avoid": 0.05, "push": 0.05, "insert": 0.05, "pusht": 0.1, "door": 0.04, "g1": 1 / 30}  # [s]


def main() -> None:
    """Run the trials of the sets that are asked for; those of others that are in the file already stay there."""
    parser = options(__doc__)
    parser.add_argument("--datasets", type=Path, default=Path("datasets"), help="folder of avoid, push and insert.zarr")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the sets of others")
    parser.add_argument("--sets", nargs="+", default=list(STEP), choices=list(STEP), help="clean sets")
    parser.add_argument("--trials", type=int, default=20, help="of each fault in each set")
    given = parser.parse_args()
    seeds = range(1 if given.dry_run else given.trials)
    results = read_json(given.out)["sets"] if given.out and given.out.exists() else {}
    for name, whole in sets(given.datasets, given.shared, given.sets):
        hits = {fault: sum(trial(name, whole, fault, seed) for seed in seeds) for fault in FAULTS}
        results[name] = {"trials": len(seeds), "hits": hits, "alarms": false_alarms(name, whole, seeds)}
        print(name, results[name], flush=True)
        keep(given.out, {"tuning_seeds": list(TUNING), "sets": results})
    print("\n".join(page(results)))


def sets(datasets: Path, shared: Path, names: list[str]) -> Iterator[tuple[str, Recording]]:
    """The clean sets of these names that are there."""
    for name in ("avoid", "push", "insert"):
        if name in names and (datasets / f"{name}.zarr").exists():
            yield name, _of_store(datasets / f"{name}.zarr", 300)
    if "pusht" in names and (shared / "pusht").exists():
        yield "pusht", _of_store(shared / "pusht" / "pusht_cchi_v7_replay.zarr", 1000)
    door = shared / "adroit_door" / "door-v0_demos.pickle"
    if "door" in names and door.exists():
        demos = load_numpy_pickle(door.read_bytes())
        yield "door", _joined([(one["observations"], one["actions"]) for one in demos])
    files = sorted((shared / "lerobot" / "v21_g1" / "data").glob("*/*.parquet"))
    if "g1" in names and files:
        import pyarrow.parquet as pq

        tables = [pq.read_table(file, columns=["observation.state", "action"]) for file in files]
        pairs = [[np.stack(one[key].to_numpy()) for key in ("observation.state", "action")] for one in tables]
        yield "g1", _joined([(state, action) for state, action in pairs])


def _of_store(path: Path, most: int) -> Recording:
    store = DemoStore.open(path)
    ends = store.episode_ends[:most]
    return Recording(ends, {key: store.read(key)[: ends[-1]] for key in ("state", "action")})


def _joined(pairs: list[tuple[Any, Any]]) -> Recording:
    state, action = (np.concatenate(parts).astype(np.float32) for parts in zip(*pairs, strict=True))
    return Recording(np.cumsum([len(one) for one, _ in pairs]), {"state": state, "action": action})


def some(whole: Recording, rng: np.random.Generator) -> Recording:
    """Some of the episodes."""
    count = len(whole.ends)
    chosen = np.sort(rng.choice(count, min(EPISODES, count), replace=False))
    every = spans(whole)
    return rebuilt(whole, [every[i] for i in chosen])


def trial(name: str, whole: Recording, fault: str, seed: int) -> bool:
    """Plant a fault, and see whether it is found."""
    rng = np.random.default_rng([seed, zlib.crc32(fault.encode()), zlib.crc32(name.encode())])
    return is_found(FAULTS[fault], FAULTS[fault].plant(some(whole, rng), STEP[name], rng))


def false_alarms(name: str, whole: Recording, seeds: range) -> dict[str, Any]:
    """Warnings about the whole set, and how many there are on average about some episodes of it."""
    parts = [some(whole, np.random.default_rng([seed, zlib.crc32(name.encode())])) for seed in seeds]
    counts = [len(warnings_of(name, part)) for part in parts]
    return {"whole": warnings_of(name, whole), "mean_of_parts": float(np.mean(counts)), "most": max(counts)}


def warnings_of(name: str, recording: Recording) -> list[str]:
    """Names of the warnings that say what is not known."""
    recording.columns = [column for key, rows in recording.rows.items() for column in columns_of(key, rows)]
    checks = [finding.check for finding in check(recording) if finding.severity != "note"]
    return [one for one in checks if one not in KNOWN.get(name, ())]


def page(results: dict[str, Any]) -> list[str]:
    """Both tables."""
    rows = []
    for fault in FAULTS:
        hits = sum(one["hits"][fault] for one in results.values())
        n = sum(one["trials"] for one in results.values())
        lost = {name: one["trials"] - one["hits"][fault] for name, one in results.items()}
        missed = ", ".join(f"{count} of {name}" for name, count in lost.items() if count) or "none"
        rows.append([fault, f"{hits} of {n}", format(wilson(hits, n), ".3f"), missed])
    clean = []
    for name, one in results.items():
        alarms, parts = one["alarms"], f"{one['alarms']['mean_of_parts']:.2f} of {one['trials']}"
        clean.append([name, str(len(alarms["whole"])), ", ".join(alarms["whole"]) or "none", parts])
    return [
        *table(["planted fault", "found", "share with 95 % interval", "missed"], rows),
        "",
        *table(["clean set", "false alarms", "which", f"mean over parts of {EPISODES} episodes"], clean),
    ]


if __name__ == "__main__":
    main()
