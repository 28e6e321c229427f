"""Images of any axes, type and range become uint8 [h, w, c]: as declared, as measured, and as a robot gives them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robolearn.images import ImageLayout, ImageRange, axes_of, seen_shape

BYTE, FLOAT = np.dtype(np.uint8), np.dtype(np.float32)


@given(st.integers(5, 9), st.integers(5, 9), st.sampled_from([1, 3, 4]), st.booleans(), st.sampled_from([1, 255]))
def test_every_layout_gives_the_same_image(height, width, channels, first, white):
    image = np.random.default_rng(height).integers(0, 256, (2, height, width, channels), np.uint8)
    other = (image * (white / 255)).astype(np.float32)
    other = np.moveaxis(other, -1, -3) if first else other
    for wanted in (None, image.shape[1:]):
        layout = ImageLayout.recognize(other.shape[1:], FLOAT, 0.0, float(white), wanted)
        np.testing.assert_array_equal(layout.convert(other), image)
    plain = ImageLayout.recognize(image.shape[1:], BYTE, 0.0, 255.0)
    assert plain.is_plain
    assert plain.convert(image) is image


@pytest.mark.parametrize(
    ("shape", "dtype", "low", "high", "wanted", "said"),
    [
        ((3, 9, 3), BYTE, 0, 255, None, "either end may be the channels"),
        ((9, 9, 9), BYTE, 0, 255, None, "neither end"),
        ((9, 9), BYTE, 0, 255, None, "three axes"),
        ((9, 8, 3), FLOAT, -1, 1, None, "is float32 from -1 to 1; an image is 0 .. 255, or 0 .. 1 as floats"),
        ((9, 8, 3), FLOAT, -np.inf, np.inf, None, "from -inf to inf"),
        ((9, 8, 3), np.dtype(np.uint16), 0, 65535, None, "is uint16"),
        ((9, 8, 3), BYTE, 0, 255, (8, 9, 3), r"has shape \(9, 8, 3\), expected is \(8, 9, 3\), or \(3, 8, 9\)"),
    ],
)
def test_what_does_not_tell_is_refused(shape, dtype, low, high, wanted, said):
    with pytest.raises(ValueError, match=said):
        ImageLayout.recognize(shape, dtype, float(low), float(high), wanted)


@pytest.mark.parametrize("pixel", [-0.1, 1.1, np.nan])
def test_a_pixel_outside_is_refused(pixel):
    with pytest.raises(ValueError, match=r"outside 0 \.\. 1"):
        ImageLayout(high=1.0).convert(np.full((4, 4, 3), pixel, np.float32))


RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 9, 10, 3)).astype(np.uint8)


def measured(images):
    """The layout of images that come in two slabs."""
    image_range = ImageRange(seen_shape(images.shape[1:])[2], images.size)
    for slab in np.array_split(images, 2):
        image_range.add(slab)
    return image_range.layout(axes_of(images.shape[1:]))


RECORDED = {
    "bytes": BYTES,
    "whole floats": BYTES.astype(np.float32),
    "whole numbers": BYTES.astype(np.int64),
    "unit": BYTES / np.float32(255),
    "doubles": BYTES / 255,
    "halves": (BYTES / 255).astype(np.float16),
    "signed": BYTES / np.float32(127.5) - 1,
    "words": BYTES.astype(np.uint16) * 257,
    "overshooting": BYTES / 255 * 1.04 - 0.02,
}


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("name", RECORDED)
def test_colors_come_back(name, is_first):
    images = RECORDED[name]
    images = np.moveaxis(images, 3, 1) if is_first else images
    layout = measured(images)
    seen = layout.convert(images)
    assert (seen.dtype, seen.shape) == (np.uint8, BYTES.shape)
    assert np.abs(seen.astype(int) - BYTES).max() <= (6 if name == "overshooting" else 0)
    np.testing.assert_array_equal(seen[0] if layout.is_plain else layout.read(images[0], (9, 10, 3)), seen[0])
    np.testing.assert_array_equal(layout.read(seen[:2], (9, 10, 3)), seen[:2])


@pytest.mark.parametrize("shape", [(40, 50, 1), (1, 40, 50), (40, 50)])
@pytest.mark.parametrize(("dtype", "unit", "nothing"), [(np.float32, 1.0, 0.0), (np.uint16, 1000, 65535)])
def test_depth_keeps_its_order_where_it_was_measured(shape, dtype, unit, nothing):
    """Whatever the unit, and although some pixels measured nothing."""
    depth = np.linspace(0.4, 2.4, 4 * 2000).reshape(4, *shape)
    images = (depth * unit).astype(dtype)
    images.reshape(-1)[::7] = nothing
    layout = measured(images)
    assert (layout.low, layout.high) == (pytest.approx(0.4 * unit, rel=0.02), pytest.approx(2.4 * unit, rel=0.02))
    seen = layout.convert(images)
    kept = np.arange(8000) % 7 != 0
    assert seen.shape == (4, 40, 50, 1)
    assert (np.diff(seen.reshape(-1)[kept].astype(int)) >= 0).all()
    assert len(np.unique(seen)) == 256


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 9, 9, 3), 300, np.float32),
        np.full((2, 9, 9, 3), -3.0),
        np.full((2, 9, 9, 3), 70_000),
        np.full((2, 9, 9, 4), -1, np.int8),
    ],
)
def test_colors_of_no_range(images):
    assert measured(images) is None


def test_flags_and_black_are_what_they_are():
    assert measured(np.eye(9, dtype=bool)[None, ..., None]) == ImageLayout(high=1.0)
    assert measured(np.zeros((2, 9, 9, 3), np.uint8)) == ImageLayout()
    assert measured(np.full((2, 9, 9, 1), 0.75)) == ImageLayout("hwc", 0.75, 1.75, is_depth=True)


@settings(max_examples=60)
@given(
    images=hnp.arrays(
        np.float32, st.sampled_from([(3, 9, 8), (9, 8, 3), (33, 32)]), elements=st.floats(0, 255, width=32)
    )
)
def test_a_number_decides_its_pixel_alone(images):
    """In any order of the axes, each number is rounded by itself."""
    seen = ImageLayout(axes_of(images.shape)).convert(images)
    back = seen[..., 0] if images.ndim == 2 else np.moveaxis(seen, -1, 0) if images.shape[0] == 3 else seen
    np.testing.assert_array_equal(back, np.rint(images).astype(np.uint8))


@pytest.mark.parametrize("shape", [(5, 7, 2), (3, 7, 9), (31, 40), (4,), (1, 9, 3), (2, 9, 9, 3)])
def test_what_is_no_image(shape):
    assert seen_shape(shape) is None


@pytest.mark.parametrize(
    ("layout", "image", "message"),
    [
        (ImageLayout(), np.zeros((9, 8, 3)), r"type float64, expected \(9, 8, 3\) uint8, 0 .. 255$"),
        (ImageLayout("chw", 0.0, 1.0), np.zeros((3, 8, 9)), r"or \(3, 9, 8\) as recorded, channels first, 0 .. 1$"),
        (ImageLayout("hwc", 0.0, 1.0), np.full((9, 8, 3), 255.0), "pixels from 255 to 255 are outside 0 .. 1"),
        (ImageLayout("hwc", 0.2, 1.0, is_depth=True), np.full((9, 8, 1), np.nan), "pixels from nan to nan"),
    ],
)
def test_images_of_a_robot_that_are_neither(layout, image, message):
    with pytest.raises(ValueError, match=message):
        layout.read(image, (9, 8, image.shape[-1] if image.shape[-1] == 1 else 3))


@pytest.mark.parametrize("ends", [(1.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_ranges_that_are_none(ends):
    with pytest.raises(ValueError, match="expected finite numbers"):
        ImageLayout("hwc", *ends)
