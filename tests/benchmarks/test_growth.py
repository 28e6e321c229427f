"""Costs are compared with the cheapest of all smaller sizes."""

from benchmarks.growth.points import growths, table_of


def point(*seconds):
    return {"per_item_s": list(seconds), "start_s": [0.5], "peak_bytes": [2.0**20]}


POINTS = {"100": point(4.0, 4.0, 4.0), "1000": point(1.0, 1.0, 1.0), "10000": point(2.0, 2.2, 2.1)}


def test_growth_is_over_the_cheapest_before_and_not_over_the_first():
    assert growths(POINTS)[0] is None
    assert [f"{growth:.2f}" for growth in growths(POINTS)[1:]] == ["0.25 [0.25, 0.25]", "2.10 [2.00, 2.20]"]


def test_a_row_tells_medians():
    rows = table_of({"data": POINTS})
    assert rows[-1] == "| steps of demonstrations | 10,000 | window | 2,100,000 | 2.10 [2.00, 2.20] | 0.50 | 1 |"
