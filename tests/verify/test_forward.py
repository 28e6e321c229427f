"""Bounds from the input on hold every value, and are tighter than intervals where boxes are small."""

import pytest
import torch
from torch import nn

from robolearn.nets.backbone import FiLM, modulate
from robolearn.verify.crown import intervals, relax
from robolearn.verify.forward import box_form, forward, parallel
from robolearn.verify.lowering import lower


class Residual(nn.Module):
    """h + W2 s(W1 h), modulated where asked for."""

    def __init__(self, activation, modulated):
        super().__init__()
        self.put, self.up, self.down = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.activation, self.film = activation, FiLM(8, 8) if modulated else None
        if self.film is not None:
            nn.init.normal_(self.film.linear.weight, std=0.3)

    def forward(self, x):
        h = self.put(x)
        y = self.up(self.activation(h))
        if self.film is not None:
            y = modulate(y, self.film(h))
        return self.down(h + self.activation(y))


class Largest(nn.Module):
    """Has a node of another kind."""

    def __init__(self):
        super().__init__()
        self.put, self.out = nn.Linear(3, 8), nn.Linear(4, 5)

    def forward(self, x):
        return self.out(nn.functional.max_pool2d(self.put(x)[:, None, None], (1, 2)).flatten(1))


NETS = {
    "silu": lambda: Residual(nn.SiLU(), modulated=False),
    "relu": lambda: Residual(nn.ReLU(), modulated=False),
    "tanh": lambda: Residual(nn.Tanh(), modulated=True),
    "maxima": Largest,
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
def test_values_lie_in_their_bounds(name, radius):
    """Of 2,000 points in each of 20 boxes, corners among them; computed in float32, which the bounds are about."""
    torch.manual_seed(0)
    net = NETS[name]().requires_grad_(False)
    center, generator = torch.randn(20, 3, dtype=torch.float64), torch.Generator().manual_seed(1)
    by = 2 * torch.rand(2000, 1, 3, generator=generator, dtype=torch.float64) - 1
    by[:500] = by[:500].sign()
    points = (center + radius * by).float()
    low, high = points.double().amin(0), points.double().amax(0)
    graph = lower(net, torch.zeros(1, 3))
    relaxed = relax(graph, low, high)
    least, most = forward(parallel(relaxed), box_form(low, high)).within(relaxed.bounds[-1])
    values = net(points.flatten(0, 1)).double().unflatten(0, (2000, 20))
    assert (values >= least).all()
    assert (values <= most).all()
    apart, loose = most - least, intervals(graph, low, high)[-1]
    assert (apart <= loose[1] - loose[0] + 1e-12).all()
    if radius == 0.05 and name != "maxima":
        assert apart.mean() < 1.5 * (values.amax(0) - values.amin(0)).mean()
        assert apart.mean() < 0.5 * (loose[1] - loose[0]).mean()
