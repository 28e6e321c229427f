"""Which frames are drawn together, over any episodes."""

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from robolearn.data.windows import Windows
from robolearn.nets.vision import VisionConfig
from robolearn.representation.frames import Frames
from robolearn.representation.method import Pairs


def frames(lengths, episodes=None):
    """Frames whose pixels say of which episode they are, and of which step."""
    episodes = range(len(lengths)) if episodes is None else episodes
    camera = torch.zeros(sum(lengths), 2, 2, 3, dtype=torch.uint8)
    camera[..., 0] = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))[:, None, None]
    camera[..., 1] = torch.cat([torch.arange(length) for length in lengths])[:, None, None]
    windows = Windows({"camera": camera}, torch.zeros(len(camera), 1), np.cumsum(lengths), 1, 1, list(episodes))
    return Frames(windows)


def places(drawn, index):
    """Episode and step of each frame."""
    pixels = drawn.images(index)["camera"][:, 0, 0].long()
    return pixels[:, 0], pixels[:, 1]


@hypothesis.given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 10), st.integers(0, 5), st.randoms()
)
@hypothesis.settings(max_examples=30)
def test_partners_are_near_and_of_the_same_episode(lengths, apart, seed, random):
    episodes = sorted(random.sample(range(len(lengths)), random.randint(1, len(lengths))))
    drawn = frames(lengths, episodes)
    pairs = Pairs(apart, random.choice([None, 1, 3, 20]))
    index = drawn.draw(15, pairs, torch.Generator().manual_seed(seed))
    episode, step = (value.unflatten(0, (15, 2)) for value in places(drawn, index))
    distance = (step[:, 0] - step[:, 1]).abs()
    assert torch.equal(episode[:, 0], episode[:, 1])
    assert set(episode[:, 0].tolist()) <= set(episodes)
    assert (distance <= apart).all()
    has_others = torch.tensor(lengths)[episode[:, 0]] > 1
    assert (distance[has_others] > 0).all() or not apart
    assert len(episode[:, 0].unique()) <= (pairs.episodes or 15)
    left_out = drawn.left_out(index, pairs)
    shown = list(zip(*places(drawn, index), strict=True))
    naive = [[abs(s - t) <= apart if e == f else bool(pairs.episodes) for f, t in shown] for e, s in shown]
    assert torch.equal(left_out, torch.tensor(naive))


def test_every_partner_is_as_likely():
    """Six of them, 6000 draws: 5 standard deviations are 145."""
    drawn = frames([4, 20, 4])
    index = drawn.draw(60_000, Pairs(3), torch.Generator().manual_seed(0)).unflatten(0, (-1, 2))
    offsets = (index[:, 1] - index[:, 0])[index[:, 0] == 14]
    counts = torch.stack([(offsets == k).sum() for k in (-3, -2, -1, 1, 2, 3)])
    assert counts.sum() == len(offsets)
    assert (counts - len(offsets) / 6).abs().max() < 5 * (len(offsets) / 6) ** 0.5


def test_every_frame_is_as_likely_in_pairs():
    """Of 2000 batches from two episodes of three; 5 standard deviations of a frame's count are about 0.15 of it."""
    drawn, generator = frames([3, 6, 11]), torch.Generator().manual_seed(0)
    counts = sum(drawn.draw(4, Pairs(2, 2), generator)[::2].bincount(minlength=20) for _ in range(2000))
    assert (counts / 400 - 1).abs().max() < 0.25


def test_one_view_is_every_frame_as_likely():
    index = frames([3, 5]).draw(8000, None, torch.Generator().manual_seed(0))
    assert index.bincount(minlength=8).min() > 800
    assert len(index.bincount()) == 8


@pytest.mark.parametrize("shift", [0, 1])
def test_frames_vary_as_a_policys_do(shift):
    drawn, index = frames([6]), torch.arange(6)
    vision, generator = VisionConfig(shift=shift, jitter=0.0), torch.Generator().manual_seed(0)
    same = torch.equal(drawn.varied(index, vision, generator)["camera"], drawn.images(index)["camera"])
    assert same  # a plain image looks the same wherever it is moved
    varied = drawn.varied(index, VisionConfig(shift=shift, jitter=0.5), generator)["camera"]
    assert not torch.equal(varied, drawn.images(index)["camera"])
