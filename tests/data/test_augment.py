"""Augmentation: a function of its draws, alike for all images of a window, the identity at zero."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.data.augment import COLOR, SHIFT, augment, augment_draws, recolor, turn_hue
from robolearn.data.view import View


def images(b=3, o=2, h=6, w=5, c=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (b, o, h, w, c), generator=generator, dtype=torch.uint8)


@settings(max_examples=60)
@given(
    b=st.integers(1, 3),
    o=st.integers(1, 3),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    c=st.sampled_from([1, 3, 4]),
    data=st.data(),
)
def test_shift_matches_the_naive_reference(b, o, h, w, c, data):
    batch = images(b, o, h, w, c)
    shift = [data.draw(st.tuples(st.integers(-4, 4), st.integers(-4, 4))) for _ in range(b)]
    shifted = View().apply(batch, torch.tensor(shift))
    assert shifted.dtype == torch.uint8
    for i, (down, right) in enumerate(shift):
        for y in range(h):
            for x in range(w):
                source = batch[i, :, min(max(y - down, 0), h - 1), min(max(x - right, 0), w - 1)]
                assert torch.equal(shifted[i, :, y, x], source)


def test_shift_leaves_rows_that_are_not_contiguous_right():
    batch = images(4)[::2]
    shift = torch.tensor([[1, 0], [0, -1]])
    assert torch.equal(View().apply(batch, shift), View().apply(batch.contiguous(), shift))


def test_zero_is_the_identity():
    batch = images()
    assert torch.equal(View().apply(batch, torch.zeros(3, 2, dtype=torch.int64)), batch)
    assert torch.equal(recolor(batch, torch.zeros(3, 6)), batch)


@pytest.mark.parametrize(
    ("amount", "before", "after"),
    [
        ([0.1, 0.0, 0.0, 0.0, 0.0], [100, 100, 100], [126, 126, 126]),  # brightness: a tenth of the range
        ([0.0, 0.5, 0.0, 0.0, 0.0], [100, 200, 127], [86, 236, 127]),  # contrast: away from 127.5
        ([0.0, 0.0, 0.2, 0.0, -0.2], [100, 100, 100], [120, 100, 80]),  # gain of each channel
        ([0.5, 0.0, 0.0, 0.0, 0.0], [200, 10, 128], [255, 138, 255]),  # saturates
        ([-0.5, 0.0, 0.0, 0.0, 0.0], [200, 10, 128], [72, 0, 0]),
    ],
)
def test_colors(amount, before, after):
    changed = recolor(torch.tensor(before, dtype=torch.uint8).view(1, 1, 1, 1, 3), torch.tensor([amount]))
    assert changed.dtype == torch.uint8
    torch.testing.assert_close(changed.flatten(), torch.tensor(after, dtype=torch.uint8), atol=1, rtol=0)


THIRD = 2 * math.pi / 3


@pytest.mark.parametrize(
    ("angle", "before", "after"),
    [
        (THIRD, [200, 50, 20], [20, 200, 50]),  # red becomes green
        (-THIRD, [200, 50, 20], [50, 20, 200]),  # and blue the other way
        (1.0, [70, 70, 70], [70, 70, 70]),  # a gray has no hue
        (math.pi, [90, 60, 60], [50, 80, 80]),  # half a turn mirrors a color at its gray
        (math.pi, [255, 255, 0], [85, 85, 255]),  # what there is no light for saturates
    ],
)
def test_hues(angle, before, after):
    changed = turn_hue(torch.tensor(before, dtype=torch.uint8).expand(1, 2, 3, 1, 3), torch.tensor([angle]))
    assert changed.dtype == torch.uint8
    torch.testing.assert_close(changed.flatten(0, 3), torch.tensor([after] * 6, dtype=torch.uint8), atol=1, rtol=0)


def test_a_window_turns_its_hues_by_a_draw_of_its_own():
    same, draws = images(b=1, c=3).expand(3, -1, -1, -1, -1), draw(seed=3)
    turned = augment({"a": same}, ("a",), draws, 0.0, hue=0.5)["a"]
    angles = math.pi * draws[COLOR][:, 0, -1]
    assert torch.equal(turned, turn_hue(augment({"a": same}, ("a",), draws, 0.0)["a"], angles))
    assert angles.unique().numel() == 3


def draw(batch=3, cameras=2, shift=4, seed=0):
    return augment_draws(batch, cameras, shift, generator=torch.Generator().manual_seed(seed))


def test_draws_have_the_batch_first_and_stay_in_range():
    draws = draw(batch=500)
    assert draws[SHIFT].shape == (500, 2, 2)
    assert draws[SHIFT].unique().tolist() == list(range(-4, 5))
    assert draws[COLOR].shape[:2] == (500, 2)
    assert (draws[COLOR].abs() <= 1).all()
    assert draws[COLOR].min() < -0.99
    assert draws[COLOR].max() > 0.99
    assert draw(cameras=0) == {}


def test_a_function_of_its_draws():
    obs = {"front": images(), "state": torch.randn(3, 2, 4), "wrist": images(seed=1)}
    cameras = ("front", "wrist")
    first, again, other = (augment(obs, cameras, draw(seed=seed), 0.3) for seed in (0, 0, 1))
    assert list(first) == list(obs)
    assert first["state"] is obs["state"]
    for key in cameras:
        assert first[key].dtype == torch.uint8
        assert torch.equal(first[key], again[key])
        assert not torch.equal(first[key], other[key])
        assert not torch.equal(first[key], obs[key])


def test_all_images_of_a_window_change_alike_and_windows_and_cameras_by_themselves():
    same = images(b=1, o=1).expand(3, 2, 6, 5, 3)
    changed = augment({"a": same, "b": same}, ("a", "b"), draw(seed=3), 0.3)
    for key in ("a", "b"):
        assert torch.equal(changed[key][:, 0], changed[key][:, 1])
        assert len(torch.unique(changed[key][:, 0].flatten(1), dim=0)) == 3
    assert not torch.equal(changed["a"], changed["b"])
    shifted = augment({"a": same, "b": same}, ("a", "b"), draw(seed=3), 0.0)
    assert not torch.equal(shifted["a"], shifted["b"])


def test_a_shard_of_the_draws_changes_its_shard_of_the_batch():
    """What several processes rest on."""
    obs, draws = {"a": images(b=4)}, draw(batch=4, cameras=1)
    whole = augment(obs, ("a",), draws, 0.2)["a"]
    part = augment({"a": obs["a"][2:]}, ("a",), {k: v[2:] for k, v in draws.items()}, 0.2)["a"]
    assert torch.equal(whole[2:], part)
