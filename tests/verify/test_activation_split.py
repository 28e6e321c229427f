"""Chosen slopes and multipliers stay sound, and branch and bound over activations decides what it should."""

import pytest
import torch
from torch import nn

from robolearn.verify.crown import lower_bound, relax
from robolearn.verify.graph import Affine
from robolearn.verify.lowering import lower
from robolearn.verify.property import Box, Case, Halfspaces
from robolearn.verify.search.relu_split import ActivationSearch, knotted, search_activations
from robolearn.verify.slopes import optimized_bound

INPUTS, WIDTH = 20, 32


def network(activation=nn.ReLU, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(INPUTS, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, 2)]
    return nn.Sequential(*layers).requires_grad_(False)


def box(radius, seed=0):
    center = torch.rand(1, INPUTS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return center - radius, center + radius


def points(low, high, count=4000):
    share = torch.rand(count, INPUTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    share[: count // 2] = (share[: count // 2] > 0.5).double()
    return low + share * (high - low)


def descended(graph, low, high):
    """The least first output that gradient steps reach."""
    x = points(low, high, 200)
    for _ in range(100):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(graph(x)[:, 0].sum(), x)
        x = (x.detach() - 0.05 * (high - low) * gradient.sign()).clamp(low, high)
    return float(graph(x)[:, 0].min())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.Hardtanh])
def test_optimized_bounds_hold_and_are_tighter(activation):
    graph = lower(network(activation), torch.zeros(1, INPUTS), "exact")
    low, high = box(1.0)
    relaxed, eye = relax(graph, low, high), torch.eye(2, dtype=torch.float64)
    plain = lower_bound(relaxed, len(graph.nodes) - 1, eye).least
    bound, _ = optimized_bound(relaxed, eye)
    x = points(low, high)
    y = graph(x)
    assert (bound.least <= y).all()
    assert (x @ bound.slope[0].T + bound.offset <= y).all()
    assert (bound.least >= plain - 1e-12).all()
    assert (bound.least > plain + 1e-4).any()


def test_multipliers_gain_where_sides_are_known_and_hold_there():
    graph = lower(network(), torch.zeros(1, INPUTS), "exact")
    low, high = box(0.2)
    relaxed, eye = relax(graph, low, high), torch.eye(2, dtype=torch.float64)
    (source, *_) = knotted(graph).values()
    assert isinstance(graph.nodes[source], Affine)
    least, most = relaxed.bounds[source]
    number = int(torch.minimum(-least, most)[0].argmax())
    plain, _ = optimized_bound(relaxed, eye)
    x = points(low, high, 20_000)
    values, y = graph.values(x)[source][:, number], graph(x)
    for side in (1.0, -1.0):
        sides = {source: torch.zeros_like(least)}
        sides[source][0, number] = side
        bound, _ = optimized_bound(relaxed, eye, sides=sides)
        assert (bound.least <= y[side * values >= 0]).all()
        known = {source: (least.clone(), most.clone())}
        known[source][0 if side > 0 else 1][0, number] = 0.0
        half, _ = optimized_bound(relax(graph, low, high, known=known), eye, sides=sides)
        assert (half.least <= y[side * values >= 0]).all()
        assert (half.least > plain.least + 1e-5).any()


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_of_the_minimum_are_decided(seed):
    graph = lower(network(seed=seed), torch.zeros(1, INPUTS), "exact")
    low, high = box(0.05, seed)
    minimum = descended(graph, low, high)
    seen = []

    def asked(limit):
        return Case(Box(low[0], high[0]), (Halfspaces(torch.tensor([[1.0, 0.0]]), torch.tensor([-limit])),))

    proof = search_activations(graph, asked(minimum - 0.003), lambda x: None, seconds=30.0)
    assert (proof.answer, proof.bound > 0) == ("unsat", True)
    assert proof.boxes > 1, "the plain bound decides it already"
    search_activations(graph, asked(minimum + 0.003), lambda x: seen.append(x), seconds=0.5)
    assert any(len(x) for x in seen), "a violation is offered to be replayed"


def test_a_part_that_contradicts_itself_is_done_with():
    graph = lower(network(), torch.zeros(1, INPUTS), "exact")
    low, high = box(0.01)
    (source, *_) = knotted(graph).values()
    least, most = relax(graph, low, high).bounds[source]
    above = int(least[0].argmax())
    assert least[0, above] > 0
    known = {source: (least, torch.where(torch.arange(WIDTH) == above, -0.01, most))}
    assert relax(graph, low, high, known=known).empty.all()
    assert not relax(graph, low, high).empty.any()


def test_what_is_cut_is_covered():
    graph = lower(network(), torch.zeros(1, INPUTS), "exact")
    low, high = box(0.2)
    case = Case(Box(low[0], high[0]), (Halfspaces(torch.tensor([[1.0, 0.0]]), torch.tensor([-1e3])),))
    search = ActivationSearch(graph, case, lambda x: None)
    parts = search.parts
    for _ in range(4):
        parts, bound = search.bound(parts)
        parts = search.cut(parts, bound)
    x = points(low, high)
    values = search.rows.graph.values(x)
    inside = torch.zeros(len(x), dtype=torch.bool)
    for i in range(len(parts)):
        sides = [side[i] * values[node] >= 0 for node, side in parts.sides.items()]
        inside |= torch.cat(sides, 1).all(1)
    assert inside.all()
    assert len(parts) == 16


def test_a_multiplier_finds_the_least_value_of_a_side():
    """Of x + relu(x) / 2 over [-1, 1]: 0 where x is not negative, -1 where it is not positive."""
    graph = lower(lambda x: x + (1 * x).relu() / 2, torch.zeros(1, 1), "exact")
    relaxed = relax(graph, -torch.ones(1, 1), torch.ones(1, 1))
    (source, *_) = knotted(graph).values()
    for side, least in ((1.0, 0.0), (-1.0, -1.0)):
        sides = {source: torch.full((1, 1), side, dtype=torch.float64)}
        bound, _ = optimized_bound(relaxed, torch.ones(1, 1, dtype=torch.float64), sides=sides)
        assert least - 0.05 < float(bound.least) <= least
