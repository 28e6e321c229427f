"""Branch and bound over the input: right on both sides of a bound that is known, and honest when it stops."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.attack import Attack
from robolearn.verify.search.decide import decide
from robolearn.verify.search.input_split import InputSearch, search_inputs, shrunk

NO_ATTACK = Attack(restarts=0, steps=0)


def network(seed, sizes=(2, 16, 16, 1), activation=nn.ReLU):
    torch.manual_seed(seed)
    layers = [one for n, m in pairwise(sizes) for one in (nn.Linear(n, m), activation())]
    net = nn.Sequential(*layers[:-1]).requires_grad_(False)
    return Network(lambda x: net(x[None])[0], sizes[0], sizes[-1])


def below(limit, low=-1.0, high=1.0, size=2):
    """Whether an output of at most `limit` is possible in a box."""
    box = Box(torch.full((size,), low), torch.full((size,), high))
    return Property((Case(box, (Halfspaces(torch.ones(1, 1), torch.tensor([-limit])),)),))


def least(net, size=2, per_axis=301):
    axis = torch.linspace(-1, 1, per_axis)
    x = torch.cartesian_prod(*[axis] * size).view(-1, size)
    return float(net.batched(x).min())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU])
@pytest.mark.parametrize("seed", range(4))
def test_both_sides_of_the_minimum_are_decided(seed, activation):
    net = network(seed, activation=activation)
    minimum = least(net)
    low = decide(net, below(minimum - 0.01), seconds=20.0, attack=NO_ATTACK)
    assert (low.answer, low.bound > 0) == ("unsat", True)
    high = decide(net, below(minimum + 1e-4), seconds=20.0, attack=NO_ATTACK)
    assert high.answer == "sat"
    assert high.witness is not None
    assert float(net.replay(high.witness.x)) <= minimum + 1e-4


def test_the_bound_of_a_search_that_is_stopped_holds_for_all_boxes():
    net = network(3, sizes=(4, 64, 64, 1))
    graph = lower(net.function, torch.zeros(4), "exact")
    case = below(-0.6, size=4).cases[0]
    verdict = search_inputs(graph, case, lambda x: None, seconds=0.3, batch=8)
    x = torch.rand(100_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    assert verdict.bound <= float(case.margin(graph(x)).min())
    if verdict.answer == "unknown":
        assert verdict.reason == "the time is up"


def test_every_set_of_unsafe_outputs_has_to_be_excluded():
    net = network(1)
    minimum = least(net)
    safe = Halfspaces(torch.ones(1, 1), torch.tensor([-(minimum - 0.1)]))
    unsafe = Halfspaces(torch.ones(1, 1), torch.tensor([-(minimum + 0.01)]))
    box = Box(-torch.ones(2), torch.ones(2))
    for sets, answer in (((safe,), "unsat"), ((safe, unsafe), "sat"), ((unsafe, safe), "sat")):
        assert decide(net, Property((Case(box, sets),)), seconds=20.0, attack=NO_ATTACK).answer == answer
    both = Halfspaces(torch.tensor([[1.0], [-1.0]]), torch.tensor([-(minimum + 0.04), minimum + 0.02]))
    assert decide(net, Property((Case(box, (both,)),)), seconds=20.0, attack=NO_ATTACK).answer == "sat"
    never = Halfspaces(torch.tensor([[1.0], [-1.0]]), torch.tensor([-(minimum + 0.02), minimum + 0.04]))
    assert decide(net, Property((Case(box, (never,)),)), seconds=20.0, attack=NO_ATTACK).answer == "unsat"


def test_a_set_without_rows_is_every_output():
    always = Halfspaces(torch.zeros(0, 1), torch.zeros(0))
    box = Box(-torch.ones(2), torch.ones(2))
    assert decide(network(0), Property((Case(box, (always,)),)), seconds=5.0, attack=NO_ATTACK).answer == "sat"


def test_only_the_case_that_is_violated_is_reported():
    net = network(2)
    minimum = least(net)
    cases = below(minimum - 0.1).cases + below(minimum + 0.01).cases
    verdict = decide(net, Property(cases), seconds=20.0, attack=NO_ATTACK)
    assert verdict.answer == "sat"
    assert verdict.witness is not None
    assert verdict.witness.case == 1


@pytest.mark.parametrize("seed", range(3))
def test_what_is_cut_from_a_box_is_safe(seed):
    net = network(seed, sizes=(3, 24, 24, 2))
    graph = lower(net.function, torch.zeros(3), "exact")
    torch.manual_seed(seed)
    y = graph(torch.rand(5000, 3, dtype=torch.float64) * 2 - 1)
    one = Halfspaces(torch.eye(2), -y.quantile(0.35, dim=0))
    other = Halfspaces(-torch.eye(2)[:1], y[:, :1].quantile(0.95, dim=0))
    case = Case(Box(-torch.ones(3), torch.ones(3)), (one, other))
    search = InputSearch(graph, case, lambda x: None)
    middles = torch.rand(40, 3, dtype=torch.float64) * 1.6 - 0.8
    boxes = search.parts[torch.zeros(40, dtype=torch.long)]
    boxes.lower[:], boxes.upper[:] = middles - 0.1, middles + 0.1
    boxes, bound = search.bound(boxes)
    share = torch.rand(40, 2000, 3, dtype=torch.float64)
    x = boxes.lower[:, None] + share * 0.2
    unsafe = case.margin(graph(x.view(-1, 3))).view(40, 2000) <= 0
    left, _ = shrunk(boxes, bound, search.rows.sets)
    points = x.view(-1, 1, 3)
    kept = ((left.lower - 1e-15 <= points) & (points <= left.upper + 1e-15)).all(2)
    assert unsafe.any(), "the test needs points that are unsafe"
    assert kept.any(1)[unsafe.view(-1)].all()
    assert len(left) < 40 or (left.upper - left.lower < 0.1999).any(), "something was cut"


def test_without_time_nothing_is_proved():
    verdict = decide(network(0), below(-100.0), seconds=0.0, attack=NO_ATTACK)
    assert (verdict.answer, verdict.reason) == ("unknown", "the time is up")
    assert verdict.bound == -torch.inf


def test_a_half_space_is_cut_where_it_ends():
    """Of a sum of three inputs the bounds are exact: at most 1.9 of [0.5, 1]^3 leaves inputs of at most 0.9."""
    graph = lower(lambda x: x.sum(-1, keepdim=True), torch.zeros(1, 3), "exact")
    case = Case(
        Box(torch.full((3,), 0.5), torch.ones(3)),
        (Halfspaces(torch.ones(1, 1), torch.tensor([-1.9], dtype=torch.float64)),),
    )
    search = InputSearch(graph, case, lambda x: None)
    left, _ = shrunk(*search.bound(search.parts), search.rows.sets)
    assert (left.upper >= 0.9 - 1e-15).all()
    assert torch.allclose(left.upper, torch.full((1, 3), 0.9).double(), atol=1e-9)
    assert torch.equal(left.lower, search.parts.lower)
