"""What an optimizer keeps of each parameter, as tensors in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def optimizer_tensors(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Tensor]:
    """NAME.INDEX.SLOT -> what is kept in a slot, such as exp_avg, of the parameter with this index."""
    kept = optimizer.state_dict()["state"].items()
    return {f"{name}.{index}.{slot}": value for index, slots in kept for slot, value in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Take over what `optimizer_tensors` gave; tensors of other names are left alone.

    Raises:
        KeyError: One is of no parameter; torch raises others for what does not fit, though not for all of it.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        owner, *of_parameter = place.rsplit(".", 2)  # a player may be called anything
        if owner == name and len(of_parameter) == 2:
            index, slot = of_parameter
            slots.setdefault(int(index), {})[slot] = value
    whole: dict[str, Any] = optimizer.state_dict()
    optimizer.load_state_dict({"state": slots, "param_groups": whole["param_groups"]})
