"""Boxes, half-spaces, cases and properties: what they mean, and what they refuse."""

import math

import pytest
import torch

from robolearn.errors import UserError
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.verdict import Verdict, Witness

BOX = Box(torch.tensor([0.0, -1.0]), torch.tensor([1.0, 1.0]))
FIRST_IS_LARGEST = Halfspaces(torch.tensor([[-1.0, 1.0]]), torch.zeros(1))
BOTH_ABOVE_2 = Halfspaces(-torch.eye(2), torch.full((2,), 2.0))


def test_a_box_has_its_edges():
    points = torch.tensor([[0.0, -1.0], [1.0, 1.0], [0.5, 0.0], [1.0, 1.0001], [-1e-9, 0.0], [math.nan, 0.0]])
    assert BOX.contains(points).tolist() == [True, True, True, False, False, False]
    assert BOX.lower.dtype == torch.float64
    assert BOX.center.tolist() == [0.5, 0.0]


def test_the_center_of_a_huge_box_is_in_it():
    huge = Box(torch.tensor([-1.7e308, 1.6e308], dtype=torch.float64), torch.tensor([1.7e308] * 2, dtype=torch.float64))
    assert huge.contains(huge.center)
    tiny = Box(torch.tensor([5e-324], dtype=torch.float64), torch.tensor([5e-324], dtype=torch.float64))
    assert tiny.contains(tiny.center)


def test_a_conjunction_is_violated_where_all_rows_are():
    y = torch.tensor([[3.0, 2.0], [3.0, 1.0], [1.0, 3.0]])
    assert BOTH_ABOVE_2.margin(y).tolist() == [0.0, 1.0, 1.0]
    assert BOTH_ABOVE_2.rows(y).tolist() == [[-1.0, 0.0], [-1.0, 1.0], [1.0, -1.0]]


def test_a_disjunction_is_violated_where_one_is():
    case = Case(BOX, (FIRST_IS_LARGEST, BOTH_ABOVE_2))
    inside, outside = torch.tensor([0.5, 0.5]), torch.tensor([2.0, 0.5])
    y = torch.tensor([[1.0, 0.0], [2.0, 3.0], [1.0, 1.5]])
    assert case.violated(inside, y).tolist() == [True, True, False]
    assert case.violated(outside, y).tolist() == [False, False, False]
    assert case.margin(y).tolist() == [-1.0, 0.0, 0.5]


def test_no_condition_on_the_outputs_is_violated_everywhere():
    case = Case(BOX, (Halfspaces(torch.zeros(0, 2), torch.zeros(0)),))
    assert case.violated(torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 2.0]])).all()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Box(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 1.0])), r"lower bound 1.0 of input 0 .* 0.5"),
        (lambda: Box(torch.tensor([math.nan]), torch.tensor([0.5])), "lower bound nan of input 0 is not finite"),
        (lambda: Box(torch.tensor([0.0]), torch.tensor([math.inf])), "upper bound inf of input 0 is not finite"),
        (lambda: Box(torch.zeros(2), torch.zeros(3)), r"one size, not of shapes \[2\] and \[3\]"),
        (lambda: Box(torch.zeros(0), torch.zeros(0)), "one size"),
        (lambda: Box(torch.zeros(1, 2), torch.zeros(1, 2)), "two vectors"),
        (lambda: Halfspaces(torch.zeros(2, 3), torch.zeros(3)), r"not of shapes \[2, 3\] and \[3\]"),
        (lambda: Halfspaces(torch.zeros(2), torch.zeros(2)), r"weights \[k, m\]"),
        (lambda: Halfspaces(torch.tensor([[math.inf]]), torch.zeros(1)), "not finite"),
        (lambda: Halfspaces(torch.zeros(1, 1), torch.tensor([math.nan])), "not finite"),
        (lambda: Case(BOX, ()), "names no outputs"),
        (lambda: Case(BOX, (BOTH_ABOVE_2, Halfspaces(torch.zeros(1, 3), torch.zeros(1)))), "outputs differ: 2, 3"),
        (lambda: Property(()), "no case"),
        (
            lambda: Property((Case(BOX, (BOTH_ABOVE_2,)), Case(Box(torch.zeros(1), torch.ones(1)), (BOTH_ABOVE_2,)))),
            "inputs differ: 1, 2",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(make, line):
    with pytest.raises(UserError, match=line) as error:
        make()
    assert "\n" not in str(error.value)


def test_sizes_are_those_of_the_parts():
    asked = Property((Case(BOX, (Halfspaces(torch.zeros(1, 3), torch.zeros(1)),)),))
    assert (asked.num_inputs, asked.num_outputs) == (2, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"answer": "unsat", "bound": 0.0},
        {"answer": "unsat", "bound": math.nan},
        {"answer": "sat", "bound": -1.0},
        {"answer": "unknown", "bound": -1.0},
        {"answer": "unknown", "bound": 1.0, "reason": "the time is up"},
        {"answer": "unknown", "bound": -1.0, "witness": Witness(torch.zeros(1), torch.zeros(1), 0), "reason": "time"},
    ],
)
def test_a_verdict_cannot_contradict_itself(wrong):
    with pytest.raises(AssertionError):
        Verdict(**wrong)
