import pytest
import torch

from robolearn.policies.anchor import Anchor


def fitted(cond, actions):
    anchor = Anchor(actions.shape[2])
    anchor.fit(cond, actions)
    return anchor


def data(n=2000, seed=0):
    """A place that the observation tells and a velocity, left or right, that it does not; four actions each."""
    generator = torch.Generator().manual_seed(seed)
    offset = torch.randn(n, generator=generator)
    velocity = torch.randint(2, (n,), generator=generator) * 2.0 - 1
    steps = torch.arange(4)
    actions = torch.stack([offset[:, None] + 0.01 * velocity[:, None] * steps, velocity[:, None].expand(-1, 4)], dim=2)
    return offset.view(n, 1, 1), actions


def test_places_are_subtracted_and_decisions_stay():
    cond, actions = data()
    anchor = fitted(cond, actions)
    assert anchor.share[0] == pytest.approx(1, abs=1e-4)
    assert anchor.share[1] < 0.01
    left = anchor(actions)
    assert left[:, 0, 0].abs().max() < 1e-3
    torch.testing.assert_close(left[:, :, 1], actions[:, :, 1], rtol=0.02, atol=0)


def test_the_share_is_that_of_the_variance():
    """Three quarters of the variance are told; 4 standard errors of a variance of 5,000 examples are 8 %."""
    generator = torch.Generator().manual_seed(1)
    told, rest = torch.randn(2, 10_000, generator=generator)
    anchor = fitted(told.view(-1, 1, 1), (3**0.5 * told + rest).view(-1, 1, 1))
    assert anchor.share.item() == pytest.approx(0.75, abs=0.03)


def test_many_features_of_few_examples_explain_nothing():
    """As many features as examples in the half that is fitted: judged by the same half they would explain all."""
    generator = torch.Generator().manual_seed(2)
    anchor = fitted(torch.randn(100, 1, 50, generator=generator), torch.randn(100, 4, 1, generator=generator))
    assert anchor.share.item() == 0


def test_features_that_depend_on_each_other_and_numbers_that_never_change():
    cond, actions = data()
    actions[:, :, 1] = 0.5
    anchor = fitted(cond.expand(-1, 2, 3), actions)
    assert anchor.share[0] == pytest.approx(1, abs=1e-4)
    assert anchor(actions).isfinite().all()
