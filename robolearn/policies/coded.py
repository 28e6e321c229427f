"""A family that draws one of finitely many codes, taken apart: what may be drawn can then be enumerated and bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Coded:
    """A distribution over chunks that puts all its weight on one chunk per code, in normalized actions.

    Attributes:
        features: Condition [b, o, c] -> all that logits and chunks are computed from [b, m].
        logits: Features -> logits [b, k] of the probabilities with which codes are drawn, rare ones included.
        chunk: (features, code) -> chunks [b, t, a].
    """

    features: Callable[[Float[Tensor, "b o c"]], Float[Tensor, "b m"]]
    logits: Callable[[Float[Tensor, "b m"]], Float[Tensor, "b k"]]
    chunk: Callable[[Float[Tensor, "b m"], int], Float[Tensor, "b t a"]]
