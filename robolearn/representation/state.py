"""Everything that changes while networks are pre-trained, in one place that can be saved and restored bit by bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robolearn.nets.descent import Descent
from robolearn.representation.config import PretrainConfig
from robolearn.representation.representation import Representation
from robolearn.training.moments import named, of_name, shapes_of, take_over

WEIGHTS, MOMENTS, LOSSES, RANDOM = "weights", "moments", "losses", "random"


class PretrainState:
    """Networks with what is trained beside them, their descent, the random stream, and what is not recorded yet.

    Args:
        representation: On the device.
        cfg: Steps, learning rate, seed.
        device: Where to train.

    Attributes:
        random: What batches, and all that is drawn for them, are drawn from.
        losses: Of the steps since the last record.
    """

    def __init__(self, representation: Representation, cfg: PretrainConfig, device: torch.device):
        self.representation = representation
        self.descent = Descent(representation.parameters(), cfg.fit)
        self.random = torch.Generator(device).manual_seed(cfg.seed)
        self.losses: list[Tensor] = []

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.descent.step

    def advance(self, loss: Tensor) -> None:
        """One step down a loss."""
        self.descent.advance(loss)
        self.losses.append(loss.detach())

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, for a file."""
        weights = {f"{WEIGHTS}.{name}": value for name, value in self.representation.state_dict().items()}
        moments = named(self.descent.optimizer.state_dict()["state"], MOMENTS)
        losses = {LOSSES: torch.stack(self.losses)} if self.losses else {}
        return {**weights, **moments, **losses, RANDOM: self.random.get_state()}

    def fits(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether saved tensors can be of this training, after a step or more."""
        expected = {f"{WEIGHTS}.{name}": value.shape for name, value in self.representation.state_dict().items()}
        expected |= {**shapes_of(self.descent.optimizer, MOMENTS), RANDOM: self.random.get_state().shape}
        losses = tensors.get(LOSSES, torch.zeros(1))
        there = {name: value.shape for name, value in tensors.items() if name != LOSSES}
        return losses.ndim == 1 and there == expected

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take over what `tensors` returned at `step`, where it fits."""
        weights = {name.removeprefix(f"{WEIGHTS}."): tensors[name] for name in tensors if name.startswith(WEIGHTS)}
        self.descent.skip(step)
        self.representation.load_state_dict(weights)
        take_over(self.descent.optimizer, of_name(tensors, MOMENTS))
        self.random.set_state(tensors[RANDOM])
        self.losses = list(tensors[LOSSES].unbind()) if LOSSES in tensors else []
