"""The published comparison is what the raw numbers in the repository give, and today's table of rows reads them."""

import itertools
import json
from pathlib import Path

import pytest

from robolearn.bench.comparison import KEPT, OUT
from robolearn.bench.gather import MANY_STEPS, gather
from robolearn.bench.kept import read_kept
from robolearn.bench.rows import ROWS, TASKS
from robolearn.bench.table import write_page
from robolearn.config import finite, to_json, write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kept():
    return read_kept(ROOT / KEPT)


@pytest.mark.long
def test_page_and_numbers_are_made_of_the_raw_numbers(tmp_path, kept):
    groups = gather(TASKS, ROWS, tmp_path / "no runs", kept)
    numbers, page = ((ROOT / OUT).with_suffix(ending).read_text() for ending in (".json", ".md"))
    write_json(tmp_path / "numbers.json", finite(to_json(groups, {})), compact=True)
    assert (tmp_path / "numbers.json").read_text() == numbers
    assert write_page(groups, f"{OUT.name}.png") == page


def test_where_costs_are_kept_compute_favors_no_row_with_one_evaluation(kept):
    """Such a row has at most 3 % more than the reference, and those that it is judged beside have no less."""
    published = json.loads((ROOT / OUT).with_suffix(".json").read_text())  # which is made of the raw numbers, see above
    compared = 0
    for entry in itertools.chain.from_iterable(group["entries"] for group in published):
        if f"{entry['task']}/{entry['row']}/cost.json" in kept:
            least = 0.97 if entry["settings"][entry["chosen"]]["nfe"] >= MANY_STEPS else 0.0
            assert least < entry["relative_compute"] < 1.03, f"{entry['task']} {entry['row']}"
            compared += 1
    assert compared
