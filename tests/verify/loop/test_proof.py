"""Verdicts: what is proved holds, a violation is a trajectory, and what is open says how far it came."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from robolearn.errors import UserError
from robolearn.verify.loop.picture import draw_tube
from robolearn.verify.loop.proof import verify_loop
from robolearn.verify.loop.simulation import margins, simulate, worst_start
from robolearn.verify.loop.system import ClosedLoop, Requirement
from robolearn.verify.loop.tube import Effort
from robolearn.verify.property import Box


def turning(state, control):
    """A harmonic oscillator with a control on top: without one, states keep their distance from 0."""
    x, y = state
    return y, -x + control[0]


def free(linear):
    return ClosedLoop(turning, linear([[0.0, 0.0]]), 0.25)


def box(lower, upper):
    return Box(torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64))


SQUARE = box([0.9, -0.1], [1.1, 0.1])
RADIUS = math.hypot(1.1, 0.1)  # of the farthest corner, which it keeps


@pytest.fixture
def clock(monkeypatch):
    """Time stands still, but for a second whenever somebody looks at it."""
    ticks = SimpleNamespace(perf_counter=map(float, itertools.count()).__next__)
    for module in ("proof", "tube", "simulation"):
        monkeypatch.setattr(f"robolearn.verify.loop.{module}.time", ticks)


def within(radius, end=1.0):
    return [Requirement(lambda state: [radius**2 - state[0] ** 2 - state[1] ** 2], 0.0, end)]


def test_what_holds_is_proved_by_splitting(linear):
    """The limit is 1 % beyond what is reached: the box alone does not show it, its parts do."""
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS * 1.01), effort=Effort(order=1))
    assert verdict.answer == "proved"
    assert verdict.reason == ""
    assert verdict.witness is None
    assert verdict.share == 1.0
    assert verdict.reached == 1.0
    assert 0 <= verdict.margin <= RADIUS**2 * (1.01**2 - 1)
    assert verdict.boxes > 3
    assert verdict.proved.all()
    # The parts cover the box: every random state lies in one of them, and volumes add up.
    states = torch.rand(1000, 2, dtype=torch.float64) * 0.2 + torch.tensor([0.9, -0.1])
    inside = (verdict.lower <= states[:, None]) & (states[:, None] <= verdict.upper)
    assert inside.all(2).any(1).all()
    np.testing.assert_allclose((verdict.upper - verdict.lower).prod(1).sum(), 0.04, rtol=1e-9)
    least, most = verdict.hull()
    assert least.shape == (4, 2)
    path = simulate(free(linear), states[:50].numpy(), 4, 4)
    for step in range(4):
        part = path[4 * step : 4 * step + 5]
        assert (least[step].numpy() <= part.min((0, 1)) + 1e-6).all()
        assert (most[step].numpy() >= part.max((0, 1)) - 1e-6).all()


def test_what_is_violated_has_a_witness_that_violates_it(linear):
    """The limit is a little below what the farthest corner reaches, so that 1 in 1000 states violate it."""
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS * 0.999))
    assert verdict.answer == "violated"
    assert verdict.reason == ""
    assert SQUARE.contains(verdict.witness)
    assert float(verdict.witness.norm()) > RADIUS * 0.999
    assert margins(free(linear), verdict.witness.numpy()[None], within(RADIUS * 0.999))[0] < 0


def test_a_violation_that_no_simulation_finds_is_found_by_tubes(linear, monkeypatch):
    """A falsifier that finds nothing: parts from which every state violates the requirement tell."""
    monkeypatch.setattr("robolearn.verify.loop.proof.worst_start", lambda *_: (np.zeros(2), 1.0))
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS * 0.95))
    assert verdict.answer == "violated"
    assert float(verdict.witness.norm()) > RADIUS * 0.95
    assert not verdict.proved.all()


def test_a_simulated_violation_counts_only_if_it_is_proved(linear, monkeypatch):
    """What a simulation takes for a violation, wrongly, is none."""
    monkeypatch.setattr("robolearn.verify.loop.proof.worst_start", lambda *_: (np.array([1.0, 0.0]), -1.0))
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS * 1.2))
    assert verdict.answer == "proved"


@pytest.mark.parametrize(
    ("margin", "start", "end"),
    [
        (lambda s: [s[0] - 0.03], 0.05, 0.1),
        (lambda s: [0.06 - s[0]], 0.0, 0.05),
        (lambda s: [s[0] - 0.04, 0.06 - s[0]], 0.05, 0.05),
    ],
)
def test_what_happens_before_a_requirement_begins_or_after_it_ends_violates_nothing(margin, start, end, linear, clock):
    """x' = 1 from 0: true of the times that are asked about, and false at the samples 0 and 0.1 beside them."""
    loop = ClosedLoop(lambda s, u: [1.0 + 0 * u[0]], linear([[0.0]]), 0.1)
    verdict = verify_loop(loop, box([0.0], [0.001]), [Requirement(margin, start, end)], seconds=30.0)
    assert (verdict.answer, verdict.witness) == ("open", None)
    finer = verify_loop(loop, box([0.0], [0.001]), [Requirement(margin, start, end)], effort=Effort(steps=4))
    assert finer.answer == "proved"


def test_a_violation_within_a_period_is_one(linear):
    loop = ClosedLoop(lambda s, u: [1.0 + 0 * u[0]], linear([[0.0]]), 0.1)
    requirement = Requirement(lambda s: [0.04 - s[0]], 0.05, 0.05)
    verdict = verify_loop(loop, box([0.0], [0.001]), [requirement])
    assert verdict.answer == "violated"


def test_a_limit_that_is_touched_stays_open(linear, clock):
    """The farthest corner reaches exactly the limit: nothing is proved or violated there, and the answer says so."""
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS, end=0.25), seconds=60.0)
    assert verdict.answer == "open"
    assert verdict.reason == "the time is up"
    assert verdict.witness is None
    assert 0.5 < verdict.share < 1
    assert verdict.margin == -math.inf
    assert not verdict.proved.all()
    corner = torch.tensor([1.1, 0.1], dtype=torch.float64)
    holds = (verdict.lower <= corner) & (corner <= verdict.upper + 1e-9)
    assert (holds.all(1) & ~verdict.proved).any()
    volumes = (verdict.upper - verdict.lower).prod(1)
    np.testing.assert_allclose(verdict.share, volumes[verdict.proved].sum() / 0.04, rtol=1e-6)


def test_a_single_state_cannot_be_split(linear):
    point = box([1.0, 0.0], [1.0, 0.0])
    assert verify_loop(free(linear), point, within(1.001)).answer == "proved"
    touched = verify_loop(free(linear), point, within(1.0))
    assert touched.answer == "open"
    assert touched.reason == "parts are too narrow to be split further"
    assert touched.share == 0.0


def test_a_loop_that_leaves_every_bound_is_open_from_there_on(linear, clock):
    """x' = x^2 from 1 is infinite at time 1; what is asked for is nothing but that it exists."""
    loop = ClosedLoop(lambda s, u: [s[0] ** 2 + 0 * u[0]], linear([[0.0]]), 0.25)
    always = [Requirement(lambda s: [1.0], 0.0, 2.0)]
    verdict = verify_loop(loop, box([1.0], [1.0001]), always, seconds=12.0)
    assert verdict.answer == "open"
    assert verdict.reached == 0.75
    assert not verdict.hull()[0][-1].isfinite().any()


def test_no_time_is_no_answer(linear):
    verdict = verify_loop(free(linear), SQUARE, within(RADIUS * 1.01), seconds=1e-9)
    assert (verdict.answer, verdict.reason) == ("open", "the time is up")
    assert (verdict.share, verdict.reached, verdict.boxes) == (0.0, 0.0, 0)


def test_feedback_is_proved_with_what_it_reads(network):
    """A pendulum under a tanh network that reads sine and cosine; the tube holds what simulation reaches."""
    loop = ClosedLoop(
        lambda s, u: (s[1], 2 * np.sin(s[0]) - s[1] + u[0]),
        network((3, 8, 1), seed=1),
        0.1,
        reads=lambda s: [np.sin(s[0]), np.cos(s[0]), s[1]],
    )
    states = box([0.2, -0.1], [0.3, 0.1])
    start, least = worst_start(loop, states, [Requirement(lambda s: [3 - s[0]], 0.0, 0.5)])
    verdict = verify_loop(loop, states, [Requirement(lambda s: [3 - s[0]], 0.0, 0.5)])
    assert verdict.answer == "proved"
    assert least - 0.02 < verdict.margin <= least + 1e-9
    assert states.contains(torch.from_numpy(start))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"requirements": []}, "no requirement is given"),
        ({"seconds": 0.0}, "`seconds` 0.0 leaves no time"),
        ({"seconds": math.nan}, "`seconds` nan leaves no time"),
    ],
)
def test_a_question_that_is_none(change, message, linear):
    given = {"requirements": within(2.0), "seconds": 1.0} | change
    with pytest.raises(UserError, match=message):
        verify_loop(free(linear), SQUARE, given.pop("requirements"), **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dynamics": lambda s, u: [s[1]]}, "1 derivatives of 2 states"),
        ({"dynamics": lambda s, u: s[1]}, "a TaylorModel, not a list"),
        ({"dynamics": lambda s, u: [s[1], None]}, "a NoneType, not a number"),
        ({"dynamics": lambda s, u: [s[1], math.cos(s[0])]}, "functions of math"),
        ({"dynamics": lambda s, u: [s[1], np.abs(s[0])]}, "absolute"),
        ({"reads": lambda s: [s[0]]}, "reads 1 numbers of its state, the network has 2 inputs"),
        ({"margin": lambda s: []}, "gives no number"),
        ({"margin": lambda s: s[0] > 0}, "comparison"),
    ],
)
def test_functions_are_checked_before_the_work(change, message, linear, monkeypatch):
    """No simulation, in which numbers would be broadcast or break in numpy's own words."""
    monkeypatch.setattr("robolearn.verify.loop.proof.worst_start", lambda *_: pytest.fail("too late"))
    margin = change.pop("margin", lambda s: [1.0])
    loop = replace(free(linear), **change)
    with pytest.raises(UserError, match=message):
        verify_loop(loop, SQUARE, [Requirement(margin, 0.0, 1.0)])


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf])
def test_a_period_that_is_none(period, linear):
    with pytest.raises(UserError, match="period"):
        ClosedLoop(turning, linear([[0.0, 0.0]]), period)


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.5), (-1.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_times_that_are_none(start, end):
    with pytest.raises(UserError, match="times not in order"):
        Requirement(lambda s: s, start, end)


def test_a_tube_is_drawn_as_far_as_it_is_known(linear):
    """Two axes, with what is shaded: no more steps than were reached."""
    loop = ClosedLoop(lambda s, u: [s[0] ** 2 + 0 * u[0], 1.0], linear([[0.0, 0.0]]), 0.25)
    verdict = verify_loop(loop, box([1.0, 0.0], [1.0, 0.0]), [Requirement(lambda s: [1.0], 0.0, 1.25)])
    assert (verdict.answer, verdict.reached) == ("open", 0.75)
    axes = Figure().subplots(2)
    path = simulate(free(linear), np.zeros((3, 2)), 5)
    draw_tube(list(axes), verdict, path, [0, 1])
    known = int(verdict.hull()[0].isfinite().all(1).sum())
    for one in axes:
        assert 3 <= len(one.collections) == known < 5
        assert len(one.lines) == 3
