"""Linear conditions under nested ``and`` and ``or``, brought to disjunctive normal form in exact arithmetic."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from robolearn.verify.formats.expressions import Expression, refusal

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
MAX_DIGITS = 1000  # of one number
LARGEST = Fraction(sys.float_info.max)
MAX_CONJUNCTIONS = 200_000
MAX_CONDITIONS = 10_000_000  # of all conjunctions together


@dataclass(frozen=True)
class Term:
    """A sum of coefficients * variables, without those that are zero, and a constant."""

    coefficients: dict[str, Fraction]
    constant: Fraction

    def plus(self, other: Term, factor: Fraction) -> Term:
        """This and so many times another."""
        names = [*self.coefficients, *(name for name in other.coefficients if name not in self.coefficients)]
        summed = {v: self.coefficients.get(v, 0) + factor * other.coefficients.get(v, 0) for v in names}
        return Term({v: Fraction(c) for v, c in summed.items() if c}, self.constant + factor * other.constant)


@dataclass(frozen=True)
class Condition:
    """``term <= 0``, of at least one variable; it stands in that line."""

    term: Term
    line: int


Conjunction = tuple[Condition, ...]


def disjunctive(formulas: Sequence[Expression], variables: Collection[str]) -> list[Conjunction]:
    """The conjunctions one of which holds exactly where all the formulas do.

    Args:
        formulas: Of ``and``, ``or``, ``<=`` and ``>=``.
        variables: Those that are declared.

    Raises:
        UserError: A formula is malformed, bounds that stand together contradict each other, or there are too many
            conjunctions.
    """
    return _all_of([_choices(one, variables) for one in formulas], formulas[-1].line)


def bounds(conditions: Iterable[Condition]) -> dict[str, tuple[Fraction | None, Fraction | None]]:
    """Variable -> its lower and upper bound, of those conditions that have one variable.

    Raises:
        UserError: One is beyond float64.
    """
    intervals: dict[str, tuple[Fraction | None, Fraction | None]] = {}
    for condition in conditions:
        if len(condition.term.coefficients) == 1:
            ((name, factor),) = condition.term.coefficients.items()
            limit, (lower, upper) = -condition.term.constant / factor, intervals.get(name, (None, None))
            if abs(limit) > LARGEST:
                raise refusal(condition.line, f"the bound of {name} is beyond float64")
            if factor > 0:
                intervals[name] = lower, limit if upper is None else min(upper, limit)
            else:
                intervals[name] = limit if lower is None else max(lower, limit), upper
    return intervals


def contradiction(conditions: Iterable[Condition]) -> str | None:
    """What to say of an input whose lower bound is above its upper one; None where there is none."""
    for name, (lower, upper) in bounds(conditions).items():
        if name.startswith("X_") and lower is not None and upper is not None and lower > upper:
            return f"the lower bound {float(lower)!r} of {name} is above its upper bound {float(upper)!r}"
    return None


def _choices(formula: Expression, variables: Collection[str]) -> list[Conjunction]:
    operator, operands = formula.head, formula.parts[1:]
    if operator in ("and", "or"):
        if not operands:
            raise refusal(formula.line, f"({operator}) joins nothing")
        choices = [_choices(one, variables) for one in operands]
        return _all_of(choices, formula.line) if operator == "and" else list(itertools.chain.from_iterable(choices))
    if operator in ("<=", ">="):
        if len(operands) < 2:
            raise refusal(formula.line, f"{formula} compares fewer than two terms")
        terms = [read_term(one, variables) for one in operands[:: 1 if operator == "<=" else -1]]
        return [tuple(_at_most(*pair, formula) for pair in itertools.pairwise(terms))]
    raise refusal(formula.line, f"{operator or formula} is not a condition that is known; known are and, or, <=, >=")


def _all_of(choices: Sequence[list[Conjunction]], line: int) -> list[Conjunction]:
    """All ways of taking one of each; what leaves no choice is joined once.

    Bounds that are written side by side and contradict each other are a mistake. Those that only meet in some of the
    ways are none: such a way can never hold.
    """
    certain = tuple(itertools.chain.from_iterable(one[0] for one in choices if len(one) == 1))
    if (wrong := contradiction(certain)) is not None:
        raise refusal(certain[-1].line, wrong)
    several = [one for one in choices if len(one) > 1]
    number = math.prod(map(len, several))
    longest = len(certain) + sum(max(map(len, one)) for one in several)
    if number > MAX_CONJUNCTIONS or number * longest > MAX_CONDITIONS:
        most = f"{MAX_CONJUNCTIONS} conjunctions and {MAX_CONDITIONS} conditions"
        raise refusal(line, f"this makes up to {number} conjunctions of {longest} conditions, more than {most}")
    return [certain + tuple(itertools.chain.from_iterable(way)) for way in itertools.product(*several)]


def _at_most(left: Term, right: Term, formula: Expression) -> Condition:
    term = left.plus(right, Fraction(-1))
    if not term.coefficients:
        raise refusal(formula.line, f"{formula} depends on no variable")
    return Condition(term, formula.line)


def read_term(expression: Expression, variables: Collection[str]) -> Term:
    """A number, a variable, or a sum, difference or product of such that is linear.

    Raises:
        UserError: It is none, or not finite, or the variable is not declared.
    """
    if expression.word:
        return _read_word(expression, variables)
    operator, operands = expression.head, [read_term(one, variables) for one in expression.parts[1:]]
    if operator not in ("+", "-", "*") or not operands:
        raise refusal(expression.line, f"{expression} is not a term that is known; known are (+ ...), (- ...), (* ...)")
    first, *others = operands
    if operator == "-" and not others:
        return Term({}, Fraction(0)).plus(first, Fraction(-1))
    for other in others:
        if operator != "*":
            first = first.plus(other, Fraction(1 if operator == "+" else -1))
        elif first.coefficients and other.coefficients:
            raise refusal(expression.line, f"{expression} is not linear")
        else:
            number, factor = (first, other) if other.coefficients else (other, first)
            first = Term({}, Fraction(0)).plus(factor, number.constant)
    return first


def _read_word(expression: Expression, variables: Collection[str]) -> Term:
    word = expression.word
    if word in variables:
        return Term({word: Fraction(1)}, Fraction(0))
    if NOT_FINITE.fullmatch(word):
        raise refusal(expression.line, f"{word} is not finite")
    if not NUMBER.fullmatch(word):
        raise refusal(expression.line, f"{expression} is neither a number nor a variable that is declared")
    number = Fraction(word) if len(word) <= MAX_DIGITS else None
    if number is None or abs(number) > LARGEST:
        raise refusal(expression.line, f"the number {expression} is beyond float64")
    return Term({}, number)
