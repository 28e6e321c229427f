"""Choosing the sample that members agree on."""

import torch

from robolearn.trust.scores.selection import most_agreed


def chunks(*members):
    """Chunks of one number per member, one observation."""
    return torch.tensor(members)[:, None, :, None, None]


def test_it_lies_in_the_largest_mode_of_the_others():
    first = [-1.0, 0.0, 1.0, 1.1]
    others = [[1.0, 1.05, 1.1, -1.0], [1.0, 0.95, 1.02, -0.9]]
    assert most_agreed(chunks(first, *others)).tolist() == [2]


def test_the_mean_of_two_modes_is_not_chosen():
    samples = [0.0, -1.0, -1.01, 1.0, 1.01, 0.99]
    assert abs(samples[most_agreed(chunks(samples, samples))[0]]) > 0.9


def test_one_member_is_judged_by_its_own_samples():
    assert most_agreed(chunks([5.0, 0.0, 0.1, 0.04, 0.05, 0.06])).tolist() == [4]
