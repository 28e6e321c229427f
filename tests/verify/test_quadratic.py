"""Bounds of second order hold every value, and are tighter than linear ones where something is curved."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

from robolearn.nets.mlp import Block
from robolearn.verify.claims.subject import Plain
from robolearn.verify.crown import linear_bounds, relax
from robolearn.verify.graph import Affine, Elementwise, Graph, Input, Product
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.quadratic import is_worthwhile, quadratic
from robolearn.verify.quadratic_form import quadratic_box
from robolearn.verify.relaxations.convex import Exponential, Reciprocal, ReciprocalRoot, Square
from robolearn.verify.relaxations.parabola import parabola
from robolearn.verify.relaxations.piecewise import Relu
from robolearn.verify.relaxations.smooth import Cosine, Gelu, Sigmoid, Silu, Sine, Tanh


class Conditioned(nn.Module):
    """Blocks of a policy: residuals, normalization, FiLM."""

    def __init__(self, numbers, width):
        super().__init__()
        self.put, self.out = nn.Linear(numbers, width), nn.Linear(width, 2)
        self.blocks = nn.ModuleList(Block(width, "silu", 0.0) for _ in range(2))
        for block in self.blocks:
            nn.init.normal_(block.film.linear.weight, std=0.2)

    def forward(self, x):
        h = c = self.put(x)
        for block in self.blocks:
            h = block(h, block.film(c))
        return self.out(h)


class Several(nn.Module):
    """Functions of many kinds, and a maximum."""

    def __init__(self):
        super().__init__()
        self.put, self.mixed, self.out = nn.Linear(3, 12), nn.Linear(12, 12), nn.Linear(18, 3)

    def forward(self, x):
        a, b, c, d = self.put(x).chunk(4, 1)
        parts = [a.tanh() * b, c.relu(), d.exp().clamp(max=9), a.sin() * c.cos() * d.sigmoid()]
        h = nn.functional.gelu(self.mixed(torch.cat(parts, 1)))
        most = nn.functional.max_pool2d(h[:, None, None], (1, 2)).flatten(1)
        return self.out(torch.cat([h, most], 1)).square()


torch.manual_seed(0)
NETS = {
    "conditioned": Conditioned(3, 16).requires_grad_(False),
    "several": Several().requires_grad_(False),
    "relu": nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).requires_grad_(False),
}


def inside(low, high, count=600):
    """Points in each of some boxes, corners among them, [count, b, n]."""
    by = 2 * torch.rand(count, 1, low.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1
    by[: count // 4] = by[: count // 4].sign()
    return ((low + high) / 2 + (high - low) / 2 * by).clamp(low, high)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("precision", ["exact", "float32"])
@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.05, 1.0])
def test_no_value_is_outside_and_no_bound_is_looser(name, precision, radius):
    """Of every node over boxes of which one has no width in one dimension; float32 as it computes, too."""
    net, center = NETS[name], torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    size = radius * torch.ones(6, 3, dtype=torch.float64)
    size[:2, 1] = 0
    low, high = (center - size).float().double(), (center + size).float().double()
    graph = lower(net, torch.zeros(1, 3), precision)
    relaxed = relax(graph, low, high)
    if not is_worthwhile(graph, low, high):
        assert name == "relu" or radius == 0
        return
    bounds, _ = quadratic(relaxed, quadratic_box(low, high))
    points = inside(low, high)
    for (least, most), known, values in zip(bounds, relaxed.bounds, graph.values(points.flatten(0, 1)), strict=True):
        value = values.expand(points.shape[0] * 6, -1).unflatten(0, points.shape[:2])
        assert ((least <= value) & (value <= most)).all()
        assert ((least >= known[0]) & (most <= known[1])).all()
    if precision == "float32":
        single = net(points.flatten(0, 1).float()).double().unflatten(0, points.shape[:2])
        assert ((bounds[-1][0] <= single) & (single <= bounds[-1][1])).all()


@pytest.mark.parametrize("precision", ["exact", "float32"])
def test_boxes_of_policies_are_bounded_tighter(precision):
    """Of what linear bounds are wider than what is seen, a quarter is left at most on average."""
    center = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    plain = Plain(Network(lambda x: NETS["conditioned"](x[None])[0], 3, 2), precision)
    chunks = plain.enclose(center - 0.05, center + 0.05)
    least, most = linear_bounds(plain.graph, center - 0.05, center + 0.05).bounds
    points = inside(center - 0.05, center + 0.05)
    seen = plain.graph(points.flatten(0, 1)).unflatten(0, points.shape[:2])
    seen = seen.amax(0) - seen.amin(0)
    apart = (chunks.upper - chunks.lower)[:, 0]
    assert (apart <= (most - least) * (1 + 1e-6)).all()
    assert ((apart - seen) / (most - least - seen)).mean() < 0.25


FUNCTIONS = [Tanh(), Sigmoid(), Silu(), Gelu(), Sine(), Cosine(), Exponential(), Square()]
POSITIVE = [Reciprocal(1e-3), ReciprocalRoot(1e-3)]


def misses(function, center, low, size):
    """How far a parabola's error is exceeded at 512 points, and that error."""
    lower_edge = torch.tensor([[low]], dtype=torch.float64)
    upper_edge = lower_edge + size
    near = parabola(function, torch.tensor([[center]], dtype=torch.float64), lower_edge, upper_edge)
    share = torch.linspace(0, 1, 512, dtype=torch.float64)[:, None]
    x = torch.clamp(lower_edge + share * size, lower_edge, upper_edge)
    off = x - center
    apart = (function(x) - near.value - near.slope * off - near.square * off.square()).abs()
    return float((apart - near.error).max()), float(near.error)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: type(f).__name__)
@given(
    low=st.floats(-20, 20), size=st.one_of(st.floats(0, 1e-9), st.floats(0, 1), st.floats(0, 20)), off=st.floats(-2, 2)
)
@settings(max_examples=50)
def test_no_point_is_further_from_a_parabola_than_its_error(function, low, size, off):
    assert misses(function, low + off * size, low, size)[0] <= 0


@pytest.mark.parametrize("function", POSITIVE, ids=lambda f: type(f).__name__)
@given(low=st.floats(1e-3, 20), size=st.one_of(st.floats(0, 1e-9), st.floats(0, 20)))
@example(low=1e-3, size=20.0)
@settings(max_examples=50)
def test_nor_is_one_of_a_positive_argument(function, low, size):
    assert misses(function, low, low, size)[0] <= 0


@pytest.mark.parametrize("function", [*FUNCTIONS, *POSITIVE], ids=lambda f: type(f).__name__)
def test_a_parabola_is_near_to_third_order(function):
    """A tenth of the width leaves a hundredth at most: less than by lines, as far as the grid tells."""
    errors = [misses(function, 0.4, 0.4 - size, 2 * size)[1] for size in (0.2, 0.02)]
    assert errors[1] <= errors[0] / 100 + 1e-12
    lines = function.lines(*(torch.tensor([[0.4 + side]], dtype=torch.float64) for side in (-0.2, 0.2)))
    middle = (lines.upper_slope - lines.lower_slope) * 0.4 + lines.upper_offset - lines.lower_offset
    assert errors[0] < float(middle) / 4 + 1e-12


def test_functions_of_straight_pieces_have_no_parabola():
    low = torch.tensor([[-1.0]], dtype=torch.float64)
    assert not math.isfinite(float(parabola(Relu(), low, low, low + 2).error))


def exact(weights, bias, x):
    """A matrix times a vector of rational numbers, and a bias."""
    rows = zip(weights.tolist(), bias.tolist(), strict=True)
    return [sum((Fraction(w) * v for w, v in zip(row, x, strict=True)), Fraction(b)) for row, b in rows]


@pytest.mark.parametrize("seed", range(40))
def test_polynomials_hold_in_real_numbers(seed):
    """A product and a square of affine functions are polynomials: what is left over is rounding, and is allowed for."""
    generator = torch.Generator().manual_seed(seed)

    def affine(size, *sources):
        weights = tuple(torch.randn(size, n, generator=generator, dtype=torch.float64) for _, n in sources)
        bias, zero = torch.randn(size, generator=generator, dtype=torch.float64), torch.zeros(size).double()
        return Affine(size, tuple(i for i, _ in sources), weights, bias, tuple(map(torch.zeros_like, weights)), zero)

    a, b, out = affine(4, (0, 3)), affine(4, (0, 3)), affine(2, (3, 4), (4, 4))
    graph = Graph((Input(3, ()), a, b, Product(4, (1, 2), 0.0, math.inf), Elementwise(4, (1,), Square(), 0.0), out))
    low = torch.randn(1, 3, generator=generator, dtype=torch.float64)
    high = low + torch.rand(1, 3, generator=generator, dtype=torch.float64)
    start = quadratic_box(low, high)
    bounds, form = quadratic(relax(graph, low, high), start)
    center, radius = start.middle[0].tolist(), start.slope[0].diagonal().tolist()
    for by in ([1, 1, 1], [-1, 1, -1], [Fraction(1, 3), Fraction(-2, 7), 0], [0, 0, 0]):
        t = [Fraction(one) for one in by]
        x = [Fraction(c) + Fraction(r) * one for c, r, one in zip(center, radius, t, strict=True)]
        left, right = exact(a.weights[0], a.bias, x), exact(b.weights[0], b.bias, x)
        both = [*(p * q for p, q in zip(left, right, strict=True)), *(p * p for p in left)]
        true = exact(torch.cat(out.weights, 1), out.bias, both)
        monomials = [Fraction(1), *t, *(t[i] * t[j] for i, j in form.pairs.T.tolist())]
        for row, rest, value in zip(form.terms[0].tolist(), form.rest[0].tolist(), true, strict=True):
            near = sum(Fraction(c) * m for c, m in zip(row, monomials, strict=False))
            error = sum(map(abs, row[len(monomials) :])) + rest
            assert abs(value - near) <= error < 1e-10
    assert all((low <= high).all() for low, high in bounds)


def departures(form, t, values):
    """How far values [s, n] are outside of a polynomial of one box at points t [s, d]; not positive where it holds."""
    products = t[:, form.pairs[0]] * t[:, form.pairs[1]]
    monomials = torch.cat([torch.ones(len(t), 1, dtype=torch.float64), t, products], 1)
    terms, symbols = form.terms[0].split([monomials.shape[1], form.terms.shape[2] - monomials.shape[1]], 1)
    return (values - monomials @ terms.T).abs() - symbols.abs().sum(1) - form.rest[0]


@pytest.mark.parametrize("radius", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(10))
def test_polynomials_hold_through_curves(seed, radius):
    """Narrow boxes pass by parabolas, wide ones by lines, and numbers of one layer in both ways."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), Wave()).requires_grad_(False)
    graph = lower(net, torch.zeros(1, 3), "exact")
    low = torch.randn(1, 3, dtype=torch.float64) - radius
    _, form = quadratic(relax(graph, low, low + 2 * radius), quadratic_box(low, low + 2 * radius))
    t = torch.rand(2000, 3, dtype=torch.float64) * 2 - 1
    assert departures(form, t, graph(low + radius + t * radius)).max() <= 0


class Wave(nn.Module):
    """A sine of some periods."""

    def forward(self, x):
        return (3 * x).sin()


def test_what_a_network_rounds_is_left_over():
    """An arithmetic that is off by half of what it is given, and a quarter."""
    eye, quarter = torch.eye(2, dtype=torch.float64), torch.full((2,), 0.25, dtype=torch.float64)
    coarse = Affine(2, (0,), (eye,), 0 * quarter, (0.5 * eye,), quarter)
    graph = Graph((Input(2, ()), coarse, Product(2, (1, 1), 0.0, math.inf)))
    low = torch.ones(1, 2, dtype=torch.float64)
    _, form = quadratic(relax(graph, low, low + 1e-3), quadratic_box(low, low + 1e-3))
    for computed in (0.25, 1.75):
        assert departures(form, -torch.ones(1, 2, dtype=torch.float64), torch.full((1, 2), computed**2)).max() <= 0


def test_squares_are_not_negative():
    """Of t^2 over [-1, 1] the least value is 0: the square of a product is told from one of two different numbers."""
    eye, zero = torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    swapped = Affine(2, (0,), (eye.flip(0),), zero, (torch.zeros_like(eye),), zero)
    low, high = -torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    for source, least in ((0, 0.0), (1, -1.0)):
        graph = Graph((Input(2, ()), swapped, Product(2, (0, source), 0.0, math.inf)))
        bounds = quadratic(relax(graph, low, high), quadratic_box(low, high))[0][-1]
        assert torch.allclose(bounds[0], torch.full((1, 2), least).double(), atol=1e-9)
        assert torch.allclose(bounds[1], torch.ones(1, 2).double(), atol=1e-9)


@pytest.mark.parametrize("function", [*FUNCTIONS, *POSITIVE], ids=lambda f: type(f).__name__)
def test_no_second_derivative_is_outside_its_bounds_between_points(function):
    points = torch.linspace(0.1, 4, 11, dtype=torch.float64)[:, None, None]
    x = (points[:-1] + torch.linspace(0, 1, 9, dtype=torch.float64) * points.diff(dim=0)).requires_grad_(True)
    (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    second = torch.autograd.grad(first.sum(), x)[0] if first.requires_grad else torch.zeros_like(x)
    least, most = function.curving(points)
    assert (least - 1e-9 * second.abs() <= second).all()
    assert (second <= most + 1e-9 * second.abs()).all()


def test_what_functions_and_products_round_is_left_over():
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    for node in (
        Affine(1, (0,), (one,), zero, (0 * one,), zero + 0.1),
        Elementwise(1, (0,), Tanh(), 0.1),
        Product(1, (0, 0), 0.1, math.inf),
    ):
        relaxed = relax(Graph((Input(1, ()), node)), one - 0.01, one)
        _, form = quadratic(relaxed, quadratic_box(one - 0.01, one))
        assert form.rest.item() > 0.09
