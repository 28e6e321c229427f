"""VNN-LIB: a property says the same as its formula, numbers are rounded outward, and what is wrong is one line."""

import gzip
import itertools
import math
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from robolearn.errors import UserError
from robolearn.verify.formats import conditions
from robolearn.verify.formats.vnnlib import parse_property, read_property, round_up

SIZES = {"cartpole": (4, 2), "lunarlander": (8, 4), "dubinsrejoin": (8, 8), "prop": (5, 5)}
DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (and (<= 0 X_0 1) (>= X_1 -1) (<= X_1 2.5)))\n"


def parsed(text):
    """Nested lists of a text, read in another way than the reader does."""
    lines = " ".join(line.split(";")[0] for line in text.splitlines())
    stack = [[]]
    for token in lines.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token)
    return stack[0]


def value(formula, numbers):
    """What a formula is for these numbers, as it stands, in exact arithmetic."""
    if isinstance(formula, str):
        return numbers[formula] if formula in numbers else Fraction(formula)
    operator, *operands = formula[0], *(value(one, numbers) for one in formula[1:])
    if operator in ("<=", ">="):
        pairs = itertools.pairwise(operands)
        return all(a <= b if operator == "<=" else a >= b for a, b in pairs)
    if operator == "-" and len(operands) == 1:
        return -operands[0]
    return {"and": all, "or": any, "+": sum, "*": math.prod, "-": lambda v: v[0] - sum(v[1:])}[operator](operands)


def says_the_same(text, asked, x, y):
    """Whether a property is violated exactly where all its asserts hold, at points x [b, n] with y [b, m]."""
    asserts = [one[1] for one in parsed(text) if one[0] == "assert"]
    violated = torch.stack([case.violated(torch.tensor(x), torch.tensor(y)) for case in asked.cases]).any(0)
    return violated.tolist() == [all(value(one, numbers) for one in asserts) for numbers in named(x, y)]


def named(x, y):
    """Variable -> number, point by point."""
    for row in np.hstack([x, y]).tolist():
        names = [f"X_{i}" for i in range(x.shape[1])] + [f"Y_{i}" for i in range(y.shape[1])]
        yield dict(zip(names, map(Fraction, row), strict=True))


def test_all_outside_properties_say_what_their_formulas_say(outside):
    rng, files = np.random.default_rng(0), sorted(outside.glob("*/vnnlib/*.vnnlib"))
    assert len(files) == 296 + 7
    for path in files:
        num_inputs, num_outputs = SIZES[path.name.split("_")[0]]
        asked = read_property(path, num_inputs, num_outputs)
        ends = [(case.box.lower.numpy(), case.box.upper.numpy()) for case in asked.cases]
        x = np.concatenate([rng.uniform(*end, (2, num_inputs)) for end in ends])
        x[::2, rng.integers(num_inputs)] = 2.0  # beyond all boxes
        assert says_the_same(path.read_text(), asked, x, rng.normal(size=(len(x), num_outputs))), path.name


NUMBERS = st.sampled_from(["0", "1", "-1", "0.5", "-.25", "1.5e0", "2.", "-75e-2", "+1"])
OUTPUTS = st.sampled_from(["Y_0", "Y_1"])
TERMS = st.recursive(
    st.one_of(NUMBERS, OUTPUTS),
    lambda inner: st.one_of(
        st.builds(lambda o, a, b: f"({o} {a} {b})", st.sampled_from(["+", "-"]), inner, inner),
        st.builds(lambda n, a: f"(* {n} {a})", NUMBERS, inner),
        st.builds(lambda a: f"(- {a})", inner),
    ),
    max_leaves=3,
)
ATOMS = st.one_of(
    st.builds(lambda o, a, b: f"({o} {a} {b})", st.sampled_from(["<=", ">="]), OUTPUTS, TERMS),
    st.builds(
        lambda o, i, n: f"({o} X_{i} {n})", st.sampled_from(["<=", ">="]), st.sampled_from("01"), st.sampled_from("01")
    ),
)
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.builds(
        lambda o, parts: f"({o} {' '.join(parts)})",
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@hypothesis.settings(max_examples=100)
@hypothesis.given(formulas=st.lists(FORMULAS, min_size=1, max_size=3), seed=st.integers(0, 2**32 - 1))
def test_nested_formulas_say_the_same_as_their_normal_form(formulas, seed):
    text = DECLARED + BOX + "\n".join(f"(assert {one})" for one in formulas)
    try:
        asked = parse_property(text, 2, 2)
    except UserError as error:
        hypothesis.assume("is above its upper" not in str(error) and "depends on no variable" not in str(error))
        raise
    rng = np.random.default_rng(seed)  # quarters are exact, and meet the bounds
    assert says_the_same(text, asked, rng.integers(-2, 9, (20, 2)) / 4, rng.integers(-8, 9, (20, 2)) / 4)


def test_conjunctions_of_the_same_box_share_a_case():
    parts = "(and (<= X_0 0.5) (<= Y_0 0)) (and (<= X_0 0.5) (<= Y_1 0)) (<= Y_0 Y_1)"
    asked = parse_property(f"{DECLARED}{BOX}(assert (or {parts}))", 2, 2)
    assert [(float(case.box.upper[0]), len(case.unsafe)) for case in asked.cases] == [(0.5, 2), (1.0, 1)]


def test_a_way_that_can_never_hold_is_left_out():
    ors = "(assert (or (<= X_0 0.25) (>= X_0 0.75)))(assert (or (<= X_0 0.3) (>= X_0 0.8)))"
    asked = parse_property(DECLARED + BOX + ors, 2, 2)
    assert [(float(case.box.lower[0]), float(case.box.upper[0])) for case in asked.cases] == [
        (0.0, 0.25),
        (math.nextafter(0.8, 0) if Fraction(0.8) > Fraction("0.8") else 0.8, 1.0),
    ]


def test_without_a_condition_on_outputs_every_output_is_unsafe():
    case = parse_property(DECLARED + BOX, 2, 2).cases[0]
    assert case.violated(torch.zeros(2), torch.tensor([1e9, -1e9]))


@hypothesis.settings(max_examples=100)
@hypothesis.given(digits=st.from_regex(r"-?\d{1,3}\.\d{1,25}(e-?\d{1,2})?", fullmatch=True))
def test_decimals_are_rounded_outward_by_the_least_step(digits):
    text = f"{DECLARED}(assert (<= {digits} X_0 {digits}))(assert (<= 0 X_1 1))(assert (>= Y_0 {digits}))"
    case = parse_property(text, 2, 2).cases[0]
    lower, upper, exact = float(case.box.lower[0]), float(case.box.upper[0]), Fraction(digits)
    assert Fraction(lower) <= exact <= Fraction(upper)
    assert lower == upper or (math.nextafter(lower, math.inf) == upper and Fraction(lower) < exact < Fraction(upper))
    assert lower <= float(digits) <= upper
    assert Fraction(float(case.unsafe[0].offset[0])) <= exact, "the unsafe set is as large as the written one"


def test_the_least_float_above():
    assert round_up(Fraction(1, 10)) == 0.1  # which is above a tenth
    assert round_up(Fraction(3, 10)) == math.nextafter(0.3, 1)
    assert round_up(Fraction(-1, 2)) == -0.5


def test_coefficients_are_never_rounded():
    rows = "(<= (* 0.1 Y_0) (+ (* 0.3 Y_1) 0.2)) (<= (* 0.5 Y_0) Y_1)"
    unsafe = parse_property(f"{DECLARED}{BOX}(assert (and {rows}))", 2, 2).cases[0].unsafe[0]
    assert unsafe.weights.tolist() == [[1.0, -3.0], [0.5, -1.0]]
    assert unsafe.offset.tolist() == [-2.0, 0.0]


def test_a_packed_file_is_read(tmp_path):
    path = tmp_path / "p.vnnlib.gz"
    path.write_bytes(gzip.compress((DECLARED + BOX).encode()))
    assert read_property(path, 2, 2).num_inputs == 2


LONG = "1" + "0" * 2000
REFUSED = {
    "": "it is empty",
    " ; nothing but a comment\n": "it is empty",
    DECLARED: "asserts nothing",
    f"{DECLARED}(assert (<= X_0 1)": "line 2: a parenthesis that is opened here is not closed",
    f"{DECLARED}{BOX}\n)": r"line 4: \) stands outside",
    f"{DECLARED}{BOX}assert": "line 3: assert stands outside",
    f"{DECLARED}(assert (<= X_0 1))(assert (<= 0 X_1 1))": "X_0 has no lower bound",
    f"{DECLARED}(assert (<= 0 X_0 1))(assert (<= 0 X_1))": "X_1 has no upper bound",
    f"{DECLARED}{BOX}(assert (or (<= X_0 0.5) (and (<= X_0 0.2) (>= X_0 0.3))))": "line 3: .* 0.3 of X_0 is above",
    f"{DECLARED}(assert (<= X_0 -1))\n{BOX}": r"lower bound 0.0 of X_0 is above its upper bound -1.0",
    f"{DECLARED}{BOX}(assert (or (<= X_0 -1) (>= X_0 2)))": "no input fulfills it: the lower bound 2.0 of X_0",
    f"{DECLARED}{BOX}(assert (<= X_0 NaN))": "line 3: NaN is not finite",
    f"{DECLARED}{BOX}(assert (<= Y_0 -inf))": "line 3: -inf is not finite",
    f"{DECLARED}{BOX}(assert (<= Y_0 1e400))": "line 3: the number 1e400 is beyond float64",
    f"{DECLARED}{BOX}(assert (<= Y_0 {LONG}))": "line 3: the number 1000000.* is beyond float64",
    f"{DECLARED}{BOX}(assert (<= Y_0 1e99999))": "line 3: 1e99999 is neither",
    f"{DECLARED}{BOX}(assert (<= (* 1e-300 X_0) 1e300))": "line 3: the bound of X_0 is beyond float64",
    f"{DECLARED}{BOX}(assert (<= Y_2 1))": "line 3: Y_2 is neither a number nor a variable that is declared",
    f"{DECLARED}{BOX}(assert (<= Y_0 1_000))": "line 3: 1_000 is neither",
    f"{DECLARED}{BOX}(assert (<= Y_0 0x10))": "line 3: 0x10 is neither",
    f"{DECLARED}{BOX}(assert (<= Y_0 X_0))": "line 3: .* mixes inputs and outputs",
    f"{DECLARED}{BOX}(assert (<= X_0 X_1))": "line 3: .* between the inputs X_0, X_1",
    f"{DECLARED}{BOX}(assert (< Y_0 1))": "line 3: < is not a condition that is known; known are and, or, <=, >=",
    f"{DECLARED}{BOX}(assert (not (<= Y_0 1)))": "line 3: not is not a condition",
    f"{DECLARED}{BOX}(assert (<= (/ Y_0 2) 1))": r"line 3: \(/ Y_0 2\) is not a term",
    f"{DECLARED}{BOX}(assert (<= (* Y_0 Y_1) 1))": "is not linear",
    f"{DECLARED}{BOX}(assert (<= (+) 1))": "is not a term",
    f"{DECLARED}{BOX}(assert (<= 0 1))": r"\(<= 0 1\) depends on no variable",
    f"{DECLARED}{BOX}(assert (<= Y_0 Y_0))": "depends on no variable",
    f"{DECLARED}{BOX}(assert (and))": r"\(and\) joins nothing",
    f"{DECLARED}{BOX}(assert (<= Y_0))": "fewer than two terms",
    f"{DECLARED}{BOX}(assert Y_0)": "line 3: Y_0 is not a condition",
    f"{DECLARED}{BOX}(assert ())": r"line 3: \(\) is not a condition",
    f"{DECLARED}{BOX}(assert)": r"line 3: \(assert\) is not known",
    f"{DECLARED}{BOX}(check-sat)": r"line 3: \(check-sat\) is not known",
    f"{DECLARED}{BOX}()": r"line 3: \(\) is not known",
    f"{DECLARED}(declare-const X_0 Real){BOX}": "line 2: X_0 is declared twice",
    "(declare-const X_0 Int)": r"line 1: \(declare-const X_0 Int\) declares no input",
    "(declare-const Z_0 Real)": "declares no input",
    "(declare-const X_00 Real)": "declares no input",
    "(declare-const X_0)": "declares no input",
    f"{DECLARED}(declare-const X_2 Real){BOX}": "declares 3 inputs up to X_2; the network has 2, X_0 to X_1",
    f"(declare-const Y_7 Real){DECLARED}{BOX}": "declares 3 outputs up to Y_7; the network has 2",
    f"{BOX}": "declares 0 inputs; the network has 2",
    f"{DECLARED}{BOX}(assert {'(and ' * 120}(<= Y_0 1){')' * 121}": "line 3: lists are nested more than 100 deep",
    DECLARED + BOX + "(assert (or (<= Y_0 1) (<= Y_1 1)))" * 20: "makes up to 1048576 conjunctions",
    f"{DECLARED}{BOX}(assert (<= (+ (* 1e-30 Y_0) (* 0.1 Y_1)) 1))": "line 3: the coefficients have more digits",
}


@pytest.mark.parametrize(("text", "line"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_wrong_is_named_in_one_line(text, line):
    with pytest.raises(UserError, match=line) as error:
        parse_property(text, 2, 2)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("p.vnnlib", b"\xff\xfe\x00", "it is not text"),
        ("p.vnnlib.gz", b"(assert)", "not a whole gzip file"),
        ("p.vnnlib.gz", gzip.compress(b"(assert)", mtime=0)[:-9], "not a whole gzip file"),
        ("p.vnnlib.gz", gzip.compress(b"(assert (<= X_0 1))", mtime=0)[:12] + b"\x00" * 20, "not a whole gzip file"),
        ("p.vnnlib", b"(assert", r"p\.vnnlib: line 1"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, line):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=line):
        read_property(path, 2, 2)


def test_a_file_too_large_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("robolearn.verify.formats.vnnlib.MAX_BYTES", 100)
    path = tmp_path / "p.vnnlib.gz"
    path.write_bytes(gzip.compress(b" " * 1000, mtime=0))
    with pytest.raises(UserError, match="MiB of text"):
        read_property(path, 2, 2)


def test_many_conditions_in_many_conjunctions_are_refused(monkeypatch):
    monkeypatch.setattr(conditions, "MAX_CONDITIONS", 30)
    text = DECLARED + BOX + "(assert (or (<= Y_0 1) (<= Y_1 1)))" * 3
    with pytest.raises(UserError, match="8 conjunctions of 7 conditions"):
        parse_property(text, 2, 2)
