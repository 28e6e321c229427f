"""The falsifier: it finds what is there, and reports nothing that the network does not do in its own precision."""

import itertools
import time

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from robolearn.errors import UserError
from robolearn.verify.formats.onnx_network import read_network
from robolearn.verify.formats.vnnlib import read_property
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.attack import Attack, falsify, is_violated, replay


def at_least(value, outputs=1, row=0):
    """The outputs of which one is at least a value."""
    weights = torch.zeros(1, outputs)
    weights[0, row] = -1
    return Halfspaces(weights, torch.tensor([value], dtype=torch.float64))


def box(lower, upper):
    return Box(torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64))


def asked(lower, upper, *unsafe):
    return Property((Case(box(lower, upper), unsafe),))


def bump(center, radius):
    """Above 0 only within a radius of a point."""
    return lambda x: radius**2 - ((x - torch.tensor(center, dtype=x.dtype)) ** 2).sum(-1, keepdim=True)


def test_gradient_steps_find_what_random_points_and_corners_miss():
    peak = Network(bump([0.31, -0.62, 0.17, 0.05, -0.93, 0.44], 0.01), 6, 1)
    cube = asked([-1.0] * 6, [1.0] * 6, at_least(0.0))
    witness = falsify(peak, cube)
    assert witness is not None
    assert float(witness.y[0]) >= 0
    assert torch.equal(witness.y, peak.replay(witness.x))
    assert torch.equal(witness.x, witness.x.float().double()), "it can be given to a network in float32"
    assert falsify(peak, cube, Attack(steps=0)) is None


def test_each_set_of_outputs_is_searched_for_itself():
    """The nearest of the two can never be reached; that the other can is only seen by following it."""
    function = lambda x: torch.cat([-0.1 - 0 * x[:1], bump([0.3] * 4, 0.02)(x) - 1 + 1])  # noqa: E731
    four = Network(function, 4, 2)
    witness = falsify(four, asked([-1.0] * 4, [1.0] * 4, at_least(0.0, 2, 0), at_least(0.0, 2, 1)))
    assert witness is not None
    assert float(witness.y[1]) >= 0


def test_the_case_that_is_violated_is_named():
    cases = tuple(Case(box([low], [low + 1]), (at_least(3.5),)) for low in (0.0, 1.0, 3.0))
    witness = falsify(Network(lambda x: x, 1, 1), Property(cases))
    assert witness is not None
    assert witness.case == 2
    assert 3.5 <= float(witness.x[0]) <= 4


def test_what_holds_in_float64_alone_is_no_counterexample_in_float32():
    """Added to 2^24 and taken away again a small number is 0 in float32."""
    lost = lambda x: (x + 2.0**24) - 2.0**24  # noqa: E731
    large, small = asked([0.1], [0.4], at_least(0.3)), asked([0.1], [0.4], Halfspaces(torch.ones(1, 1), torch.zeros(1)))
    assert falsify(Network(lost, 1, 1), large) is None
    assert falsify(Network(lost, 1, 1, torch.float64), large) is not None
    assert falsify(Network(lost, 1, 1), small) is not None
    assert falsify(Network(lost, 1, 1, torch.float64), small) is None


def test_a_violation_is_judged_in_exact_arithmetic():
    sums = Case(box([0.0], [1.0]), (Halfspaces(torch.ones(1, 3), torch.zeros(1)),))
    orders = [torch.tensor(y, dtype=torch.float64) for y in itertools.permutations([1e17, 1.0, -1e17])]
    assert min(float(sums.margin(y)) for y in orders) <= 0, "in some order, which one is the machine's, the 1 is lost"
    assert not any(is_violated(sums, torch.tensor([0.5]), y) for y in orders)
    assert is_violated(sums, torch.tensor([0.5]), torch.tensor([1e17, 0.0, -1e17], dtype=torch.float64))
    assert not is_violated(sums, torch.tensor([1.5]), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_outputs_that_are_no_numbers_are_no_counterexample(value):
    unsafe = Halfspaces(torch.zeros(0, 1), torch.zeros(0))
    assert falsify(Network(lambda x: x * value, 1, 1), asked([1.0], [2.0], unsafe)) is None


def test_of_all_outputs_any_is_a_counterexample():
    assert falsify(Network(lambda x: x, 1, 1), asked([1.0], [2.0], Halfspaces(torch.zeros(0, 1), torch.zeros(0))))


def test_a_constant_network_has_no_gradient_and_no_counterexample():
    assert falsify(Network(lambda x: torch.ones(1), 1, 1), asked([0.0], [1.0], at_least(2.0))) is None


def test_a_number_that_float32_cannot_hold_is_asked_about_as_the_network_reads_it():
    """The box is the point 0.1; the network is given 0.100000001490116."""
    identity = Network(lambda x: x, 1, 1)
    witness = falsify(identity, asked([0.1], [0.1], at_least(0.1)))
    assert witness is not None
    assert float(witness.x[0]) == 0.1
    assert float(witness.y[0]) == float(np.float32(0.1)) > 0.1
    received = identity.received(box([0.1], [0.1]))
    assert (float(received.lower[0]), float(received.upper[0])) == (0.1, float(np.float32(0.1)))
    assert falsify(identity, asked([0.1], [0.1], at_least(0.1001))) is None


ENDS = st.floats(-1e6, 1e6)


@hypothesis.settings(max_examples=200)
@hypothesis.given(ENDS, st.one_of(st.just(0.0), st.floats(0, 1e-3), st.floats(0, 10)))
def test_the_numbers_of_a_box_are_the_outermost_of_float32_inside(lower, width):
    one = box([lower], [lower + width])
    least, greatest = (end[0] for end in one.numbers(torch.float32))
    assert one.lower <= least <= greatest <= one.upper
    inside = np.float32([least, greatest])
    if (inside == [float(least), float(greatest)]).all():
        before, after = np.nextafter(inside, np.float32([-np.inf, np.inf])).astype(float)
        assert before < lower
        assert after > lower + width
    else:
        near = np.nextafter(np.float32(lower), np.float32([-np.inf, np.inf])).astype(float)
        assert not ((near >= lower) & (near <= lower + width)).any()


def test_points_are_rounded_into_the_box_before_they_are_replayed():
    identity = Network(lambda x: x, 2, 2)
    question = asked([0.1, 0.0], [0.3, 1.0], at_least(0.3, 2, 0), at_least(0.25, 2, 0))
    witness = replay(identity, question, 0, torch.tensor([[0.2, 5.0], [7.0, -3.0]]))
    assert witness is not None
    assert float(witness.x[0]) == float(np.nextafter(np.float32(0.3), np.float32(0))), "0.3 is rounded up in float32"
    assert float(witness.x[1]) == 0.0
    assert replay(identity, question, 0, torch.tensor([[0.2, 0.5]])) is None


def test_the_same_seed_finds_the_same_counterexample():
    peak = Network(bump([0.3] * 10, 0.3), 10, 1)
    cube = asked([-1.0] * 10, [1.0] * 10, at_least(0.0))
    witnesses = [falsify(peak, cube, Attack(seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(witnesses[0].x, witnesses[1].x)
    assert not torch.equal(witnesses[0].x, witnesses[2].x)


def test_no_step_is_begun_when_the_time_is_up():
    calls = []
    network = Network(lambda x: calls.append(1) or x, 1, 1)
    assert falsify(network, asked([0.0], [1.0], at_least(0.5)), deadline=time.monotonic() - 1) is None
    assert calls == []


def test_a_clear_counterexample_is_preferred_to_a_tie():
    """At the corners the output is exactly on the edge, inside it is beyond."""
    arch = Network(lambda x: x * (1 - x), 1, 1)
    witness = falsify(arch, asked([0.0], [1.0], at_least(0.0)))
    assert witness is not None
    assert float(witness.y[0]) > 0.1


@pytest.mark.parametrize("name", ["restarts", "steps"])
def test_a_search_of_less_than_nothing_is_refused(name):
    with pytest.raises(UserError, match=f"`{name}` -1"):
        Attack(**{name: -1})


def test_outside_counterexamples_are_found_and_no_others(instances):
    pytest.importorskip("onnx")
    for path, property_path, answer, _ in instances("rl_benchmarks")[::8]:
        network = read_network(path)
        question = read_property(property_path, network.input_size, network.output_size)
        witness = falsify(network, question, Attack(restarts=32, steps=15 if answer == "sat" else 2))
        assert answer == "disputed" or (witness is not None) == (answer == "sat"), property_path.name
