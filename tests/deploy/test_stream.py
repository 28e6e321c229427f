"""The runtime's random numbers are those of torch, from the same seeds."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.deploy.runtime import Stream, episode_seed
from robolearn.rollout.streams import episode_stream


@settings(max_examples=60)
@given(seed=st.integers(0, 2**63 - 1), sizes=st.lists(st.integers(0, 70), min_size=1, max_size=5))
def test_draws_are_those_of_torch(seed, sizes):
    """One after the other: fewer than 16 come in pairs, of which one may wait for the next call."""
    stream, generator = Stream(seed), torch.Generator().manual_seed(seed)
    for size in sizes:
        expected = torch.randn(1, size, generator=generator).numpy()
        np.testing.assert_allclose(stream.normal((1, size)), expected, atol=1e-6)


def test_many_draws_stay_together():
    stream, generator = Stream(3), torch.Generator().manual_seed(3)
    for _ in range(50):  # beyond the twister's 624 words
        expected = torch.randn(2, 16, 3, generator=generator).numpy()
        np.testing.assert_allclose(stream.normal((2, 16, 3)), expected, atol=1e-6)


@given(seed=st.integers(0, 2**40), episode=st.integers(0, 2**20))
def test_an_episode_has_the_seed_of_an_evaluation(seed, episode):
    assert episode_seed(seed, episode) == episode_stream(seed, episode)
