"""Episodes whose every number follows from their index."""

import numpy as np

from robolearn.types import Episode


def make_episode(index, length=None):
    length = length or 3 + index % 5
    rng = np.random.default_rng(index)
    state = rng.standard_normal((length, 4)).astype(np.float32)
    image = rng.integers(0, 256, (length, 2, 2, 3)).astype(np.uint8)
    actions = rng.standard_normal((length, 2)).astype(np.float32)
    attrs = {"seed": index, "success": index % 2 == 0, "mode": -1, "score": index / 7}
    return Episode(obs={"state": state, "img": image}, actions=actions, attrs=attrs)


def assert_same(a, b):
    assert set(a.obs) == set(b.obs)
    for key in a.obs:
        assert a.obs[key].dtype == b.obs[key].dtype
        np.testing.assert_array_equal(a.obs[key], b.obs[key])
    np.testing.assert_array_equal(a.actions, b.actions)
    assert a.attrs == b.attrs
