"""Every relaxation holds at every point, whatever its slopes are."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from robolearn.verify.crown import mccormick
from robolearn.verify.graph import Elementwise, Product, lines_with_slack
from robolearn.verify.relaxations.convex import Exponential, Reciprocal, ReciprocalRoot, Square
from robolearn.verify.relaxations.piecewise import Absolute, Clip, LeakyRelu, Relu
from robolearn.verify.relaxations.smooth import Cosine, Gelu, Sigmoid, Silu, Sine, Smooth, Tanh

EVERYWHERE = [
    *(Relu(), LeakyRelu(0.1), LeakyRelu(-0.5), LeakyRelu(-3.3), Clip(-1.0, 0.5), Clip(-math.inf, 2.0), Absolute()),
    *(Tanh(), Sigmoid(), Silu(), Gelu(), Sine(), Cosine(), Exponential(), Square()),
]
POSITIVE = [Reciprocal(1e-5), ReciprocalRoot(1e-5)]
POINTS = 512  # times 200 examples: 1e5 for each function
number = st.floats(-30, 30, allow_subnormal=False)
width = st.one_of(st.floats(0, 1e-9), st.floats(0, 1), st.floats(0, 40))
slope = st.floats(-3, 3)


def box(low, size):
    lower = torch.tensor([[low]], dtype=torch.float64)
    return lower, lower + size


def between(lower, upper):
    share = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None]
    return torch.clamp(lower + share * (upper - lower), lower, upper)


def holds(function, lower, upper, lines):
    x = between(lower, upper)
    y = function(x)
    assert (lines.lower_slope * x + lines.lower_offset <= y).all()
    assert (y <= lines.upper_slope * x + lines.upper_offset).all()


@pytest.mark.parametrize("function", EVERYWHERE, ids=lambda f: type(f).__name__)
@given(low=number, size=width, low_slope=slope, high_slope=slope)
@settings(max_examples=200)
def test_no_point_is_outside(function, low, size, low_slope, high_slope):
    lower, upper = box(low, size)
    holds(function, lower, upper, function.lines(lower, upper))
    given_slopes = [torch.tensor([[one]], dtype=torch.float64) for one in (low_slope, high_slope)]
    holds(function, lower, upper, function.lines_of(lower, upper, *given_slopes))
    least, most = function.interval(lower, upper)
    y = function(between(lower, upper))
    assert (least <= y).all()
    assert (y <= most).all()


@pytest.mark.parametrize("function", POSITIVE, ids=lambda f: type(f).__name__)
@given(low=st.floats(1e-5, 100), size=width, low_slope=st.floats(-1e3, 0), high_slope=slope)
@settings(max_examples=200)
def test_no_point_of_a_positive_argument_is_outside(function, low, size, low_slope, high_slope):
    test_no_point_is_outside.hypothesis.inner_test(function, low, size, low_slope, high_slope)


@given(x=number, y=number, dx=width, dy=width)
@settings(max_examples=200)
def test_no_product_is_outside(x, y, dx, dy):
    boxes = [box(x, dx), box(y, dy)]
    node = Product(1, (0, 1), 0.0, math.inf)
    of_x, of_y = mccormick(node, boxes)
    share = torch.rand(POINTS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share[:4] = torch.tensor([[0.0, 0.0], [0, 1], [1, 0], [1, 1]])
    xs, ys = (torch.clamp(low + share[:, i : i + 1] * (high - low), low, high) for i, (low, high) in enumerate(boxes))
    below = of_x.lower_slope * xs + of_y.lower_slope * ys + of_x.lower_offset + of_y.lower_offset
    above = of_x.upper_slope * xs + of_y.upper_slope * ys + of_x.upper_offset + of_y.upper_offset
    assert (below <= xs * ys).all()
    assert (xs * ys <= above).all()
    least, most = node.interval(boxes)
    assert ((least <= xs * ys) & (xs * ys <= most)).all()


@pytest.mark.parametrize("function", [*EVERYWHERE, *POSITIVE], ids=lambda f: type(f).__name__)
def test_lines_are_as_tight_as_the_function_is_straight(function):
    center = torch.tensor([[0.31]], dtype=torch.float64)
    gaps = []
    for radius in (0.1, 0.01):
        lines = function.lines(center - radius, center + radius)
        middle = (lines.upper_slope - lines.lower_slope) * center + lines.upper_offset - lines.lower_offset
        gaps.append(float(middle))
    assert gaps[1] <= gaps[0] / 50 + 1e-12  # of second order in the radius


@pytest.mark.parametrize("function", [f for f in EVERYWHERE if isinstance(f, Smooth)], ids=lambda f: type(f).__name__)
def test_no_second_derivative_exceeds_the_curvature(function):
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert float(second.abs().max()) <= function.curvature


@pytest.mark.parametrize("function", [*EVERYWHERE, *POSITIVE], ids=lambda f: type(f).__name__)
def test_float32_is_within_the_error_that_is_allowed_for(function):
    torch_functions = {Gelu: torch.nn.functional.gelu, Silu: torch.nn.functional.silu}
    own = torch_functions.get(type(function), function)
    x = torch.linspace(0.01, 20, 100_001) if function in POSITIVE else torch.linspace(-20, 20, 200_001)
    lower = x.double()[None]
    error = function.evaluation_error(lower, lower, 2.0**-24)
    assert ((own(x).double() - function(x.double())).abs() <= error[0] + 1e-38).all()


def test_lines_hold_for_what_float32_computes():
    node = Elementwise(1, (0,), Tanh(), 2.0**-24)
    lower, upper = box(-1.0, 2.0)
    lines = lines_with_slack(node, lower, upper, node.function.lines(lower, upper))
    plain = node.function.lines(lower, upper)
    assert float(plain.lower_offset - lines.lower_offset) > 2.0**-24
    assert float(lines.upper_offset - plain.upper_offset) > 2.0**-24
