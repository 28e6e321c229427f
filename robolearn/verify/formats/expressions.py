"""The nested lists in which VNN-LIB is written, ``(assert (<= X_0 1.5))``, with the lines that they stand in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from robolearn.errors import UserError, printable

TOKEN = re.compile(r"[()]|[^\s();]+")
MAX_DEPTH = 100  # of lists in lists; what follows goes through them by recursion


@dataclass(frozen=True)
class Expression:
    """A word, or a list of expressions.

    Attributes:
        word: The word; empty for a list.
        parts: What the list holds.
        line: Where it begins, from 1.
    """

    word: str
    parts: tuple[Expression, ...]
    line: int

    @property
    def head(self) -> str:
        """The word that a list begins with; empty for what has none."""
        return self.parts[0].word if self.parts else ""

    def __str__(self) -> str:
        text = self.word or f"({' '.join(map(str, self.parts[:4]))}{' ...' if self.parts[4:] else ''})"
        return printable(text if len(text) <= 60 else f"{text[:57]}...")


def refusal(line: int, what: str) -> UserError:
    """What is wrong in a line."""
    return UserError(f"line {line}: {what}")


def read_expressions(text: str) -> list[Expression]:
    """The lists that a text consists of; what follows a semicolon in a line is a comment.

    Raises:
        UserError: A parenthesis is missing or left over, a word stands outside all lists, or lists are too deep.
    """
    expressions: list[Expression] = []
    open_lists: list[tuple[int, list[Expression]]] = []
    for line, content in enumerate(text.split("\n"), start=1):
        for token in TOKEN.findall(content.partition(";")[0]):
            if token == "(":
                open_lists.append((line, []))
                if len(open_lists) > MAX_DEPTH:
                    raise refusal(line, f"lists are nested more than {MAX_DEPTH} deep")
                continue
            if not open_lists:
                raise refusal(line, f"{printable(token)[:60]} stands outside of any list")
            began, inside = open_lists.pop() if token == ")" else (line, [])
            one = Expression("", tuple(inside), began) if token == ")" else Expression(token, (), line)
            (open_lists[-1][1] if open_lists else expressions).append(one)
    if open_lists:
        raise refusal(open_lists[-1][0], "a parenthesis that is opened here is not closed")
    return expressions
