"""What a claim has to tell: how far it is from failing, given bounds on what may be executed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from robolearn.verify.claims.subject import Chunks


class Claim(ABC):
    """A statement about every input of a box.

    Attributes:
        words: What holds, for people.
        assumptions: Under which conditions.
        numbers: What the words round, to the last digit.
    """

    words: str
    assumptions: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()

    @abstractmethod
    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """How far each code's actions are from failing, [b, k].

        Args:
            lower: Of the numbers of the actions [b, k, m].
            upper: The same from above.
            rows: Which observation each is of [b].
        """

    def margin(self, chunks: Chunks, rows: Tensor) -> Tensor:
        """The least of all codes that may be drawn [b], never NaN; the claim holds if it is not negative."""
        margins = self.margins(chunks.lower, chunks.upper, rows)
        return torch.where(chunks.probability == 0, torch.inf, margins).nan_to_num(nan=-torch.inf).amin(1)


def written(numbers: Tensor) -> str:
    """A vector for people: as many digits as tell."""
    return "(" + ", ".join(f"{number:.4g}" for number in numbers.tolist()) + ")"
