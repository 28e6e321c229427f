"""Images of others: where the channels are and what white is, told by shape, type and range, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.images import ImageLayout

BYTES, FLOATS = np.dtype(np.uint8), np.dtype(np.float32)


@given(st.integers(5, 9), st.integers(5, 9), st.sampled_from([1, 3, 4]), st.booleans(), st.sampled_from([1, 255]))
def test_every_layout_gives_the_same_image(height, width, channels, first, white):
    image = np.random.default_rng(height).integers(0, 256, (2, height, width, channels), np.uint8)
    other = (image * (white / 255)).astype(np.float32)
    other = np.moveaxis(other, -1, -3) if first else other
    for wanted in (None, image.shape[1:]):
        layout = ImageLayout.recognize(other.shape[1:], FLOATS, 0.0, float(white), wanted)
        np.testing.assert_array_equal(layout.convert(other), image)
    plain = ImageLayout.recognize(image.shape[1:], BYTES, 0.0, 255.0)
    assert plain.is_plain
    assert plain.convert(image) is image


@pytest.mark.parametrize(
    ("shape", "dtype", "low", "high", "wanted", "said"),
    [
        ((3, 9, 3), BYTES, 0, 255, None, "either end may be the channels"),
        ((9, 9, 9), BYTES, 0, 255, None, "neither end"),
        ((9, 9), BYTES, 0, 255, None, "three axes"),
        ((9, 8, 3), FLOATS, -1, 1, None, "is float32 from -1 to 1; an image is 0 .. 255, or 0 .. 1 as floats"),
        ((9, 8, 3), FLOATS, -np.inf, np.inf, None, "from -inf to inf"),
        ((9, 8, 3), np.dtype(np.uint16), 0, 65535, None, "is uint16"),
        ((9, 8, 3), BYTES, 0, 255, (8, 9, 3), r"has shape \(9, 8, 3\), expected is \(8, 9, 3\), or \(3, 8, 9\)"),
    ],
)
def test_what_does_not_tell_is_refused(shape, dtype, low, high, wanted, said):
    with pytest.raises(ValueError, match=said):
        ImageLayout.recognize(shape, dtype, float(low), float(high), wanted)


@pytest.mark.parametrize("pixel", [-0.1, 1.1, np.nan])
def test_a_pixel_outside_is_refused(pixel):
    with pytest.raises(ValueError, match=r"outside 0 \.\. 1"):
        ImageLayout(largest=1).convert(np.full((4, 4, 3), pixel, np.float32))
