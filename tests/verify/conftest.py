"""Where the outside networks are: shared data that is not in the repository, and what is known of it."""

import csv
import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "verification"


@pytest.fixture
def outside():
    """The folder of outside networks and properties."""
    if not SHARED.is_dir():
        pytest.skip(f"no outside networks in {SHARED}")
    return SHARED


@pytest.fixture
def instances(outside):
    """(network, property, answer, seconds) of a benchmark."""

    def read(benchmark):
        with (outside / benchmark / "instances.csv").open() as file:
            return [
                (
                    outside / benchmark / "onnx" / row["network"],
                    outside / benchmark / "vnnlib" / row["property"],
                    row["answer"],
                    float(row["timeout_s"]),
                )
                for row in csv.DictReader(file)
            ]

    return read
