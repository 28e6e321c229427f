import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.stats.differences import paired_difference


@given(st.integers(0, 100), st.integers(1, 3), st.integers(2, 6))
def test_difference_is_antisymmetric_and_pairs(seed, num_seeds, num_groups):
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, num_seeds, num_groups))
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.value == pytest.approx(one.mean() - other.mean())
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=0.05)
    shifted = paired_difference(one, one - 0.125)  # what both share cancels altogether
    assert (shifted.low, shifted.high) == pytest.approx((0.125, 0.125))
