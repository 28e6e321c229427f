"""Images of another size."""

import numpy as np
import pytest

from robolearn.formats.images import resize


def test_bytes_are_averaged():
    image = np.zeros((2, 4, 6, 3), np.uint8)
    image[:, :, 3:] = 200
    assert resize(image, (4, 6)) is image
    assert resize(image, None) is image
    np.testing.assert_allclose(resize(image / 255.0, (2, 3)), resize(image, (2, 3)) / 255.0, atol=0.005)
    small = resize(image, (2, 3))
    assert small.shape == (2, 2, 3, 3)
    assert small.dtype == np.uint8
    assert (small[:, :, 0] < 40).all()
    assert (small[:, :, 2] > 160).all()
    stripes = np.tile(np.array([0, 200], np.uint8), 32)[None, None, :, None] * np.ones((1, 64, 1, 1), np.uint8)
    assert np.abs(resize(stripes, (8, 8))[0, 2:6, 2:6].astype(int) - 100).max() < 25


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_depth_takes_the_nearest_pixel(dtype):
    depth = np.where(np.arange(8) < 4, 300, 900).astype(dtype)[None, None, :, None] * np.ones((1, 8, 1, 1), dtype)
    small = resize(depth, (3, 3))
    assert small.dtype == dtype
    assert set(np.unique(small)) == {300, 900}
    np.testing.assert_array_equal(resize(depth, (16, 16))[:, ::2, ::2], depth)
