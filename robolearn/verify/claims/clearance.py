"""No chunk points into the keep-out set: every position that is asked for keeps a distance of at least so much.

A distance changes by at most as much as one moves (its Lipschitz constant is 1). So a box of positions keeps it if the
distance of its center exceeds it by half of the box's diagonal; a box where it does not is cut into cells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from robolearn.verify.claims.claim import Claim

CELLS = 4  # along each side of a box that is too wide to be judged at once
SPARE = 1e-9  # m, what evaluating a distance rounds


class Clearance(Claim):
    """clearance(xy) >= least for the first two numbers of every action that is executed, which are a position.

    Args:
        distance: Positions [..., 2] -> distances [...], as `Facts.clearance`.
        steps: Actions that are executed.
        action_dim: Numbers of an action, at least 2.
        least: The distance that is kept [m].
    """

    assumptions = (
        "the first two numbers of an action are a position in the frame of the environment's clearance",
        "the clearance is a distance: it changes by at most as much as the position moves",
        "what moves follows the positions; how it gets from one to the next is not looked at",
    )

    def __init__(
        self, distance: Callable[[np.ndarray], np.ndarray], steps: int, action_dim: int, least: float = 0.0
    ) -> None:
        self.distance, self.shape, self.least = distance, (steps, action_dim), least
        self.words = f"each of the next {steps} positions keeps a clearance of {least:g} m"

    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """How much more than the least distance is kept."""
        low, high = (x.unflatten(2, self.shape)[..., :2] for x in (lower, upper))
        margin = self._of_boxes(low, high)
        wide = (margin < 0) & (high - low).gt(0).any(-1)
        if wide.any():
            margin = margin.masked_scatter(wide, self._of_cells(low[wide], high[wide]))
        return margin.amin(2)

    def _of_boxes(self, low: Tensor, high: Tensor) -> Tensor:
        center, half = (low + high) / 2, (high - low).square().sum(-1).sqrt() / 2
        known = center.isfinite().all(-1)
        center = torch.where(known[..., None], center, 0.0)
        distance = torch.from_numpy(np.asarray(self.distance(center.detach().numpy()), float))
        return torch.where(known, distance - half * (1 + 1e-12) - SPARE * half.gt(0) - self.least, -torch.inf)

    def _of_cells(self, low: Tensor, high: Tensor) -> Tensor:
        """Of boxes [c, 2] the least over their cells [c]."""
        cell = torch.cartesian_prod(torch.arange(CELLS), torch.arange(CELLS)).double()  # [g, 2]
        width = ((high - low) / CELLS)[:, None]
        start = low[:, None] + cell * width
        return self._of_boxes(start - 1e-12, start + width + 1e-12).amin(1)
