"""Random streams of an episode: they depend on the seed and the episode alone."""

from __future__ import annotations

import numpy as np


def episode_stream(seed: int, episode: int, stream: int = 0) -> int:
    """Seed of one of an episode's streams; those of different numbers are independent."""
    key = (seed, episode) if stream == 0 else (seed, episode, stream)
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
