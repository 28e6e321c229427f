"""Idle beginnings are left out, late actions brought forward, episodes dropped, outliers kept from taking the range."""

import numpy as np
import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.data.timing import advance, find_idle
from robolearn.data.windows import Windows
from robolearn.nets.encoder import StateEncoder


def test_idle_beginnings_end_where_something_moves():
    moving = np.cumsum(np.random.default_rng(0).normal(size=(90, 2)), axis=0)
    moving[:12] = moving[12]  # 12 steps that change nothing lead to row 12
    moving[30:33] = moving[33]
    assert find_idle([moving], np.array([30, 60, 90])).tolist() == [12, 3, 0]


def test_of_a_single_step_all_is_idle():
    assert find_idle([np.ones((1, 2))], np.array([1])).tolist() == [1]


def test_windows_leave_idle_steps_out():
    rows = torch.arange(10.0)[:, None]
    windows = Windows({"state": rows}, rows, [6, 10], 2, 2, idle=np.array([2, 99]))
    batch = windows.batch(torch.arange(len(windows)))
    assert batch.obs["state"][:, :, 0].tolist() == [[2, 2], [2, 3], [3, 4], [4, 5], [9, 9]]
    assert windows.arrays()["state"][:, 0].tolist() == [2, 3, 4, 5, 9]
    assert len(windows.for_episodes([0])) == 4


@pytest.mark.parametrize("steps", [0, 1, 3, 9])
def test_late_actions_come_forward_within_their_episode(steps):
    rows, ends = np.arange(10), np.array([4, 10])
    expected = [min(i + steps, 3) for i in range(4)] + [min(i + steps, 9) for i in range(4, 10)]
    assert advance(rows, ends, steps).tolist() == expected


def test_quantiles_keep_outliers_from_taking_the_range():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(-1, 1, 2000), np.arange(2000) % 500 == 0, np.full(2000, 3.0)], 1)
    rows[[7, 900], 0] = 5000
    normalizer = Normalizer.fit({"x": rows}, "quantile")
    scaled = normalizer.normalize("x", torch.from_numpy(rows).float())
    usual = scaled[:, 0].sort().values[:-2]
    assert 0.97 < usual[-1] < 1.05
    assert -1.05 < usual[0] < -0.97
    assert sorted(set(scaled[:, 1].tolist())) == [-1, 1]  # a flag that is rarely up
    assert set(scaled[:, 2].tolist()) == {0}
    torch.testing.assert_close(
        normalizer.unnormalize("x", scaled), torch.from_numpy(rows).float(), rtol=1e-4, atol=1e-4
    )


def test_both_signs_of_a_quaternion_are_the_same_input():
    encoder = StateEncoder({"state": (6,)}, {"state": (0,)}, {"state": (2,)})
    assert encoder.cond_dim == 2 + 1 + 6
    obs = torch.randn(5, 1, 6, generator=torch.Generator().manual_seed(0))
    other = obs.clone()
    other[..., 2:] *= -1
    first, second = (encoder({"state": one}, {"state": one}) for one in (obs, other))
    torch.testing.assert_close(first, second)
    columns = first[..., 3:].unflatten(-1, (2, 3))
    torch.testing.assert_close(columns @ columns.mT, torch.eye(2).expand(5, 1, 2, 2), atol=1e-5, rtol=0)


def test_quaternions_and_angles_do_not_overlap():
    with pytest.raises(ValueError, match="overlap"):
        StateEncoder({"state": (6,)}, {"state": (3,)}, {"state": (2,)})
    with pytest.raises(ValueError, match="quaternion state"):
        StateEncoder({"state": (6,)}, {}, {"state": (3,)})
