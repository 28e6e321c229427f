"""The answer to a property, and how far the search came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Answer = Literal["unsat", "sat", "unknown"]


@dataclass(frozen=True, eq=False)
class Witness:
    """A counterexample that was replayed in the network's own precision.

    Attributes:
        x: float64 [n], in the box of its case, and numbers of the network's own precision wherever the box has any.
        y: float64 [m], what the network gives for it, in its own precision.
        case: Which case of the property it violates, counted from 0.
    """

    x: Tensor
    y: Tensor
    case: int


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known of a property.

    Attributes:
        answer: "unsat", the property is proved; "sat", it is violated by the witness; "unknown", neither was shown.
        bound: The margin of `Case.margin` is proved to be at least this for every input. If the property is proved it
            is above 0, and by no more than a trifle where that is all that the proof needed; minus infinity where
            nothing is known.
        witness: The counterexample, of "sat" alone.
        boxes: How many parts of the boxes were bounded.
        seconds: Wall time.
        reason: Why it is unknown, a phrase such as "the time is up"; empty otherwise.
    """

    answer: Answer
    bound: float
    witness: Witness | None = None
    boxes: int = 0
    seconds: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        assert (self.answer == "sat") == (self.witness is not None), "a witness is what sat means"
        assert (self.answer == "unsat") == (self.bound > 0), "a proof is a bound above 0"
        assert (self.answer == "unknown") == bool(self.reason), "what is not known has a reason"
