"""Intervals hold what networks make of their points."""

import pytest
import torch

from robolearn.nets.backbone import Shapes
from robolearn.nets.interval import SILU_LEAST, Interval
from robolearn.nets.mlp import MLPConfig


@pytest.mark.parametrize("activation", ["silu", "relu", "tanh"])
@pytest.mark.parametrize("radius", [0.0, 0.01, 0.5])
def test_chunks_lie_in_their_interval(activation, radius):
    """Of 2,000 points with corners among them; one point alone is itself."""
    torch.manual_seed(0)
    net = MLPConfig(width=16, depth=2, activation=activation, plain=True).build(Shapes(3, 2, 4, 2, 5, 0))
    cond, generator = torch.randn(3, 2, 5), torch.Generator().manual_seed(1)
    interval = net.interval(Interval(cond, torch.full_like(cond, radius)))
    for i in range(3):
        by = torch.rand(2000, 2, 5, generator=generator) * 2 - 1
        by[:500] = by[:500].sign()
        chunks = net(torch.zeros(2000, 4, 3), cond[i] + radius * by)
        assert ((chunks - interval.center[i]).abs() <= interval.radius[i] + 1e-5).all()
        reached = (chunks - interval.center[i]).abs().amax(0)
        assert (reached > 0.005 * interval.radius[i] - 1e-5).all()  # loose, but not without a bound
    assert (interval.radius.max() < 1e-5) == (radius == 0)


def test_the_least_value_of_silu_is_in_its_interval():
    bounds = Interval(torch.tensor([SILU_LEAST]), torch.tensor([1.0])).activated(torch.nn.SiLU())
    assert (bounds.center - bounds.radius).item() == pytest.approx(torch.nn.functional.silu(torch.tensor(SILU_LEAST)))
