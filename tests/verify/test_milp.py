"""The exact program: against dense grids, and never above what a point reaches."""

import math

import pytest
import torch
from torch import nn

from robolearn.errors import UserError
from robolearn.verify.lowering import lower
from robolearn.verify.property import Box, Halfspaces
from robolearn.verify.search.milp import least_margin


class Absolute(nn.Module):
    def forward(self, x):
        return x.abs()


ACTIVATIONS = {
    "relu": nn.ReLU(),
    "leaky relu": nn.LeakyReLU(0.2),
    "clip": nn.Hardtanh(-0.3, 0.4),
    "absolute": Absolute(),
}


def network(activation, *, inputs=1, width=6, outputs=2, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(inputs, width), activation, nn.Linear(width, width), activation, nn.Linear(width, outputs)]
    return nn.Sequential(*layers).double().requires_grad_(False)


def graph_of(net, inputs=1):
    return lower(net, torch.zeros(inputs, dtype=torch.float64), "exact")


def cube(inputs=1):
    return Box(-torch.ones(inputs), torch.ones(inputs))


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_the_least_margin_is_that_of_a_dense_grid(activation):
    net = network(activation, seed=1)
    unsafe = Halfspaces(torch.tensor([[1.0, -0.5], [-1.0, 0.3]]), torch.tensor([0.1, -0.2]))
    best = least_margin(graph_of(net), cube(), unsafe)
    grid = torch.linspace(-1, 1, 40001, dtype=torch.float64)[:, None]
    margins = unsafe.margin(net(grid))
    steepest = float(margins.diff().abs().max())
    assert best.is_solved
    assert float(margins.min()) - steepest <= best.value <= float(margins.min()) + 1e-6
    assert best.bound == pytest.approx(best.value, abs=1e-6)
    assert float(unsafe.margin(net(best.x))) == pytest.approx(best.value, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_wider_box_is_below(seed):
    net = network(nn.ReLU(), inputs=4, width=8, outputs=3, seed=seed)
    unsafe = Halfspaces(torch.tensor([[1.0, -1.0, 0.0]]), torch.zeros(1))
    best = least_margin(graph_of(net, 4), cube(4), unsafe)
    points = 2 * torch.rand(20000, 4, dtype=torch.float64) - 1
    assert best.is_solved
    assert best.value <= float(unsafe.margin(net(points)).min())
    assert float(unsafe.margin(net(best.x))) == pytest.approx(best.value, abs=1e-6)
    assert cube(4).contains(best.x)


def test_a_box_of_one_point_has_one_margin():
    net = network(nn.ReLU(), inputs=2)
    point = torch.tensor([0.3, -0.4], dtype=torch.float64)
    unsafe = Halfspaces(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
    best = least_margin(graph_of(net, 2), Box(point, point), unsafe)
    assert best.value == pytest.approx(float(net(point)[0]), abs=1e-7)


def test_what_the_time_does_not_allow_is_said():
    unsafe = Halfspaces(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
    best = least_margin(graph_of(network(nn.ReLU(), inputs=6, width=40), 6), cube(6), unsafe, seconds=0.0)
    assert not best.is_solved
    assert best.bound < best.value or best.value == math.inf


def test_other_functions_are_refused():
    unsafe = Halfspaces(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
    with pytest.raises(UserError, match="functions of straight pieces, and not Tanh"):
        least_margin(graph_of(network(nn.Tanh())), cube(), unsafe)
    with pytest.raises(UserError, match="without a half-space"):
        least_margin(graph_of(network(nn.ReLU())), cube(), Halfspaces(torch.zeros(0, 2), torch.zeros(0)))
