"""Knowing when not to trust, measured in closed loop: detection, bands, gates, safety sets and their cost.

    python -m benchmarks.safety [train|rollouts|detection|bands|misses|gates|fallbacks|dagger|tubes|sets|cost|page ...]

Without a part it does all of them, in this order. What is trained and rolled out stays under runs/safety, so that the
same command goes on where it was stopped; numbers go to docs/results/safety.json, and the page made of them to
docs/results/safety.md. About three hours on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.safety.common import CALIBRATION, EVALUATION, SEEDS, TASKS, episodes, train
from benchmarks.safety.cost import measure_cost
from benchmarks.safety.dagger import measure_dagger
from benchmarks.safety.detection import (
    NUM_BAND,
    NUM_CALIBRATION,
    NUM_EPISODES,
    measure_bands,
    measure_detection,
    measure_misses,
)
from benchmarks.safety.fallbacks import measure_fallbacks
from benchmarks.safety.gates import measure_gates
from benchmarks.safety.page import write_page
from benchmarks.safety.sets import measure_sets, measure_tubes
from robolearn.config import write_json
from robolearn.errors import user_errors
from robolearn.report.facts import machine_facts

OUT = Path("docs/results/safety")
MEASURES = {
    "detection": measure_detection,
    "bands": measure_bands,
    "misses": measure_misses,
    "gates": measure_gates,
    "fallbacks": measure_fallbacks,
    "dagger": measure_dagger,
    "tubes": measure_tubes,
    "sets": measure_sets,
    "cost": measure_cost,
}


def roll_out() -> None:
    """Everything that detection, bands and misses read."""
    for seed in SEEDS:
        for task, definition in TASKS.items():
            episodes(task, seed, "none", CALIBRATION, NUM_CALIBRATION)
            for shift in ("none", *definition.shifts):
                episodes(task, seed, shift, EVALUATION, NUM_EPISODES)
    for task in TASKS:
        episodes(task, 0, "none", EVALUATION, NUM_BAND)


def main() -> None:
    """Do the parts that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["train", "rollouts", *MEASURES, "page"]
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(names))
    parts = parser.parse_args().parts or names
    unknown = [part for part in parts if part not in names]
    if unknown:
        raise ValueError(f"part {unknown[0]!r} is unknown; choose from {', '.join(names)}")
    torch.set_num_threads(1)
    for part in parts:
        if part == "train":
            for task in TASKS:
                for seed in SEEDS:
                    train(task, seed)
        elif part == "rollouts":
            roll_out()
        elif part == "page":
            write_page(OUT, _read())
        else:
            measured = {"made": machine_facts("cpu"), **MEASURES[part]()}
            write_json(OUT.with_suffix(".json"), {**_read(), part: measured})


def _read() -> dict[str, Any]:
    path = OUT.with_suffix(".json")
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    with user_errors():
        main()
