"""What a network sees of an image: its middle, made smaller; exactly, and moved with what lies around it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robolearn.data.augment import augment, augment_draws
from robolearn.data.view import View, resize_images, shares


def images(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@given(before=st.integers(1, 90), share=st.floats(0.02, 1.0))
@settings(max_examples=60, deadline=None)
def test_shares_are_those_of_a_triangle(before, share):
    """Of twice the width of a new pixel; all of each new pixel is shared out, and nothing is lost in float32."""
    after = max(1, round(share * before))
    matrix = shares(before, after).double()
    assert (matrix.sum(1) == 1).all()
    scale = before / after
    position, center = np.arange(before) + 0.5, (np.arange(after) + 0.5)[:, None] * scale
    weight = np.clip(1 - np.abs(position - center) / scale, 0, None)
    np.testing.assert_allclose(matrix, weight / weight.sum(1, keepdims=True), atol=before / 2**16, rtol=0)
    assert ((matrix * 2**16) % 1 == 0).all()


@pytest.mark.parametrize(("size", "after"), [((48, 64), (13, 17)), ((40, 40), (20, 20)), ((30, 50), (30, 11))])
def test_images_are_those_of_pillow(size, after):
    """But for one step of 255, as the shares of Pillow are rounded to other fractions."""
    image = images(*size, 3)
    theirs = Image.fromarray(image.numpy()).resize(after[::-1], Image.Resampling.BILINEAR)
    ours = resize_images(image, after).numpy().astype(int)
    assert ours.shape == (*after, 3)
    assert np.abs(ours - np.asarray(theirs)).max() <= 1


def test_images_do_not_depend_on_the_order_of_sums():
    """Bit by bit the same in float64, alone or among others, and under autocast."""
    some = images(7, 100, 90, 3)
    whole = resize_images(some, (23, 31))
    down, across = shares(100, 23).double(), shares(90, 31).double()
    exact = torch.einsum("oh,nhwc->nowc", down, some.double()).round()
    exact = torch.einsum("pw,nowc->nopc", across, exact).round()
    assert torch.equal(whole.double(), exact)
    assert torch.equal(resize_images(some[3], (23, 31)), whole[3])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize_images(some, (23, 31)), whole)
    assert torch.equal(resize_images(torch.full((5, 5, 1), 255, dtype=torch.uint8), (2, 3)), torch.full((2, 3, 1), 255))


def test_the_middle_is_cropped_before_it_is_resized():
    image = images(2, 20, 31, 3)
    view = View((12, 20), (6, 5))
    assert view.seen((20, 31, 3)) == (6, 5, 3)
    assert torch.equal(view.apply(image), resize_images(image[:, 4:16, 5:25], (6, 5)))
    assert torch.equal(view.apply(view.apply(image)), view.apply(image))  # what is seen already stays
    assert torch.equal(View(crop=(12, 20)).apply(image), image[:, 4:16, 5:25])


def test_moved_images_show_what_lies_around_the_middle():
    """A shift counts pixels of what is seen: each of them is two of what was recorded here."""
    image, view = images(1, 1, 24, 24, 3), View((16, 16), (8, 8))
    down, right = torch.tensor([[1, 0]]), torch.tensor([[0, -2]])
    assert torch.equal(view.apply(image, down)[0, 0], resize_images(image[0, 0, 2:18, 4:20], (8, 8)))
    assert torch.equal(view.apply(image, right)[0, 0], resize_images(image[0, 0, 4:20, 8:24], (8, 8)))
    far = view.apply(image, torch.tensor([[3, 0]]))[0, 0]  # by six of the four rows that there are
    rows = torch.arange(-2, 14).clamp(min=0)
    assert torch.equal(far, resize_images(image[0, 0, rows][:, 4:20], (8, 8)))


def test_without_a_shift_training_sees_what_acting_sees():
    view, obs = View((16, 20), (8, 10)), {"camera": images(3, 2, 24, 24, 3)}
    draws = augment_draws(3, 1, 0, generator=torch.Generator().manual_seed(0))
    seen = augment(obs, ("camera",), draws, 0.0, view)["camera"]
    assert seen.dtype == torch.uint8
    assert torch.equal(seen, view.apply(obs["camera"]))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(crop=(25, 10)), "`vision.crop` 25 x 10: the images are 24 x 32"),
        (View(resize=(10, 33)), "`vision.resize` 10 x 33: the images are 24 x 32; images are made smaller only"),
        (View((20, 20), (24, 20)), "`vision.resize` 24 x 20: `vision.crop` is 20 x 20"),
    ],
)
def test_nonsense_is_refused(view, message):
    with pytest.raises(ValueError, match=message):
        view.seen((24, 32, 3))
