"""Bounds of whole networks: nothing that a network does in a box is outside, and they are as tight as they say."""

from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from robolearn.errors import UserError
from robolearn.verify.crown import intervals, linear_bounds, lower_bound, relax
from robolearn.verify.graph import Affine, Graph, Input
from robolearn.verify.lowering import lower

ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.Hardtanh()]


def perceptron(activation, sizes=(4, 32, 32, 3), seed=0):
    torch.manual_seed(seed)
    layers = [layer for n, m in pairwise(sizes) for layer in (nn.Linear(n, m), activation)]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


class Mixed(nn.Module):
    """All that a policy is made of: residuals, layer normalization, FiLM, softmax, sine and cosine, products."""

    def __init__(self):
        super().__init__()
        self.embed, self.film, self.up, self.out = (
            nn.Linear(6, 16),
            nn.Linear(16, 32),
            nn.Linear(16, 16),
            nn.Linear(16, 3),
        )
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        c = self.embed(torch.cat([x[:, :2], x[:, 2:].sin(), x[:, 2:].cos()], 1))
        scale, shift = self.film(nn.functional.silu(c)).chunk(2, -1)
        h = c + self.up(torch.addcmul(self.norm(c) + shift, self.norm(c), scale).exp().clamp(max=3))
        return (
            self.out(h).softmax(1) * torch.tensor([1.0, -2, 3])
            + h.view(-1, 4, 4).transpose(1, 2).reshape(-1, 16)[:, :3]
        )


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Linear(16, 2)

    def forward(self, x):
        h = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 2, padding=1)
        return self.out(nn.functional.avg_pool2d(h, 2, ceil_mode=False).flatten(1)[:, :16].repeat(1, 4)[:, :16])


torch.manual_seed(1)
NETWORKS = {
    **{type(a).__name__: (perceptron(a), torch.zeros(1, 4)) for a in ACTIVATIONS},
    "Mixed": (Mixed().requires_grad_(False), torch.zeros(1, 4)),
    "Convolutional": (Convolutional().requires_grad_(False), torch.zeros(1, 2, 4, 4)),
}


def samples(lower_edge, upper_edge, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(count, lower_edge.shape[1], generator=generator, dtype=torch.float64)
    share[: count // 4] = (share[: count // 4] > 0.5).double()  # corners
    return lower_edge + share * (upper_edge - lower_edge)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["exact", "float32"])
@pytest.mark.parametrize("radius", [0.0, 0.01, 0.3, 3.0])
def test_no_value_of_any_node_is_outside(name, precision, radius):
    network, example = NETWORKS[name]
    graph = lower(network, example, precision)
    center = samples(torch.full((1, example.numel()), -1.0).double(), torch.ones(1, example.numel()).double(), 3, 5)
    for one in center:
        low, high = one[None] - radius, one[None] + radius
        x = samples(low, high, 400).clamp(low, high)
        bounds = relax(graph, low, high).bounds
        for (least, most), values in zip(bounds, graph.values(x), strict=True):
            assert (least <= values).all()
            assert (values <= most).all()
        if precision == "float32":
            single = x.float().clamp(low.float(), high.float())
            inside = ((single >= low) & (single <= high)).all(1)
            outputs = network(single[inside].view(-1, *example.shape[1:])).double()
            assert (bounds[-1][0] <= outputs.flatten(1)).all()
            assert (outputs.flatten(1) <= bounds[-1][1]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_computes_what_the_network_does(name):
    network, example = NETWORKS[name]
    graph = lower(network, example, "exact")
    x = samples(torch.full((1, example.numel()), -1.0).double(), torch.ones(1, example.numel()).double(), 50)
    expected = network.double()(x.view(-1, *example.shape[1:])).flatten(1)
    network.float()
    assert torch.allclose(graph(x), expected, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_linear_bounds_hold_and_are_tighter_than_intervals(name):
    network, example = NETWORKS[name]
    graph = lower(network, example, "exact")
    low = torch.full((2, example.numel()), -0.1).double()
    low[1] += 0.5
    enclosure = linear_bounds(graph, low, low + 0.1)
    least, most = enclosure.bounds
    for i in range(2):
        x = samples(low[i : i + 1], low[i : i + 1] + 0.1, 400)
        y = graph(x)
        slope = enclosure.lower.slope[i if len(enclosure.lower.slope) > 1 else 0]
        assert (x @ slope.T + enclosure.lower.offset[i] <= y).all()
        slope = enclosure.upper.slope[i if len(enclosure.upper.slope) > 1 else 0]
        assert (y <= -(x @ slope.T + enclosure.upper.offset[i])).all()
    plain_least, plain_most = intervals(graph, low, low + 0.1)[-1]
    assert ((most - least) < (plain_most - plain_least)).double().mean() >= 0.9


def test_a_box_without_extent_has_bounds_as_near_as_rounding():
    graph = lower(perceptron(nn.Tanh()), torch.zeros(1, 4), "exact")
    x = torch.full((1, 4), 0.3, dtype=torch.float64)
    least, most = linear_bounds(graph, x, x).bounds
    assert ((most - least) < 1e-10).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=100)
def test_bounds_of_sums_hold_in_real_numbers(seed):
    """Without slack the rounded least value of a linear function is above the true one in half of the cases."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(1, 12, generator=generator, dtype=torch.float64)
    bias = torch.randn(1, generator=generator, dtype=torch.float64)
    zeros = (torch.zeros_like(weight),), torch.zeros(1, dtype=torch.float64)
    graph = Graph((Input(12, ()), Affine(1, (0,), (weight,), bias, *zeros)))
    low = torch.randn(1, 12, generator=generator, dtype=torch.float64)
    high = low + torch.rand(1, 12, generator=generator, dtype=torch.float64)
    corner = torch.where(weight > 0, low, high)[0]
    pairs = zip(weight[0].tolist(), corner.tolist(), strict=True)
    exact = sum((Fraction(w) * Fraction(x) for w, x in pairs), Fraction(bias.item()))
    for least in (linear_bounds(graph, low, high).bounds[0], intervals(graph, low, high)[-1][0]):
        assert Fraction(least.item()) <= exact
        assert float(exact) - least.item() < 1e-11


def test_what_is_infinite_proves_nothing():
    network = nn.Sequential(nn.Linear(1, 1)).requires_grad_(False)
    graph = lower(lambda x: (10_000 * network(x)).exp(), torch.zeros(1, 1), "exact")
    low = torch.tensor([[-5.0]]).double()
    _, most = linear_bounds(graph, low, low + 10).bounds
    assert not (most < 1e300).any()


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda x: x.sort().values, "aten.sort"),
        (lambda x: 1 / x, "reciprocal"),
        (lambda x: x / x.sum(), "divides by what depends on its input"),
        (lambda x: x.pow(3), "power 3"),
        (lambda x: torch.zeros(2), "does not depend on its input"),
        (lambda x: x.repeat(1, 5000).relu(), "20000 numbers"),
        (lambda x: nn.functional.gelu(x, approximate="tanh"), "approximated by tanh"),
    ],
)
def test_what_has_no_bounds_is_named(function, line):
    with pytest.raises(UserError, match=line):
        lower(function, torch.ones(1, 4))


def test_the_last_step_keeps_slack_of_its_own():
    """Where no layer rounds, as none is there, the box itself does."""
    slope = torch.tensor([[[1.0, 0.1, 1e-3]]], dtype=torch.float64)
    missed = 0
    for seed in range(200):
        low = torch.randn(1, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        high = low + torch.rand(1, 3, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
        relaxed = relax(Graph((Input(3, ()),)), low, high)
        least = lower_bound(relaxed, 0, slope).least.item()
        exact = sum(Fraction(s) * Fraction(x) for s, x in zip(slope[0, 0].tolist(), low[0].tolist(), strict=True))
        missed += Fraction(least) > exact
    assert missed == 0


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_float32_hold_for_what_float32_computes(seed):
    """The bounds of a point are as wide as float32 may round; in real numbers they would not hold."""
    network = perceptron(nn.ReLU(), (64, 64, 64, 3), seed)
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(seed)) * 3
    computed = network(x).double()
    for precision, holds in (("float32", True), ("exact", False)):
        least, most = linear_bounds(lower(network, torch.zeros(1, 64), precision), x.double(), x.double()).bounds
        assert bool(((least <= computed) & (computed <= most)).all()) == holds
