"""The page of speeds says what its numbers say."""

import pytest

from benchmarks.speed import RESULTS, page, targets
from robolearn.config import read_json

PARTS = read_json(RESULTS)


def test_the_page_shows_the_tables_of_the_numbers():
    shown = RESULTS.with_suffix(".md").read_text().splitlines()
    assert [line for line in page(PARTS) if line and line not in shown] == []


def test_every_part_names_a_commit_without_changes():
    for part in PARTS.values():
        assert part["command"].startswith("python -m benchmarks.")
        assert "dirty" not in part["commit"]


@pytest.mark.parametrize(
    ("steps", "verdict"), [([1.1, 1.15, 1.19], "shown"), ([1.1, 1.2, 1.3], "not shown"), ([2.0, 2.1, 2.2], "missed")]
)
def test_a_verdict_is_that_of_the_interval(steps, verdict):
    products = {"cases": {"flow/mlp, float32": {"seconds": {"step": steps * 5, "products": [1.0] * 15}}}}
    assert targets(PARTS | {"products": products})[2].endswith(f"| {verdict} |")
