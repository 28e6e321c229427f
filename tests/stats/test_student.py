"""Student's interval of few numbers."""

import math

import numpy as np
import pytest

from robolearn.stats.student import student_mean


def test_three_numbers():
    mean = student_mean(np.array([0.7, 0.8, 0.9]))
    assert (mean.value, mean.n) == (pytest.approx(0.8), 3)
    assert (mean.low, mean.high) == pytest.approx((0.8 - 4.3027 * 0.1 / 3**0.5, 0.8 + 4.3027 * 0.1 / 3**0.5), abs=1e-5)


def test_one_number_shows_no_spread():
    mean = student_mean(np.array([2.0]))
    assert (mean.value, mean.low, mean.high) == (2.0, -math.inf, math.inf)


def test_it_holds_the_mean_as_often_as_it_says():
    """95 %, of 4,000 draws of three; a wrong verdict of this test has a probability of 1e-4."""
    rng = np.random.default_rng(0)
    held = sum(mean.low <= 0 <= mean.high for mean in map(student_mean, rng.standard_normal((4_000, 3))))
    assert abs(held / 4_000 - 0.95) < 0.0135
