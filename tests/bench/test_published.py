"""The published comparison is what the raw numbers in the repository give, and today's table of rows reads them."""

from pathlib import Path

from robolearn.bench.comparison import KEPT, OUT
from robolearn.bench.gather import MANY_STEPS, gather
from robolearn.bench.kept import read_kept
from robolearn.bench.results import write_results
from robolearn.bench.rows import ROWS, TASKS

ROOT = Path(__file__).parents[2]


def test_page_and_numbers_are_made_of_the_raw_numbers(tmp_path):
    write_results(tmp_path / OUT.name, TASKS, ROWS, tmp_path / "no runs", read_kept(ROOT / KEPT))
    for ending in (".md", ".json"):
        assert (tmp_path / OUT.name).with_suffix(ending).read_text() == (ROOT / OUT).with_suffix(ending).read_text()


def test_where_costs_are_kept_compute_favors_no_row_with_one_evaluation(tmp_path):
    """Such a row has at most 3 % more than the reference, and those that it is judged beside have no less."""
    kept = read_kept(ROOT / KEPT)
    for group in gather(TASKS, ROWS, tmp_path, kept):
        for entry in group.entries:
            if f"{entry.task}/{entry.row}/cost.json" in kept:
                least = 0.97 if entry.best.nfe >= MANY_STEPS else 0.9
                assert least < entry.relative_compute < 1.03, f"{entry.task} {entry.row}"
