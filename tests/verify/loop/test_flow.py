"""Validated steps against solutions that are known, and steps that must not be accepted."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from robolearn.errors import UserError
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.flow import advance, at_end, integral
from robolearn.verify.loop.symbols import absorbed, initial_states

DEGREE = 5


def boxes(lower, upper, *, order=2, symbols=4, degree=DEGREE):
    lower, upper = (torch.tensor([side], dtype=torch.float64) for side in (lower, upper))
    return initial_states(Basis(int((upper > lower).sum()), order, symbols, degree), lower, upper)


def van_der_pol(state, control):
    x, y = state
    return y, (1 - x**2) * y - x


def grown(x, t):
    return x * np.exp(t)


def turned(x, t):
    return np.stack([x[0] * np.cos(t) + x[1] * np.sin(t), x[1] * np.cos(t) - x[0] * np.sin(t)])


def decayed(x, t):
    return x / np.sqrt(1 + 2 * x**2 * t)


def integrated(x, t):
    """Of Van der Pol's oscillator, by a method of order 8."""
    out = []
    for start, end in zip(x.T, np.broadcast_to(t, x.shape[1:]), strict=True):
        solved = solve_ivp(lambda _, s: van_der_pol(s, None), (0, end), start, method="DOP853", rtol=1e-12, atol=1e-13)
        out.append(solved.y[:, -1])
    return np.array(out).T


CASES = {
    "exponential": (lambda s, u: [s[0]], grown, [0.9], [1.2], 0.3),
    "oscillator": (lambda s, u: (s[1], -s[0]), turned, [0.8, -0.1], [1.2, 0.3], 0.3),
    "cubic decay": (lambda s, u: [-(s[0] ** 3)], decayed, [0.8], [1.0], 0.1),
    "Van der Pol": (van_der_pol, integrated, [1.0, 1.9], [1.3, 2.1], 0.1),
}


@pytest.mark.parametrize("name", CASES)
def test_known_solutions_never_leave_the_models(name, points):
    """As functions of the initial state and of time: not only the set holds them, each trajectory has its place."""
    dynamics, solution, lower, upper, seconds = CASES[name]
    start = boxes(lower, upper)
    flow = advance(dynamics, start, [], torch.tensor([seconds], dtype=torch.float64))
    assert flow.verified.all()
    rng = np.random.default_rng(0)
    for ends in (False, True):
        where = points(start[0].basis, rng, 60 if name == "Van der Pol" else 2000, ends=ends)
        initial = np.concatenate([where.values(x) for x in start])
        true = solution(initial, where.time * seconds)
        for x, values in zip(flow.states, true, strict=True):
            assert (np.abs(where.values(x)[0] - values) <= x.radius.numpy() + 1e-11).all()
            assert x.radius < 0.02 * np.ptp(values), "a radius that says something"
            least, most = (float(bound) for bound in x.bounds())
            assert (least <= values.min() + 1e-11) & (values.max() - 1e-11 <= most)


@pytest.mark.parametrize("name", ["exponential", "oscillator", "cubic decay"])
def test_trajectories_stay_in_over_many_steps(name):
    """Steps are chained by their ends, whose radius becomes symbols; the set neither loses a trajectory nor grows."""
    dynamics, solution, lower, upper, seconds = CASES[name]
    states, rng = boxes(lower, upper), np.random.default_rng(1)
    starts = rng.uniform(lower, upper, (500, len(lower))).T
    step = torch.tensor([seconds], dtype=torch.float64)
    for number in range(20):
        flow = advance(dynamics, states, [], step)
        assert flow.verified.all()
        for share in (0.0, 0.37, 1.0):
            true = solution(starts, (number + share) * seconds)
            for x, values in zip(flow.states, true, strict=True):
                least, most = (float(bound) for bound in x.bounds())
                assert least - 1e-9 <= values.min()
                assert values.max() <= most + 1e-9
        states = absorbed([at_end(x) for x in flow.states])
    widths = [float(most - least) for least, most in (x.bounds() for x in states)]
    true = solution(starts, 20 * seconds)
    assert (np.array(widths) <= 1.3 * np.ptp(true, axis=1) + 0.02).all()


@pytest.mark.parametrize(
    ("dynamics", "seconds"),
    [
        (lambda s, u: [s[0] ** 2], 1.0),  # leaves every bound at time 1 / x
        (lambda s, u: [10 * s[0] ** 3], 0.3),
        (lambda s, u: [1 / (s[0] - 1.0)], 0.1),  # not defined within the box
        (lambda s, u: [np.sqrt(s[0] - 1.0)], 0.1),
        (lambda s, u: [1e308 * s[0] ** 2 * 1e308], 0.1),
    ],
)
def test_a_step_without_proof_is_not_verified(dynamics, seconds):
    flow = advance(dynamics, boxes([0.9], [1.2]), [], torch.tensor([seconds], dtype=torch.float64))
    assert not flow.verified.any()


def test_a_step_that_is_too_long_fails_alone():
    lower, upper = torch.tensor([[1.0], [1.0]]).double(), torch.tensor([[1.1], [1.1]]).double()
    states = initial_states(Basis(1, 2, 2, DEGREE), lower, upper)
    flow = advance(lambda s, u: [s[0] ** 2], states, [], torch.tensor([0.05, 2.0], dtype=torch.float64))
    assert flow.verified.tolist() == [True, False]


def test_the_radius_of_a_control_moves_the_states(points):
    """x' = u with a control that is known up to a radius: after a second, so is x."""
    state, control = boxes([0.0, 2.0], [1.0, 2.0])
    flow = advance(
        lambda s, u: [u[0]], [state], [control.widened(torch.tensor([0.5]).double())], torch.ones(1).double()
    )
    least, most = flow.states[0].bounds()
    assert least < -0.5 + 2 + 0.51 - 2  # at time 0 the box, at time 1 the box + [1.5, 2.5]
    assert 3.5 <= most < 3.51


def test_an_integral_counts_what_has_no_place(basis, random_model):
    rng = np.random.default_rng(0)
    rate = random_model(basis, rng, boxes=1)
    whole = integral(rate)
    for time in (Fraction(1, 3), Fraction(1)):
        for sign in (
            -1,
            1,
        ):  # every monomial at once at its sign: initial variables and symbols at the end of their range
            true = polynomial = Fraction(0)
            for s in range(basis.size):
                degree = sum(basis.exponents[s]) if s < len(basis.exponents) else 1
                monomial = Fraction(sign) ** degree
                for power in range(basis.degree + 1):
                    true += (
                        Fraction(float(rate.coefficients[0, s, power])) * monomial * time ** (power + 1) / (power + 1)
                    )
                    polynomial += Fraction(float(whole.coefficients[0, s, power])) * monomial * time**power
            assert abs(true - polynomial) + Fraction(float(rate.radius)) * time <= Fraction(float(whole.radius))


def test_an_end_is_paid_for(basis, random_model):
    x = random_model(basis, np.random.default_rng(0), boxes=1, radius=0.0)
    end = at_end(x)
    assert not end.coefficients[..., 1:].any()
    true = [sum(map(Fraction, map(float, row))) for row in x.coefficients[0]]
    off = sum(abs(t - Fraction(float(c))) for t, c in zip(true, end.coefficients[0, :, 0], strict=True))
    assert 0 < off <= Fraction(float(end.radius))


@pytest.mark.parametrize(
    ("dynamics", "message"),
    [
        (lambda s, u: [s[0]], "1 derivatives of 2 states"),
        (lambda s, u: [s[0], "fast"], "a str"),
        (lambda s, u: [s[0], None], "a NoneType"),
        (lambda s, u: [s[0], np.cosh(s[1])], "cosh"),
    ],
)
def test_dynamics_that_cannot_be_followed(dynamics, message):
    with pytest.raises(UserError, match=message):
        advance(dynamics, boxes([0.0, 0.0], [1.0, 1.0]), [], torch.ones(1).double())
