"""Normalizer: exact inverse, and nothing blows up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robolearn.data.normalizer import Normalizer

ROWS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32),
)
MODES = st.sampled_from(["minmax", "zscore"])


@settings(max_examples=100)
@given(rows=ROWS, mode=MODES, shift=st.floats(-3, 3))
def test_the_inverse_is_exact_to_rounding(rows, mode, shift):
    normalizer = Normalizer.fit({"x": rows}, mode)
    x = torch.from_numpy(rows) + shift
    y = normalizer.normalize("x", x)
    assert torch.isfinite(y).all()
    size = x.abs().amax() + normalizer.get_buffer("x_centre").abs().amax()
    assert (normalizer.unnormalize("x", y) - x).abs().amax() <= 4 * torch.finfo(torch.float32).eps * size


@settings(max_examples=100)
@given(rows=ROWS)
def test_minmax_puts_the_data_into_the_unit_box(rows):
    y = Normalizer.fit({"x": rows}).normalize("x", torch.from_numpy(rows))
    assert y.abs().max() <= 1 + 1e-3


def test_minmax_fills_the_unit_box():
    rows = torch.tensor([[0.0, -3.0], [1.0, 5.0], [0.5, 1.0]])
    y = Normalizer.fit({"x": rows}).normalize("x", rows)
    assert y.tolist() == [[-1, -1], [1, 1], [0, 0]]


def test_zscore():
    rows = np.random.default_rng(0).normal((3, -50), (0.1, 20), (5000, 2))
    y = Normalizer.fit({"x": rows}, "zscore").normalize("x", torch.from_numpy(rows))
    torch.testing.assert_close(y.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["minmax", "zscore"])
@pytest.mark.parametrize(
    ("column", "near_constant"),
    [
        ([5.0, 5.0], True),
        ([0.0, 0.0], True),
        ([100.0, 100.005], True),  # 5e-5 of its magnitude
        ([100.0, 100.02], False),
        ([0.0, 5e-7], True),
        ([0.0, 2e-6], False),
    ],
)
def test_near_constant_rule(column, near_constant, mode):
    normalizer = Normalizer.fit({"x": np.array(column, np.float64)[:, None]}, mode)
    scale = normalizer.get_buffer("x_scale").item()
    assert (scale == 1) == near_constant
    if near_constant:
        off = torch.tensor([[column[0] + 0.1]])
        assert normalizer.normalize("x", off).abs().item() < 0.11


def test_images_are_left_out():
    arrays = {"img": np.full((3, 2, 2, 3), 7, np.uint8), "state": np.eye(3)}
    fitted, empty = Normalizer.fit(arrays), Normalizer({"img": (2, 2, 3), "state": (3,)})
    assert fitted.keys == empty.keys == ("state",)
    assert set(fitted.state_dict()) == set(empty.state_dict()) == {"state_centre", "state_scale"}


def test_mode_per_key():
    rows = np.array([[0.0], [0.0], [3.0]])
    normalizer = Normalizer.fit({"a": rows, "b": rows}, {"a": "minmax", "b": "zscore"})
    assert normalizer.get_buffer("a_centre").item() == 1.5
    assert normalizer.get_buffer("b_centre").item() == 1.0


def test_travels_in_the_state_dict():
    rows = np.random.default_rng(0).normal(size=(9, 4))
    fitted = Normalizer.fit({"state": rows, "action": rows[:, :2]})
    loaded = Normalizer({"state": (4,), "action": (2,)})
    loaded.load_state_dict(fitted.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(loaded.normalize("state", x), fitted.normalize("state", x))
    assert list(fitted.parameters()) == []


def test_errors():
    with pytest.raises(ValueError, match="key 'x': the rows hold NaN"):
        Normalizer.fit({"x": np.array([[1.0], [np.nan]])})
    with pytest.raises(ValueError, match="key 'x': no rows"):
        Normalizer.fit({"x": np.ones((0, 2))})
    with pytest.raises(ValueError, match=r"no key 'y' \(there are: x\)"):
        Normalizer.fit({"x": np.ones((3, 2))}).normalize("y", torch.ones(2))
