"""A number with its interval: what it shows, and how it reads."""

import math

import pytest

from robolearn.stats.value import Estimate


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 0.3, "shown"),
        (-0.01, 0.3, "shown"),
        (-0.02, 0.3, "not shown"),
        (-0.3, -0.01, "not shown"),
        (-0.3, -0.02, "missed"),
        (-math.inf, math.inf, "not shown"),
    ],
)
def test_the_ends_of_an_interval_decide(low, high, expected):
    """Whatever its middle says: half of these have it on the other side of the margin."""
    for value in (low, high):
        assert Estimate(value, low, high, 1).outcome(least=-0.01) == expected
        assert Estimate(-value, -high, -low, 1).outcome(most=0.01) == expected


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (-0.3, 0.0)])
def test_an_interval_that_touches_a_strict_target_shows_nothing(low, high):
    assert Estimate(0.1, low, high, 1).outcome(least=0.0, strict=True) == "not shown"
    assert Estimate(0.1, low + 0.01, high + 0.01, 1).outcome(least=0.0, strict=True) == (
        "shown" if low == 0 else "not shown"
    )
    assert Estimate(0.1, low - 0.31, high - 0.31, 1).outcome(least=0.0, strict=True) == "missed"


def test_how_it_reads():
    assert f"{Estimate(0.94, 0.9171, 0.963, 200):.3f}" == "0.940 [0.917, 0.963]"
    assert f"{Estimate(0.02, -0.1, 0.3, 5):+.2f}" == "+0.02 [-0.10, +0.30]"
    assert f"{Estimate(0.5, -math.inf, math.inf, 1):.1f}" == "0.5 [no interval]"


def test_in_another_unit():
    assert Estimate(0.5, 0.25, 1.0, 7).in_units_of(0.5) == Estimate(1.0, 0.5, 2.0, 7)
