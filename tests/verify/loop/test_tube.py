"""Tubes of closed loops: no trajectory is ever outside, at any time; and they stop where nothing is shown."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from robolearn.errors import UserError
from robolearn.verify.loop.simulation import simulate
from robolearn.verify.loop.system import ClosedLoop, Requirement
from robolearn.verify.loop.tube import Effort, tubes

PERIODS = 6
ALWAYS = [Requirement(lambda state: [1.0], 0.0, 0.6)]


def pendulum(state, control):
    angle, speed = state
    return speed, 2 * np.sin(angle) + control[0] - 0.3 * speed


def trajectories(loop, starts, periods, times):
    """States [periods * len(times), b, n] by a method of order 8; times are shares of a period."""
    states, out = np.array(starts, float), []
    for _ in range(periods):
        with torch.no_grad():
            read = torch.from_numpy(np.stack(loop.reads(states.T), 1)).to(loop.controller.dtype)
            controls = loop.controller.batched(read).double().numpy()
        solved = [
            solve_ivp(
                lambda _, x, u=u: np.array(loop.dynamics(x, u), float),
                (0, loop.period),
                x,
                method="DOP853",
                rtol=1e-11,
                atol=1e-12,
                t_eval=np.array(times) * loop.period,
            ).y
            for x, u in zip(states, controls, strict=True)
        ]
        out.append(np.stack(solved).transpose(2, 0, 1))
        states = out[-1][-1]
    return np.concatenate(out)


def boxes(lower, upper, cuts):
    """A box cut into as many parts along its first dimension."""
    edges = torch.linspace(lower[0], upper[0], cuts + 1, dtype=torch.float64)
    low, high = (torch.tensor([side] * cuts, dtype=torch.float64) for side in (lower, upper))
    low[:, 0], high[:, 0] = edges[:-1], edges[1:]
    return low, high


@pytest.mark.parametrize(
    ("seed", "dtype", "effort"),
    [
        (0, torch.float32, Effort()),
        (1, torch.float64, Effort(steps=2)),
        (2, torch.float32, Effort(order=1, degree=3, symbols=2)),
        (3, torch.float64, Effort(order=3, degree=2)),
    ],
)
def test_no_trajectory_leaves_the_tube_of_its_box(seed, dtype, effort, network):
    """ReLU and tanh, at twelve times per period, from corners and random states of every box."""
    loop = ClosedLoop(pendulum, network((2, 12, 12, 1), seed=seed, dtype=dtype), 0.1)
    lower, upper = boxes((0.6, -0.2), (0.8, 0.1), 2)
    result = tubes(loop, lower, upper, ALWAYS, effort)
    steps, times = PERIODS * effort.steps, np.arange(1, 13) / 12
    assert result.reached.tolist() == [steps] * 2
    rng = np.random.default_rng(seed)
    for low, high, least, most in zip(lower, upper, result.lower, result.upper, strict=True):
        starts = np.concatenate([rng.uniform(low, high, (3, 2)), [low.numpy(), high.numpy()]])
        path = trajectories(loop, starts, PERIODS, times)
        step = np.ceil(np.arange(1, len(path) + 1) / 12 * effort.steps - 1e-9).astype(int) - 1
        for number, states in zip(step, path, strict=True):
            assert (states >= least[number].numpy() - 1e-9).all()
            assert (states <= most[number].numpy() + 1e-9).all()
        width, true = (most - least)[-1], np.ptp(path[-12:], axis=(0, 1))
        assert (width.numpy() < 1.5 * true + 0.2).all(), "a tube that says something"


def test_a_control_is_held_between_samples(linear):
    """x' = u, u = -x sampled every second: x falls to 0 in a straight line, which continuous feedback does not do."""
    loop = ClosedLoop(lambda s, u: [u[0]], linear([[-1.0]]), 1.0)
    lower, upper = torch.tensor([[0.5]]).double(), torch.tensor([[1.0]]).double()
    result = tubes(loop, lower, upper, [Requirement(lambda s: [s[0] + 1], 0.0, 2.0)], Effort())
    assert result.reached.tolist() == [2]
    np.testing.assert_allclose(result.lower[0, :, 0], [0, 0], atol=1e-9)
    np.testing.assert_allclose(result.upper[0, :, 0], [1, 0], atol=1e-9)
    assert 0.999 < float(result.margin) <= 1.0


def test_requirements_are_shown_between_samples_too(linear):
    """x'' = -1, thrown up: at both samples the height is 0 and below the limit, between them it is not."""
    loop = ClosedLoop(lambda s, u: [s[1], -1.0 + 0 * u[0]], linear([[0.0, 0.0]]), 2.0)
    point = torch.tensor([[0.0, 1.0]]).double()
    for limit, shown in ((0.45, False), (0.55, True)):
        result = tubes(loop, point, point, [Requirement(lambda s, limit=limit: [limit - s[0]], 0.0, 2.0)], Effort())
        assert (float(result.margin) >= 0) == shown
        assert result.reached.tolist() == [int(shown)]
        assert abs(float(result.margin) - (limit - 0.5)) < 0.05
    assert float(result.ceiling) > 0, "no sample shows a violation"


def test_what_holds_at_an_instant_or_from_then_on(linear):
    """x' = 1 from [0, 0.1]: at time 2 it lies in [2, 2.1], from time 1 to 3 in [1, 3.1]."""
    loop = ClosedLoop(lambda s, u: [1.0 + 0 * u[0]], linear([[0.0]]), 1.0)
    lower, upper = torch.tensor([[0.0]]).double(), torch.tensor([[0.1]]).double()

    def margin(start, end, function, effort=None):
        result = tubes(loop, lower, upper, [Requirement(function, start, end)], effort or Effort())
        return float(result.margin), float(result.ceiling)

    np.testing.assert_allclose(margin(2.0, 2.0, lambda s: [s[0] - 1, 3 - s[0]]), [0.9, 1.0], atol=1e-9)
    np.testing.assert_allclose(margin(0.0, 0.0, lambda s: [s[0]]), [0.0, 0.1], atol=1e-9)
    np.testing.assert_allclose(margin(1.0, 3.0, lambda s: [s[0] - 1]), [0.0, 0.1], atol=1e-9)
    np.testing.assert_allclose(margin(1.0, 3.0, lambda s: [4 - s[0]]), [0.9, 1.0], atol=1e-9)
    # Within a period a time is rounded outward, to the steps there are.
    np.testing.assert_allclose(margin(1.5, 2.5, lambda s: [s[0] - 1.5])[0], -0.5, atol=1e-9)
    np.testing.assert_allclose(margin(1.5, 2.5, lambda s: [s[0] - 1.5], Effort(steps=2))[0], 0.0, atol=1e-9)


def test_steps_that_are_too_long_are_halved(linear):
    """x' = -20 x + u: a period of 0.4 is far too long for one step; the tube holds e^-8 at its end."""
    loop = ClosedLoop(lambda s, u: [-20 * s[0] + 0 * u[0]], linear([[0.0]]), 0.4)
    lower, upper = torch.tensor([[0.9]]).double(), torch.tensor([[1.1]]).double()
    result = tubes(loop, lower, upper, [Requirement(lambda s: [s[0] + 1], 0.0, 0.8)], Effort())
    assert result.reached.tolist() == [2]
    assert float(result.lower[0, 0, 0]) <= 0.9 * np.exp(-8)
    assert float(result.upper[0, 0, 0]) >= 1.1
    assert 1.1 * np.exp(-8) <= float(result.upper[0, 1, 0]) < 0.01


def test_boxes_that_go_nowhere_stop_alone(linear):
    """x' = x^2 leaves every bound at time 1 / x: from 0.9 after the requirement's end, from 1.9 before."""
    loop = ClosedLoop(lambda s, u: [s[0] ** 2 + 0 * u[0]], linear([[0.0]]), 0.1)
    lower, upper = torch.tensor([[0.88], [1.9]]).double(), torch.tensor([[0.9], [1.95]]).double()
    result = tubes(loop, lower, upper, [Requirement(lambda s: [9 - s[0]], 0.0, 0.8)], Effort())
    assert result.reached.tolist()[0] == 8
    assert result.reached.tolist()[1] <= 5
    assert float(result.margin[0]) > 0 > float(result.margin[1])
    assert not result.lower[1, -1].isfinite().any()


def test_a_step_without_an_enclosure_has_no_margin(linear):
    """Of x' = x^2 from 1.9 nothing is known after 0.5 s, not even what is always true."""
    loop = ClosedLoop(lambda s, u: [s[0] ** 2 + 0 * u[0]], linear([[0.0]]), 0.1)
    lower, upper = torch.tensor([[0.88], [1.9]]).double(), torch.tensor([[0.9], [1.95]]).double()
    result = tubes(loop, lower, upper, [Requirement(lambda s: [1.0], 0.0, 0.8)], Effort())
    assert result.margin.tolist() == [pytest.approx(1.0), -float("inf")]


def test_a_tube_of_a_point_is_nearly_a_trajectory(network):
    loop = ClosedLoop(pendulum, network((2, 12, 12, 1), seed=1), 0.1)
    point = torch.tensor([[0.7, 0.1]]).double()
    result = tubes(loop, point, point, ALWAYS, Effort(steps=4))
    path = simulate(loop, point.numpy(), PERIODS, 4)[1:, 0]
    assert (result.lower[0].numpy() - 1e-6 <= path).all()
    assert (path <= result.upper[0].numpy() + 1e-6).all()


@pytest.mark.parametrize(
    ("effort", "named"),
    [({"order": 0}, "order"), ({"degree": 0}, "degree"), ({"symbols": 1}, "symbols"), ({"steps": 3}, "steps")],
)
def test_an_effort_that_is_none(effort, named):
    with pytest.raises(UserError, match=f"`{named}`"):
        Effort(**effort)
