"""Properties in VNN-LIB 1, the format of the competition of verifiers (vnnlib.org): a formula of its violations.

    (declare-const X_0 Real)              an input; Y_0 is an output
    (assert (<= X_0 0.5))                 all asserts hold together
    (assert (or (and (<= Y_0 Y_1) (>= Y_1 0.1)) (<= (+ Y_0 (* 2.0 Y_1)) 3.0)))

Numbers are meant as they are written, in decimal, and most of them are no float64. Bounds and constants are rounded
outward, to the next float64 that makes the box or the unsafe set larger: what is proved of the float64 numbers is then
proved of the written ones. Between two neighbors in float64 there is no float32 number, so that a float32 input in the
rounded box is in the written one too, unless it is the rounded bound itself.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import torch

from robolearn.errors import UserError, one_line
from robolearn.verify.formats.conditions import (
    LARGEST,
    Condition,
    Conjunction,
    Term,
    bounds,
    contradiction,
    disjunctive,
)
from robolearn.verify.formats.expressions import Expression, read_expressions, refusal
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.verdict import Witness

VARIABLE = re.compile(r"([XY])_(0|[1-9]\d{0,8})")
MAX_BYTES = 2**28  # of text, once it is unpacked
Bounds = tuple[tuple[Fraction, Fraction], ...]


def read_property(path: Path, num_inputs: int, num_outputs: int) -> Property:
    """A property of a network, from a file that may be packed by gzip (``.gz``).

    Conjunctions with the same bounds of the inputs become one case.

    Args:
        path: The file.
        num_inputs: Numbers that the network reads.
        num_outputs: Numbers that it gives.

    Raises:
        UserError: The file is not VNN-LIB 1, or asks for what cannot be answered; the line is named.
        OSError: It cannot be read.
    """
    try:
        return parse_property(_read_text(path), num_inputs, num_outputs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def parse_property(text: str, num_inputs: int, num_outputs: int) -> Property:
    """The same of a text; see `read_property`."""
    expressions = read_expressions(text)
    if not expressions:
        raise UserError("it is empty")
    declared = _declared([one for one in expressions if one.head == "declare-const"])
    for letter, name, number in (("X", "inputs", num_inputs), ("Y", "outputs", num_outputs)):
        mine = {variable for variable in declared if variable.startswith(letter)}
        if mine != {f"{letter}_{i}" for i in range(number)}:
            said = f"it declares {len(mine)} {name}" + (f" up to {max(mine, key=_index)}" if mine else "")
            raise UserError(f"{said}; the network has {number}, {letter}_0 to {letter}_{number - 1}")
    asserts = [one for one in expressions if one.head != "declare-const"]
    for one in asserts:
        if one.head != "assert" or len(one.parts) != 2:
            raise refusal(one.line, f"{one} is not known; known are (declare-const NAME Real) and (assert FORMULA)")
    if not asserts:
        raise UserError("it asserts nothing")
    return _property(disjunctive([one.parts[1] for one in asserts], declared), num_inputs, num_outputs)


def _read_text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"it is not a whole gzip file ({one_line(error)})") from None
    except UnicodeDecodeError:
        raise UserError("it is not text") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"it has more than {MAX_BYTES // 2**20} MiB of text")
    return text


def _declared(declarations: Sequence[Expression]) -> set[str]:
    names: set[str] = set()
    for one in declarations:
        name, kind = (part.word for part in one.parts[1:]) if len(one.parts) == 3 else ("", "")
        if not VARIABLE.fullmatch(name) or kind != "Real":
            raise refusal(one.line, f"{one} declares no input (declare-const X_0 Real) and no output Y_0")
        if name in names:
            raise refusal(one.line, f"{name} is declared twice")
        names.add(name)
    return names


def _property(conjunctions: Sequence[Conjunction], num_inputs: int, num_outputs: int) -> Property:
    cases: dict[Bounds, list[Halfspaces]] = {}
    empty: str | None = None
    for conjunction in conjunctions:
        if (wrong := contradiction(conjunction)) is not None:  # such a conjunction can never hold
            empty = wrong
            continue
        inputs = [one for one in conjunction if _reads_inputs(one)]
        outputs = [one for one in conjunction if not _reads_inputs(one)]
        cases.setdefault(_box_bounds(inputs, num_inputs), []).append(_halfspaces(outputs, num_outputs))
    if not cases:
        raise UserError(f"no input fulfills it: {empty}")
    return Property(tuple(Case(_box(bounds), tuple(unsafe)) for bounds, unsafe in cases.items()))


def _reads_inputs(condition: Condition) -> bool:
    """Whether a condition is one of an input.

    Raises:
        UserError: It is one of inputs and outputs, or of several inputs.
    """
    inputs = [name for name in condition.term.coefficients if name.startswith("X_")]
    if inputs and len(inputs) < len(condition.term.coefficients):
        raise refusal(condition.line, "a condition that mixes inputs and outputs is not supported")
    if len(inputs) > 1:
        raise refusal(condition.line, f"a condition between the inputs {', '.join(inputs[:4])} is not supported")
    return bool(inputs)


def _box_bounds(conditions: Iterable[Condition], num_inputs: int) -> Bounds:
    """Lower and upper bound of each input, exact.

    Raises:
        UserError: One is missing.
    """
    intervals, exact = bounds(conditions), []
    for name in (f"X_{i}" for i in range(num_inputs)):
        lower, upper = intervals.get(name, (None, None))
        if lower is None or upper is None:
            raise UserError(f"the input {name} has no {'lower' if lower is None else 'upper'} bound")
        exact.append((lower, upper))
    return tuple(exact)


def _box(exact: Bounds) -> Box:
    lower, upper = ([round_up(-one[0]) for one in exact], [round_up(one[1]) for one in exact])
    return Box(-torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64))


def _halfspaces(conditions: Sequence[Condition], num_outputs: int) -> Halfspaces:
    weights = torch.zeros(len(conditions), num_outputs, dtype=torch.float64)
    offset = torch.zeros(len(conditions), dtype=torch.float64)
    for row, condition in enumerate(conditions):
        term = _with_exact_weights(condition)
        for name, factor in term.coefficients.items():
            weights[row, _index(name)] = float(factor)
        offset[row] = -round_up(-term.constant)
    return Halfspaces(weights, offset)


def _with_exact_weights(condition: Condition) -> Term:
    """A positive multiple whose coefficients are float64 numbers, so that none is rounded.

    Raises:
        UserError: Not even the smallest integers that are in the same ratio can be written as float64.
    """
    factors = condition.term.coefficients.values()
    if all(abs(one) < 2**1000 and Fraction(float(one)) == one for one in factors):
        return condition.term
    scale = Fraction(math.lcm(*(one.denominator for one in factors)), math.gcd(*(one.numerator for one in factors)))
    scaled = Term({}, Fraction(0)).plus(condition.term, scale)
    if any(abs(one) > 2**53 for one in scaled.coefficients.values()) or abs(scaled.constant) > LARGEST:
        raise refusal(condition.line, "the coefficients have more digits than float64 can hold in this ratio")
    return scaled


def written_witness(witness: Witness) -> str:
    """A counterexample as the competition writes it, ``((X_0 0.5) ... (Y_0 1.25))``, a variable a line.

    Numbers have as many digits as it takes to read the same float64 number again.
    """
    pairs = [
        (f"{letter}_{i}", value) for letter, one in (("X", witness.x), ("Y", witness.y)) for i, value in enumerate(one)
    ]
    return "(" + "\n".join(f"({name} {float(value)!r})" for name, value in pairs) + ")"


def round_up(number: Fraction) -> float:
    """The least float64 that is not below a number of at most the largest finite float64."""
    nearest = float(number)
    return nearest if Fraction(nearest) >= number else math.nextafter(nearest, math.inf)


def _index(name: str) -> int:
    return int(name[2:])
