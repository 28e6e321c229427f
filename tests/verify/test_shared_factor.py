"""Factors that a layer shares, multiplied last: the same function, the same rounding, and tighter bounds."""

import pytest
import torch
from torch import nn

from benchmarks.verify.networks import Conditioned
from robolearn.verify.builder import Builder
from robolearn.verify.crown import linear_bounds, relax
from robolearn.verify.graph import Graph, Input, Product
from robolearn.verify.lowering import lower
from robolearn.verify.relaxations.convex import Square
from robolearn.verify.shared_factor import factors_last


class Normalized(nn.Module):
    """Rows of numbers that are normalized, then mixed within a row (as by a layer) or across rows (as by attention)."""

    def __init__(self, across):
        super().__init__()
        torch.manual_seed(2)
        self.across, self.norm = across, nn.LayerNorm(16)
        self.embed, self.out = nn.Linear(6, 32), nn.Linear(16, 8)
        self.mixing = torch.randn(2, 2)

    def forward(self, x):
        h = self.norm(self.embed(x).view(-1, 2, 16))
        return self.out(self.mixing @ h if self.across else h).relu().flatten(1)


NETWORKS = {
    "conditioned": Conditioned(6, 24, 0).requires_grad_(False),
    "rows": Normalized(across=False).requires_grad_(False),
    "across rows": Normalized(across=True).requires_grad_(False),
}


@pytest.fixture
def in_order(monkeypatch):
    """A network lowered in the order that it has."""

    def lowered(network, precision="exact"):
        with monkeypatch.context() as patch:
            patch.setattr("robolearn.verify.lowering.factors_last", lambda graph: graph)
            return lower(network, torch.zeros(1, 6), precision)

    return lowered


def points(count, radius=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(1, 6, generator=generator, dtype=torch.float64) - 0.5
    share = torch.rand(count, 6, generator=generator, dtype=torch.float64)
    share[: count // 2] = share[: count // 2].round()
    return center - radius, center + radius, center - radius + 2 * radius * share


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_is_the_same(name, in_order):
    graph = in_order(NETWORKS[name])
    _, _, x = points(200, radius=1.0)
    assert torch.allclose(factors_last(graph)(x), graph(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["conditioned", "rows"])
def test_bounds_of_what_is_normalized_are_tighter(name, in_order):
    graph = in_order(NETWORKS[name])
    low, high, _ = points(1)
    plain, last = (linear_bounds(one, low, high).bounds for one in (graph, factors_last(graph)))
    assert (last[1] - last[0]).mean() < 0.9 * (plain[1] - plain[0]).mean()


def test_what_mixes_several_factors_stays_as_it_is(in_order):
    graph = in_order(NETWORKS["across rows"])
    kinds = [[type(node) for node in one.nodes] for one in (graph, factors_last(graph))]
    assert kinds[0].count(Product) == kinds[1].count(Product) == 1
    graph = in_order(NETWORKS["rows"])
    assert sum(isinstance(node, Product) for node in factors_last(graph).nodes) == 2


@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_of_wide_boxes_are_never_wider_than_in_order(name, in_order):
    """Normalized numbers are at most sqrt(n), which is known of them in their own order alone."""
    graph = in_order(NETWORKS[name])
    low, high, _ = points(1, radius=30.0)
    plain, last = (relax(one, low, high).bounds[-1] for one in (graph, factors_last(graph)))
    assert (last[1] - last[0] <= (plain[1] - plain[0]) * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_float32_rounds_in_its_own_order_is_within_bounds(name):
    """Points alone, where bounds are nothing but rounding: in real numbers they would not hold."""
    network = NETWORKS[name]
    _, _, x = points(300, radius=2.0, seed=4)
    x = x.float().double()
    computed = network(x.float()).double()
    for precision, holds in (("float32", True), ("exact", False)):
        least, most = linear_bounds(lower(network, torch.zeros(1, 6), precision), x, x).bounds
        assert bool(((least <= computed) & (computed <= most)).all()) == holds


def test_the_rounding_of_the_products_is_an_error_of_what_reads_them():
    """An arithmetic so coarse that nothing else counts: both products are rounded, each by up to its unit."""
    unit, builder = 1e-3, Builder(1e-3)
    x = torch.ones(3, 8, dtype=torch.float64)
    graph = _scaled_twice(builder)
    least, most = linear_bounds(factors_last(graph), x, x).bounds
    assert ((most - least) / 2 >= 0.99 * 8 * (2 * unit)).all()


def _scaled_twice(builder: Builder) -> Graph:
    """sum_i (r x_i) x_i with r = x_0^2: two products in a row, rounded each; the rest is exact."""
    exact = Builder(0.0)
    exact.nodes = builder.nodes
    given = builder.add(Input(8, ()), (1, 8))
    factor = exact.elementwise(given.rows(torch.zeros(1, 1, dtype=torch.int64)), Square())
    scaled = builder.product(builder.product(given, factor), given)
    return exact.graph(exact.arithmetic.apply(scaled, lambda e: e.sum(-1)))
