"""AdamW of one player, on parameters in few buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.training.flat import Flat


class FlatAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019), one operation per buffer, with the gradient's norm clipped.

    What it keeps is written and read parameter by parameter, as torch's own would: a checkpoint knows no buffers.

    Args:
        flats: Buffers that hold all of the parameters, and no other.
        parameters: In the order in which a checkpoint numbers them.
        lr: Learning rate.
        betas: Decay of the first and second moment.
        weight_decay: Decoupled.
        grad_clip: Norm that gradients are scaled down to, above 0.
    """

    def __init__(
        self,
        flats: Sequence[Flat],
        parameters: Sequence[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        grad_clip: float,
    ):
        super().__init__([f.whole for f in flats], lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        self.flats, self.grad_clip = tuple(flats), grad_clip
        self.numbers = {parameter: number for number, parameter in enumerate(parameters)}
        assert {p for flat in flats for p in flat.parameters} == self.numbers.keys()

    @property
    def shapes(self) -> list[torch.Size]:
        """Of all parameters, in the order in which a checkpoint numbers them."""
        return [parameter.shape for parameter in self.numbers]

    def differentiate(self, loss: Float[Tensor, ""]) -> None:
        """Gather the gradient of a loss."""
        loss.backward()
        for flat in self.flats:
            flat.gather()

    def move(self) -> Float[Tensor, ""]:
        """Step along the gathered gradient; return its norm before it was clipped."""
        wholes = [flat.whole for flat in self.flats]
        norm = nn.utils.clip_grad_norm_(wholes, self.grad_clip)
        self.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with entries for parameters and not for buffers."""
        found = super().state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for number, slots in found["state"].items():
            flat = self.flats[number]
            parts = {
                slot: flat.split(x) if x.dim() else [x.clone() for _ in flat.parameters] for slot, x in slots.items()
            }
            for i, parameter in enumerate(flat.parameters):
                state[self.numbers[parameter]] = {slot: split[i] for slot, split in parts.items()}
        return {**found, "state": dict(sorted(state.items()))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned. What has no entry was never moved: its moments are 0."""
        state = {}
        for number, flat in enumerate(self.flats):
            entries = [state_dict["state"].get(self.numbers[p], {}) for p in flat.parameters]
            names = {name for entry in entries for name in entry}
            state[number] = {name: _joined(flat, [entry.get(name) for entry in entries]) for name in names}
        super().load_state_dict({**state_dict, "state": {k: slots for k, slots in state.items() if slots}})


def _joined(flat: Flat, parts: Sequence[Tensor | None]) -> Tensor:
    """One tensor of those of the parameters; of numbers, such as the count of steps, the largest."""
    there = [part for part in parts if part is not None]
    if not there[0].dim():
        return torch.stack(there).max()
    pairs = zip(flat.parameters, parts, strict=True)
    return torch.cat([(torch.zeros_like(p.detach()) if part is None else part).flatten() for p, part in pairs])
