"""Every operation on Taylor models holds what it makes of every function that its operands hold."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.errors import UserError
from robolearn.verify.loop import expansions
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.taylor import TaylorModel

NUM_POINTS = 3000
TOLERANCE = 1e-12  # of evaluating polynomials here, in float64
BINARY = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / (y + 2),
    "reflected quotient": lambda x, y: 3.0 / (y + 2) - x,
    "mixed": lambda x, y: (1 - x * 0.3) * y / 7 + np.float64(0.2) * x - np.sin(y),
}
UNARY = {
    "sin": (lambda x: np.sin(3 * x), 0.0),
    "cos": (lambda x: np.cos(x), 1.0),
    "tan": (lambda x: np.tan(x), 0.2),
    "exp": (lambda x: np.exp(x), -0.5),
    "log": (lambda x: np.log(x), 1.5),
    "sqrt": (lambda x: np.sqrt(x), 2.0),
    "tanh": (lambda x: np.tanh(2 * x), 0.3),
    "square": (lambda x: np.square(x), -0.4),
    "reciprocal": (lambda x: np.reciprocal(x), -1.2),
    "cube": (lambda x: x**3, 0.7),
    "inverse square": (lambda x: x**-2, 2.1),
    "root": (lambda x: x**0.5 + x**1.7, 1.3),
    "negative": (lambda x: -(+x), 0.0),
}


def held(model, points, values):
    """Whether functions with these values [b, p] at the points are held by the model."""
    radius = model.radius.numpy()[:, None]
    return np.abs(values - points.values(model)) <= radius + TOLERANCE


def functions(model, points, rng):
    """A function that the model holds, at the points, as far out as it may be now and then."""
    shift = rng.choice([-1.0, 0.0, 1.0, 0.3], (1, points.time.size))
    return points.values(model) + model.radius.numpy()[:, None] * shift


@settings(max_examples=6, derandomize=True)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", BINARY)
def test_operations_hold_sampled_functions(name, seed, basis, random_model, points):
    """6 x 3 x 3000 points of each."""
    rng = np.random.default_rng(seed)
    x, y = random_model(basis, rng, center=0.5), random_model(basis, rng, size=0.8)
    for ends in (False, True):
        where = points(basis, rng, NUM_POINTS, ends=ends)
        values = BINARY[name](functions(x, where, rng), functions(y, where, rng))
        assert held(BINARY[name](x, y), where, values).all()


@settings(max_examples=6, derandomize=True)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", UNARY)
def test_functions_hold_sampled_functions(name, seed, basis, random_model, points):
    rng = np.random.default_rng(seed)
    function, center = UNARY[name]
    x = random_model(basis, rng, center=center)
    for ends in (False, True):
        where = points(basis, rng, NUM_POINTS, ends=ends)
        values = function(functions(x, where, rng))
        result = function(x)
        assert held(result, where, values).all()
        lower, upper = (bound.numpy()[:, None] for bound in result.bounds())
        assert ((lower <= values) & (values <= upper)).all()
        assert (result.radius < 0.6).all(), "a bound that says something"


def test_a_wide_argument_needs_the_remainder(points):
    """Over an interval of radius 2 what the expansion leaves out is far from nothing."""
    basis = Basis(variables=1, order=1, symbols=0, degree=0)
    x = TaylorModel(basis, torch.tensor([[[0.3], [2.0]]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    where = points(basis, np.random.default_rng(0), NUM_POINTS)
    assert held(np.sin(x), where, np.sin(where.values(x))).all()


def exact(model, variables, time):
    """The polynomial of the only box as a fraction."""
    basis, total = model.basis, Fraction(0)
    space = [
        math.prod((Fraction(v) ** a for v, a in zip(variables, alpha, strict=True)), start=Fraction(1))
        for alpha in basis.exponents
    ]
    for s, monomial in enumerate(space):
        for power in range(basis.degree + 1):
            total += Fraction(float(model.coefficients[0, s, power])) * monomial * Fraction(time) ** power
    return total


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b, number: a + b,
        lambda a, b, number: a * number,
        lambda a, b, number: a / number,
        lambda a, b, number: a * b,
        lambda a, b, number: a + number,
    ],
    ids=["sum", "scaled", "divided", "product", "shifted"],
)
def test_rounding_is_paid_for(operation, random_model):
    """In rational arithmetic, without any tolerance, on models that keep every product."""
    basis = Basis(variables=1, order=2, symbols=0, degree=2)
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(40):
        x, y = (random_model(basis, rng, boxes=1, radius=0.0, size=3.0) for _ in range(2))
        for z in (x, y):
            z.coefficients[:, 2:] = z.coefficients[..., 2:] = 0  # so that no product is dropped
        number = float(rng.normal())
        result = operation(x, y, number)
        for point, time in ((1, 1), (-1, 1), (Fraction(1, 3), Fraction(1, 7)), (1, 0)):
            true = operation(exact(x, [point], time), exact(y, [point], time), Fraction(number))
            off = abs(true - exact(result, [point], time))
            assert off <= Fraction(float(result.radius[0]))
            wrong += off > 0
    assert wrong > 10, "these numbers round"
    assert float(result.radius[0]) < 1e-13


@pytest.mark.parametrize(
    ("expand", "function", "domain"),
    [
        (expansions.sine, mpmath.sin, (-40, 40)),
        (expansions.cosine, mpmath.cos, (-40, 40)),
        (expansions.exponential, mpmath.exp, (-20, 20)),
        (expansions.reciprocal, lambda x: 1 / x, (0.2, 9)),
        (expansions.reciprocal, lambda x: 1 / x, (-9, -0.2)),
        (expansions.square_root, mpmath.sqrt, (0.1, 9)),
        (expansions.hyperbolic_tangent, mpmath.tanh, (-3, 3)),
        (expansions.logarithm, mpmath.log, (0.1, 9)),
    ],
)
def test_expansions_bound_what_they_leave_out(expand, function, domain):
    """Against 60 digits, at random points and at the ends of random intervals, wide ones and single points."""
    rng = np.random.default_rng(0)
    n, count = 4, 60
    ends = np.sort(rng.uniform(*domain, (2, count)), 0)
    ends[1, ::3] = np.minimum(ends[1, ::3], ends[0, ::3] + 1e-3)
    ends[1, ::5] = ends[0, ::5]
    center = ends.mean(0).clip(*ends)
    series = expand(*(torch.from_numpy(x) for x in (center, *ends)), n)
    with mpmath.workdps(60):
        for i in range(count):
            for x in (ends[0, i], ends[1, i], *rng.uniform(ends[0, i], ends[1, i], 3)):
                deviation = mpmath.mpf(x) - mpmath.mpf(center[i])
                terms = [mpmath.mpf(float(a)) * deviation**k for k, a in enumerate(series.coefficients[:, i])]
                error = sum(mpmath.mpf(float(e)) * abs(deviation) ** k for k, e in enumerate(series.errors[:, i]))
                bound = error + mpmath.mpf(float(series.remainder[i])) * abs(deviation) ** (n + 1)
                assert abs(function(mpmath.mpf(x)) - sum(terms)) <= bound


@pytest.mark.parametrize("function", [np.reciprocal, np.sqrt, np.log])
def test_outside_its_domain_nothing_is_known(function):
    basis = Basis(variables=1, order=1, symbols=0, degree=0)
    center = torch.zeros(2, dtype=torch.float64)
    x = TaylorModel.interval(basis, center - 1, center + torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert not function(x).radius.isfinite().any()


def test_boxes_of_a_batch_know_nothing_of_each_other(basis, random_model):
    rng = np.random.default_rng(3)
    x = random_model(basis, rng, boxes=5, center=1.0)
    whole, alone = np.sin(x) / x, np.sin(x.rows(torch.tensor([3]))) / x.rows(torch.tensor([3]))
    torch.testing.assert_close(whole.coefficients[3:4], alone.coefficients, rtol=0, atol=1e-15)
    torch.testing.assert_close(whole.radius[3:4], alone.radius, rtol=1e-9, atol=0)


def test_arrays_of_models_multiply_as_arrays_of_numbers(basis, random_model, points):
    rng = np.random.default_rng(4)
    state = np.empty(2, object)
    state[:] = [random_model(basis, rng), random_model(basis, rng)]
    matrix = np.array([[0.5, -2.0], [1.0, 3.0]])
    where = points(basis, rng, 50)
    numbers = np.stack([where.values(x) for x in state])
    for got, value in zip(matrix @ state, np.einsum("ij,jbp->ibp", matrix, numbers), strict=True):
        assert held(got, where, value).all()
    for got, value in zip(
        np.sin(state) * state[0] + matrix[0] * state[1],
        np.sin(numbers) * numbers[0] + matrix[0][:, None, None] * numbers[1],
        strict=True,
    ):
        assert held(got, where, value).all()


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda x: 1 if x > 0 else 2, "comparison"),
        (lambda x: x == 0, "comparison"),
        (lambda x: 1 if x else 2, "comparison"),
        (lambda x: math.sin(x), "math"),
        (lambda x: abs(x), "abs"),
        (lambda x: np.maximum(x, 0), "maximum"),
        (lambda x: np.arctan2(x, 1.0), "arctan2"),
        (lambda x: 2.0**x, "exponent"),
        (lambda x: x**x, "exponent"),
        (lambda x: x**1000, "1000"),
        (lambda x: np.clip(x, 0, 1), "comparison"),
    ],
)
def test_what_has_no_enclosure_is_refused_by_name(use, named, basis, random_model):
    with pytest.raises(UserError, match=named) as refusal:
        use(random_model(basis, np.random.default_rng(0), boxes=1))
    assert "numpy.sin" in str(refusal.value)
    assert "\n" not in str(refusal.value)
