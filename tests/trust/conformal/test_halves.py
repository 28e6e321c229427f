"""Halves hold each episode once, and no half has starts of its own."""

import numpy as np
import pytest

from robolearn.trust.conformal.halves import drawn_halves


@pytest.mark.parametrize("count", [0, 1, 2, 7, 60])
def test_each_number_is_in_one_half(count):
    first, second = drawn_halves(count)
    assert sorted([*first, *second]) == list(range(count))
    assert len(first) - len(second) == count % 2
    assert (first, second) == (sorted(first), sorted(second)) == drawn_halves(count)


@pytest.mark.parametrize("period", [2, 3, 5, 20])
def test_starts_that_cycle_are_in_both_halves(period):
    """About as often in either: of 200 episodes each start is in the first half within 4.5 standard deviations."""
    first, _ = drawn_halves(200)
    counts, share = np.bincount(np.array(first) % period, minlength=period), 100 / period
    assert np.abs(counts - share).max() < 4.5 * np.sqrt(share / 2)
