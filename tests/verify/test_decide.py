"""The answer to a property: proved, violated or open, and never one for the other."""

import math

import pytest
import torch
from torch import nn

from robolearn.errors import UserError
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.decide import decide
from robolearn.verify.search.milp import least_margin


def small(seed, activation=nn.ReLU, inputs=3, outputs=2):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(inputs, 10), activation(), nn.Linear(10, 8), activation(), nn.Linear(8, outputs))
    return Network(net.requires_grad_(False), inputs, outputs)


def asked(lower_ends, upper_ends, *unsafe):
    box = Box(torch.tensor(lower_ends, dtype=torch.float64), torch.tensor(upper_ends, dtype=torch.float64))
    return Property((Case(box, unsafe),))


def below(value, outputs=2):
    """First output less the second at most a value."""
    weights = torch.zeros(1, outputs)
    weights[0, :2] = torch.tensor([1.0, -1.0])[:outputs]
    return Halfspaces(weights, torch.tensor([-value], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_the_exact_program_on_either_side_of_the_least_margin(seed):
    network = small(seed)
    cube = asked([-1.0] * 3, [1.0] * 3, below(0.0))
    exact = lower(network.function, torch.zeros(3), "exact")
    best = least_margin(exact, cube.cases[0].box, cube.cases[0].unsafe[0])
    assert best.is_solved
    for step, expected in ((-1e-4, "unsat"), (1e-4, "sat")):
        verdict = decide(network, asked([-1.0] * 3, [1.0] * 3, below(best.value + step)), seconds=30.0)
        assert verdict.answer == expected
        if expected == "unsat":
            assert 0 < verdict.bound <= 1e-4 + 1e-6, "it is a bound on the margin"
        else:
            y = network.replay(verdict.witness.x)
            assert float(y[0] - y[1]) <= best.value + step


def test_a_property_of_several_cases_is_violated_by_one():
    network = Network(lambda x: torch.cat([x, x.relu()]), 1, 2)
    box = [Box(*torch.tensor([[low], [low + 0.5]], dtype=torch.float64)) for low in (0.25, 1.0, 2.0)]
    unsafe = Halfspaces(torch.tensor([[-1.0, 0.0]]), torch.tensor([2.25]))
    verdict = decide(network, Property(tuple(Case(one, (unsafe,)) for one in box)))
    assert (verdict.answer, verdict.witness.case) == ("sat", 2)
    proved = decide(network, Property(tuple(Case(one, (unsafe,)) for one in box[:2])))
    assert proved.answer == "unsat"
    assert 0 < proved.bound <= 0.75


def test_what_the_time_does_not_allow_is_unknown_and_says_why():
    network, cube = small(1), [[-1.0] * 3, [1.0] * 3]
    least = float(torch.stack([(y := network.replay(2 * torch.rand(3) - 1))[0] - y[1] for _ in range(200)]).min())
    verdict = decide(network, asked(*cube, below(least - 0.3)), seconds=0.0)
    assert (verdict.answer, verdict.witness) == ("unknown", None)
    assert verdict.reason == "the time is up"
    assert verdict.bound <= 0
    assert decide(network, asked(*cube, below(least - 5.0)), seconds=30.0).answer == "unsat"


def test_an_input_is_proved_as_the_network_reads_it():
    """Of the box 0.1 the network sees 0.100000001490116, which is beyond; real numbers alone would not be."""
    identity = Network(lambda x: x * 1.0, 1, 1)
    unsafe = Halfspaces(-torch.ones(1, 1), torch.tensor([0.1 + 1e-10], dtype=torch.float64))
    assert decide(identity, asked([0.1], [0.1], unsafe)).answer == "sat"
    clear = Halfspaces(-torch.ones(1, 1), torch.tensor([0.1 + 1e-6], dtype=torch.float64))
    assert decide(identity, asked([0.1], [0.1], clear)).answer == "unsat"


def test_an_operation_without_bounds_is_named():
    with pytest.raises(UserError, match=r"aten\.erf"):
        decide(Network(torch.erf, 1, 1), asked([0.0], [1.0], below(-5.0, 1)))


def test_a_tie_that_float32_may_round_either_way_is_not_proved():
    """y = x - x + (x + 1) - 1 is x but for what float32 rounds."""
    rounding = Network(lambda x: (x + 1.0) - 1.0, 1, 1)
    unsafe = Halfspaces(-torch.ones(1, 1), torch.tensor([0.3 + 1e-9], dtype=torch.float64))
    verdict = decide(rounding, asked([0.1], [0.3], unsafe), seconds=0.5)
    assert verdict.answer != "unsat"
    assert math.isinf(verdict.bound) or verdict.bound <= 0


@pytest.mark.parametrize("seed", range(10))
def test_what_a_counterexample_was_planted_in_is_never_proved(seed):
    """The unsafe outputs are those within a thousandth of what a hidden input has: few inputs have such."""
    network = small(seed, nn.Tanh if seed % 2 else nn.ReLU)
    hidden = 2 * torch.rand(3, generator=torch.Generator().manual_seed(seed)) - 1
    y = network.replay(hidden)
    weights = torch.cat([torch.eye(2, dtype=torch.float64), -torch.eye(2, dtype=torch.float64)])
    planted = Halfspaces(weights, -weights @ y - 1e-3)
    verdict = decide(network, asked([-1.0] * 3, [1.0] * 3, planted), seconds=0.5, precision="float32")
    assert verdict.answer != "unsat"
    if verdict.witness is not None:
        assert float(planted.margin(network.replay(verdict.witness.x))) <= 0
